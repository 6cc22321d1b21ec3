"""The metrics of all workers together, in the supervisor."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from sardonyx import __version__
from sardonyx_server.telemetry.metrics import names
from sardonyx_server.telemetry.metrics.values import Values

if TYPE_CHECKING:
    from collections.abc import Callable

    from sardonyx_server.telemetry.metrics.values import Version

#: How long the series of a version stay when it has gone. Prometheus takes a series that was not read for five minutes
#: for ended: whoever reads often enough has had the last count twice.
KEPT_S: Final = 600.0


class Totals:
    """Adds up what workers report. What one has counted stays when it ends: a counter never goes back.

    A version that no worker has had, or counted anything of, for ``KEPT_S`` is forgotten, of all workers in one step.
    Should it come back, it is counted from zero.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # Read by the threads that answer Prometheus, written by the supervisor's loop.
        self._lock = threading.Lock()
        self._clock = clock
        self._counted = Values()
        #: By worker, while it runs.
        self._gauges: dict[int, Values] = {}
        #: When a worker told of a version last.
        self._told: dict[Version, float] = {}
        self._counted.add(names.RESTARTS, (), 0)

    def take(self, worker: int, values: Values) -> None:
        """A worker's report: what it has counted since the last one, and what it is like now."""
        with self._lock:
            self._gauges[worker], counted = values.parted()
            self._counted.merge(counted)
            self._told.update(dict.fromkeys(values.versions(), self._clock()))
            self._forget()

    def end(self, worker: int, *, restarts: bool) -> None:
        """A worker is no more: its counts stay, its gauges go."""
        with self._lock:
            self._gauges.pop(worker, None)
            self._counted.add(names.RESTARTS, (), restarts)

    def sum(self) -> Values:
        """All together; what a worker has of its own carries its number."""
        with self._lock:
            total = Values()
            total.merge(self._counted)
            for worker, gauges in self._gauges.items():
                total.merge(_labelled(gauges, worker))
            total.add(names.WORKERS, (), len(self._gauges))
            total.add(names.SERVER, (__version__,), 1)
            return total

    def _forget(self) -> None:
        """Drop the series of versions that have gone."""
        now = self._clock()
        gone = {version for version, told in self._told.items() if now - told > KEPT_S}
        if gone:
            self._counted.forget(gone)
            self._told = {version: told for version, told in self._told.items() if version not in gone}


def _labelled(gauges: Values, worker: int) -> Values:
    return Values(
        {
            name: {(str(worker), *labels): number for labels, number in numbers.items()}
            for name, numbers in gauges.numbers.items()
        }
    )
