"""Shows a share of what was answered to another version, beside the callers and on a budget of its own."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from grpc import StatusCode

from sardonyx import status
from sardonyx.errors import SardonyxError
from sardonyx.interface import dtype_of
from sardonyx_server.agreement import count_alike
from sardonyx_server.life.lanes import SHADOW
from sardonyx_server.log import LOG
from sardonyx_server.telemetry.record import Record, Shadowed, outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_server.batcher import RowQueue
    from sardonyx_server.life.model import Model
    from sardonyx_server.life.portion import Portion
    from sardonyx_server.runs import Ran
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.recorder import Recorder

Array = npt.NDArray[Any]

#: What may wait for a shadow in one worker: about 5,000 small calls.
BYTES_MAX: Final = 16 << 20
#: What a call takes beside its request's bytes and its answer: its record, and the frames of its arrays.
CALL_BYTES: Final = 3072
#: Of a worker's time, what shadows may take: a server at its limit loses no more than this to them.
TIME_SHARE_MAX: Final = 0.1
#: Rests are taken when they have come to so much: the event loop's clock counts whole milliseconds.
REST_S_MIN: Final = 0.005
#: How long a shadow waits before it looks again whether callers still wait.
PAUSE_S: Final = 0.005


@dataclass(slots=True)
class Seen:
    """What became of the calls that a shadow was shown.

    Attributes:
        offered: calls that fell into its share. Each is run, has failed or was dropped in the end.
        ran: calls that it has answered.
        failed: calls that it could not answer.
        dropped: calls that it was not asked, for want of room or time.
        rows: rows that it has answered.
        rows_alike: of these, as the live version did.
    """

    offered: int = 0
    ran: int = 0
    failed: int = 0
    dropped: int = 0
    rows: int = 0
    rows_alike: int = 0


class _Offer(NamedTuple):
    """What a caller asked and was answered, the record of its showing, and how many bytes of room it takes."""

    target: Portion
    live: Served
    record: Record
    feed: Mapping[str, Array]
    outputs: Sequence[Array]
    size: int


class Shadow:
    """Runs shadows of answered calls, one at a time, where no caller waits.

    A shadow takes at most TIME_SHARE_MAX of the worker's time, and stands back while rows wait in the queue; what
    exceeds the room meanwhile is dropped, and counted. Which calls it sees follows from their prediction ids, so it can
    be worked out again. Nothing of it reaches a caller: not its answer, not its error, not its time.

    Everything happens on the event loop, or in the batcher's threads where a run is long, so nothing here needs a lock.

    Args:
        models: what this worker has.
        queue: what callers wait for.
        recorder: takes a record of each run, with its agreement to the live answer; None: nobody listens.
    """

    def __init__(self, models: Mapping[str, Model], queue: RowQueue, recorder: Recorder | None) -> None:
        #: By model and version.
        self.seen: dict[tuple[str, int], Seen] = {}
        self._models = models
        self._queue = queue
        self._recorder = recorder
        self._offers: asyncio.Queue[_Offer] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._bytes = 0
        self._owed_s = 0.0
        self._failing: set[tuple[str, int]] = set()

    def start(self) -> None:
        """Begin to run what is offered."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Run nothing any more: what waits is dropped, and so is what would still be offered."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for seen in self.seen.values():
            seen.dropped = seen.offered - seen.ran - seen.failed

    def offer(self, target: Portion, asked: Record, outputs: Sequence[Array], request_bytes: int) -> None:
        """Show a call to a shadow, if it is one of its share and there is room; never waits and never raises.

        Args:
            target: the shadow, and its share.
            asked: the call, answered by the live version; its feed is still there.
            outputs: what the live version answered: an array for each output of the interface.
            request_bytes: the size of what was asked. Texts take most of their room outside of their arrays.
        """
        if asked.served is None or asked.feed is None or not target.takes(asked.prediction_id):
            return
        seen = self._seen(target.served)
        seen.offered += 1
        size = CALL_BYTES + request_bytes + sum(output.nbytes for output in outputs)
        if self._task is None or self._bytes + size > BYTES_MAX:
            seen.dropped += 1
            return
        self._bytes += size
        if asked.batch is not None:
            # Parts of what a shared run answered: as they are, they would keep all of it.
            outputs = [output.copy() for output in outputs]
        # Not the call's own record, from which telemetry takes the feed: it has the answer as it is.
        record = _record_of(target.served, asked)
        self._offers.put_nowait(_Offer(target, asked.served, record, asked.feed, outputs, size))

    def _seen(self, served: Served) -> Seen:
        return self.seen.setdefault((served.model, served.version), Seen())

    async def _run(self) -> None:
        while True:
            offer = await self._offers.get()
            await self._wait_for_callers()
            started = time.perf_counter()
            if self._is_current(offer.target):
                await self._show(offer)
            else:
                self._seen(offer.target.served).dropped += 1
            self._bytes -= offer.size
            # What was asked may be large, and the next call may be long in coming.
            del offer
            await self._rest(time.perf_counter() - started)

    async def _wait_for_callers(self) -> None:
        while self._queue.rows:  # noqa: ASYNC110 - a queue on the request path that told of its end would cost there
            await asyncio.sleep(PAUSE_S)

    async def _rest(self, took_s: float) -> None:
        """Leave the rest of the time to callers; they have their turn after each run in any case."""
        self._owed_s += took_s * (1 / TIME_SHARE_MAX - 1)
        if self._owed_s < REST_S_MIN:
            await asyncio.sleep(0)
            return
        await asyncio.sleep(self._owed_s)
        self._owed_s = 0.0

    def _is_current(self, target: Portion) -> bool:
        """Whether the version is a shadow still: one whose route has ended is on its way out of memory."""
        model = self._models.get(target.served.model)
        current = model.shadows.get(target.served.major) if model is not None else None
        return current is not None and current.served is target.served

    async def _show(self, offer: _Offer) -> None:
        served, record, rows = offer.target.served, offer.record, offer.record.rows
        seen = self._seen(served)
        record.start_ns, started_ns = time.time_ns(), time.perf_counter_ns()
        try:
            ran = await _ran(offer)
            theirs = dict(zip(served.output_names, ran.outputs, strict=True))
            alike = count_alike(offer.live.manifest, offer.outputs, theirs)
        except Exception as error:  # whatever it is, it is no caller's
            record.code = (status.code_of(error) if isinstance(error, SardonyxError) else StatusCode.INTERNAL).name
            seen.failed += 1
            self._report(served, error)
        else:
            record.shadowed = Shadowed(offer.live.version, alike / rows)
            record.outputs = outputs_of(served, ran.outputs)
            record.stages_ns, record.code = (0, 0, ran.run_ns, 0), StatusCode.OK.name
            seen.ran += 1
            seen.rows += rows
            seen.rows_alike += alike
            self._report(served, None)
        record.duration_ns = time.perf_counter_ns() - started_ns
        if self._recorder is not None:
            self._recorder.record(record)

    def _report(self, served: Served, error: Exception | None) -> None:
        """Log a change, not each repetition."""
        known = (served.model, served.version)
        if error is not None and known not in self._failing:
            self._failing.add(known)
            LOG.error("model %s: version %d fails as a shadow: %s", *known, error)
        elif error is None and known in self._failing:
            self._failing.discard(known)
            LOG.info("model %s: version %d answers as a shadow again", *known)


