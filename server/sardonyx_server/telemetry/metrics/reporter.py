"""Tells the supervisor the metrics of a worker, again and again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from sardonyx_server import apart, memory, pipe
from sardonyx_server.log import LOG
from sardonyx_server.telemetry.metrics import names
from sardonyx_server.telemetry.metrics.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_server.batcher import RowQueue
    from sardonyx_server.life.manager import Manager
    from sardonyx_server.life.watcher import Watcher
    from sardonyx_server.shadow import Seen, Shadow
    from sardonyx_server.telemetry.metrics.counting import Metrics
    from sardonyx_server.telemetry.sender import Sender

#: What Prometheus reads is never older than this, and the 50 ms that records wait.
INTERVAL_S: Final = 0.5


class Reporter:
    """Looks at the parts of a worker, and tells what it sees.

    Args:
        metrics: has counted the predictions.
        manager, watcher, queue, shadow: are looked at, on the event loop.
        sender: may be None.
    """

    def __init__(
        self,
        metrics: Metrics,
        manager: Manager,
        watcher: Watcher,
        queue: RowQueue,
        shadow: Shadow,
        sender: Sender | None,
    ) -> None:
        self._metrics = metrics
        self._manager = manager
        self._watcher = watcher
        self._queue = queue
        self._shadow = shadow
        self._sender = sender
        #: What was seen at the last report; reports are written by threads, one after the other.
        self._before = Values()
        self._lock = threading.Lock()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            try:
                await self.report()
            except RuntimeError as error:
                # The system has no thread left for it: soon, perhaps, it has.
                LOG.warning("metrics are not told: %s; they are told with the next ones", error)
            except Exception:
                # Nobody else would begin anew.
                LOG.exception("metrics could not be told; they are told with the next ones")
            await asyncio.sleep(INTERVAL_S)

    async def report(self) -> None:
        """Report once: what was counted since the last report, and what the worker is like now."""
        seen = self._look()
        await asyncio.wrap_future(apart.begin(lambda: self._tell(seen), "tell the metrics"))

    def report_last(self) -> None:
        """The same at the end, in this thread."""
        self._tell(self._look())

    def _tell(self, seen: Values) -> None:
        with self._lock:
            values = self._metrics.take_counted()
            values.merge(seen.since(self._before))
            self._before = seen
            pipe.tell(pipe.METRICS, values.as_data())

    def _look(self) -> Values:
        """What is not counted from records. Gauges have no worker yet: the supervisor knows which this is."""
        values = Values()
        values.add(names.QUEUE_ROWS, (), self._queue.rows)
        values.add(names.REGISTRY_UNREADABLE, (), bool(self._watcher.error))
        if self._watcher.last_read is not None:
            values.add(names.REGISTRY_READ, (), self._watcher.last_read.timestamp())
        values.add(names.MEMORY, (), memory.resident_bytes())
        for model in self._manager.models.values():
            for version in model.versions.values():
                state = version.state.name.lower()
                values.add(names.VERSION_STATE, (model.name, str(version.number), state), 1)
        for labels, count in self._manager.loads.items():
            values.add(names.LOADS, labels, count)
        _add_shadows(values, self._shadow.seen)
        if self._sender is not None:
            values.add(names.SPANS_SENT, (), self._sender.sent)
            values.add(names.SPANS_DROPPED, (), self._sender.dropped)
            values.add(names.SPANS_BUFFERED, (), self._sender.buffered)
        return values


def _add_shadows(values: Values, by_version: Mapping[tuple[str, int], Seen]) -> None:
    for (model, number), seen in by_version.items():
        version = (model, str(number))
        values.add(names.SHADOW_OFFERED, version, seen.offered)
        for result, calls in (("ran", seen.ran), ("failed", seen.failed), ("dropped", seen.dropped)):
            values.add(names.SHADOW_CALLS, (*version, result), calls)
        values.add(names.SHADOW_ROWS, version, seen.rows)
        values.add(names.SHADOW_ROWS_ALIKE, version, seen.rows_alike)
