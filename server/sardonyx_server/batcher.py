"""The queue in front of a session, bounded in rows: what has arrived when the session is free goes in one run."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from sardonyx.errors import DeadlineExceeded, InvalidInput, Overloaded, Violation
from sardonyx_server import sharing
from sardonyx_server.runs import Asked, Ran, divided, joined
from sardonyx_server.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sardonyx_server.life.cost import Cost
    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]

#: A run that is expected to take longer leaves the event loop for a thread. The hand-over and back costs 80–100 µs on
#: two cores, so it does not pay for shorter runs; a loop that stands still longer is felt by every other call.
INLINE_S_MAX: Final = 0.001
#: Threads are made when they are needed, and each version has a bounded number of runs: this bounds them all together.
_THREADS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the runs of a version.

    Attributes:
        batch_rows_max: rows that one run takes together; a larger request has a run of its own.
        batch_delay_s: how long a request waits for others; 0: not at all.
        runs_max: runs of one version at once.
    """

    batch_rows_max: int = 1024
    batch_delay_s: float = 0.0
    runs_max: int = 1


class RowQueue:
    """The rows of one worker that wait for a run or are in one, all models together, and the threads for runs.

    Args:
        rows_max: how many rows may wait or run at once.
    """

    def __init__(self, rows_max: int) -> None:
        self.rows = 0
        self.rows_max = rows_max
        self._threads = ThreadPoolExecutor(_THREADS_MAX, "run", sharing.step_back)

    def admit(self, rows: int) -> None:
        """Take room for rows.

        Raises:
            InvalidInput: there never will be enough.
            Overloaded: there is not enough now.
        """
        if rows > self.rows_max:
            most = f"{rows} rows in one request, and this server takes {self.rows_max} at most. Send fewer at a time."
            raise InvalidInput([Violation("inputs", most)])
        if self.rows + rows > self.rows_max:
            raise Overloaded(
                f"{self.rows} rows are waiting and {rows} more exceed the limit of {self.rows_max}. Send fewer rows at"
                " a time, or call again later."
            )
        self.rows += rows

    def leave(self, rows: int) -> None:
        """Give the room back."""
        self.rows -= rows

    async def run(self, job: Callable[[], Sequence[Array]]) -> Sequence[Array]:
        """Run a job in a thread.

        Raises:
            Overloaded: the system has none left for it.
        """
        jobs = [job]

        def take() -> Sequence[Array]:
            return jobs.pop()()

        with sharing.interruptible():
            try:
                running = asyncio.get_running_loop().run_in_executor(self._threads, take)
            except RuntimeError as error:
                # The pool has taken it all the same: it would keep it, and run it for nobody once it has a thread.
                jobs.clear()
                raise Overloaded("This server's system has no thread left for the run. Call again later.") from error
            return await running

    def close(self) -> None:
        """Let the threads end; nothing waits any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Batcher:
    """Runs one version's session.

    Short runs take place on the event loop (``turns``). Longer ones take place in threads, ``runs_max`` at once; what
    arrives meanwhile waits, and goes together as soon as a run ends. A request leaves the queue exactly once: with its
    own rows' answers, with its own error, late, or cancelled by its caller. None of the others in its run is harmed:
    late and cancelled ones are left out before the run, and where a shared run fails each of its requests is run again
    on its own, so that only the one at fault fails.

    Everything but the runs themselves happens on the event loop, so nothing here needs a lock.

    Args:
        session: the version's.
        cost: how long its runs take.
        queue: the worker's, shared by all versions.
        limits: what bounds the runs.
    """

    def __init__(self, session: Session, cost: Cost, queue: RowQueue, limits: Limits) -> None:
        self._session = session
        self._short_rows = cost.rows_within(INLINE_S_MAX)
        self._queue = queue
        self._limits = limits
        # A dictionary for its order: whoever gives up leaves from the middle.
        self._waiting: dict[_Waiting, None] = {}
        self._waiting_rows = 0
        self._running: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        #: So many rows are run on the event loop, by ``turns``; more of them wait, in ``run``.
        self.short_rows_max = 0 if limits.batch_delay_s else min(self._short_rows, queue.rows_max)
        self.turns = Turns(session, min(self.short_rows_max, limits.batch_rows_max))

    async def run_aside(self, feed: Mapping[str, Array], rows: int) -> Ran:
        """A run for nobody who waits: it takes no caller's place in the queue, nor among the runs of the version."""
        started_ns = time.perf_counter_ns()
        outputs = await self._outputs(feed, rows)
        return Ran(outputs, 0, time.perf_counter_ns() - started_ns)

    async def run(self, feed: Mapping[str, Array], rows: int, deadline_s: float | None, prediction_id: str = "") -> Ran:
        """The answers to some rows, after as many other runs as it takes.

        Args:
            feed: arrays by graph tensor, shape [rows, width].
            rows: how many rows it holds.
            deadline_s: how long the caller still waits; None: for ever.
            prediction_id: told to those who share the run.

        Raises:
            Overloaded: the queue is full.
            DeadlineExceeded: the caller's time was up before the run began.
        """
        self._queue.admit(rows)
        waiting = _Waiting(feed, rows, deadline_s, prediction_id)
        self._waiting[waiting] = None
        self._waiting_rows += rows
        self._wake()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._leave(waiting)
            raise

    def _wake(self) -> None:
        """Begin what can begin: now, or when those who wait have had time for company."""
        if not self._limits.batch_delay_s or self._waiting_rows >= self._limits.batch_rows_max:
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._limits.batch_delay_s, self._begin)

    def _begin(self) -> None:
        """Start runs while there is something to run and a place to run it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._running) < self._limits.runs_max and (batch := self._next_batch()):
            task = asyncio.create_task(self._run(batch))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if self._waiting:
            self._begin()

    def _next_batch(self) -> list[_Waiting]:
        """The longest waiting requests, up to the limit of rows; those that are late get their error instead."""
        batch: list[_Waiting] = []
        rows = 0
        now_ns = time.perf_counter_ns()
        for waiting in list(self._waiting):
            if waiting.is_late(now_ns):
                self._leave(waiting)
                waiting.fail(_too_late())
            elif batch and rows + waiting.rows > self._limits.batch_rows_max:
                break
            else:
                self._take(waiting)
                batch.append(waiting)
                rows += waiting.rows
        return batch

    def _leave(self, waiting: _Waiting) -> None:
        """Let go of a request that will not be run."""
        self._take(waiting)
        self._queue.leave(waiting.rows)

    def _take(self, waiting: _Waiting) -> None:
        """Take a request out of those that wait."""
        del self._waiting[waiting]
        self._waiting_rows -= waiting.rows

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        """One run of some requests; each of them is resolved when it ends."""
        rows = sum(waiting.rows for waiting in batch)
        started_ns = time.perf_counter_ns()
        try:
            outputs = await self._outputs(joined(batch), rows)
        except Exception as error:  # whatever a runtime raises: it is the callers' answer
            await self._separate(batch, error)
        else:
            self._resolve(batch, outputs, started_ns, time.perf_counter_ns() - started_ns)
        finally:
            self._queue.leave(rows)

    async def _outputs(self, feed: Mapping[str, Array], rows: int) -> Sequence[Array]:
        if rows <= self._short_rows:
            return self._session.run(feed)
        return await self._queue.run(lambda: self._session.run(feed))

    def _resolve(self, batch: Sequence[_Waiting], outputs: Sequence[Array], started_ns: int, run_ns: int) -> None:
        """Give each request its own rows' answers."""
        for waiting, ran in zip(batch, divided(batch, outputs, started_ns, run_ns), strict=True):
            waiting.succeed(ran)

    async def _separate(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """A run failed: whose fault it is shows when each request is run on its own."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        for waiting in batch:
            if waiting.is_late(time.perf_counter_ns()):
                waiting.fail(_too_late())
                continue
            started_ns = time.perf_counter_ns()
            try:
                outputs = await self._outputs(waiting.feed, waiting.rows)
            except Exception as own:  # as above
                waiting.fail(own)
            else:
                waiting.succeed(Ran(outputs, started_ns - waiting.asked_ns, time.perf_counter_ns() - started_ns))


class _Waiting(Asked):
    """One request, from the moment it is admitted until it is resolved."""

    __slots__ = ("_expires_ns", "answer")

    def __init__(self, feed: Mapping[str, Array], rows: int, deadline_s: float | None, prediction_id: str) -> None:
        super().__init__(feed, rows, prediction_id)
        self._expires_ns = None if deadline_s is None else self.asked_ns + int(deadline_s * 1e9)
        self.answer: asyncio.Future[Ran] = asyncio.get_running_loop().create_future()

    def is_late(self, now_ns: int) -> bool:
        """Whether the caller waits no more."""
        return self._expires_ns is not None and now_ns >= self._expires_ns

    def succeed(self, ran: Ran) -> None:
        """The caller's answer, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_result(ran)

    def fail(self, error: Exception) -> None:
        """The caller's error, unless the caller has gone."""
        if not self.answer.done():
            self.answer.set_exception(error)


def _too_late() -> DeadlineExceeded:
    return DeadlineExceeded("The deadline passed while the call waited. Allow more time, or send fewer rows.")