async def _ran(offer: _Offer) -> Ran:
    """The shadow's own answer."""
    served = offer.target.served
    feed = feed_for(served, offer.live, offer.feed, offer.record.rows)
    with served:
        return await served.batcher.run_aside(feed, offer.record.rows)


def feed_for(served: Served, live: Served, feed: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """What one version was asked, as another version of the same generation takes it.

    Their graphs may have other names and types for the inputs that both have. One that is new to the version to ask was
    left out by every caller; one that only the other version knows is passed over, as in a typed request. A live graph
    that takes narrower numbers than the other has rounded them already: what it saw is what is compared.

    Args:
        served: the version to ask.
        live: the version that was asked.
        feed: its arrays by graph tensor, shape [rows, width].
        rows: how many rows they hold.
    """
    pairs = zip(live.manifest.interface.inputs, live.manifest.graph.inputs, strict=True)
    given = {tensor.name: feed[binding.tensor] for tensor, binding in pairs}
    found: dict[str, Array] = {}
    for tensor, binding in zip(served.manifest.interface.inputs, served.manifest.graph.inputs, strict=True):
        dtype = dtype_of(binding.datatype or tensor.datatype)
        if tensor.optional and tensor.name not in given:
            found[binding.tensor] = np.full((rows, tensor.width or 1), math.nan, dtype)
        else:
            found[binding.tensor] = given[tensor.name].astype(dtype, copy=False)
    return found


def _record_of(served: Served, asked: Record) -> Record:
    """What is known of a shadow's run before it takes place."""
    return Record(
        method=asked.method,
        model=asked.model,
        served=served,
        route=SHADOW,
        prediction_id=asked.prediction_id,
        rows=asked.rows,
        parent=asked.parent,
        members=asked.members,
    )
