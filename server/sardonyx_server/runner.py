"""The queue in front of a session, bounded in rows, and where a run takes place."""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy.typing as npt

from sardonyx.errors import DeadlineExceeded, InvalidInput, Overloaded, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_server.life.loader import Cost
    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]

#: A run that is expected to take longer leaves the event loop for a thread. The hand-over and back costs 80–100 µs on
#: two cores, so it does not pay for shorter runs; a loop that stands still longer is felt by every other call.
INLINE_S_MAX: Final = 0.001


class Ran(NamedTuple):
    """The answers of a run, and where its time went, in nanoseconds."""

    outputs: Sequence[Array]
    queue_ns: int
    run_ns: int


class RowQueue:
    """The rows of one worker that wait for or are in a thread, all models together, and the threads.

    Args:
        rows_max: how many rows may wait or run at once.
        threads: how many runs take place at once.
    """

    def __init__(self, rows_max: int, threads: int | None = None) -> None:
        self.rows = 0
        self._rows_max = rows_max
        self._threads = ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="run")

    def admit(self, rows: int) -> None:
        """Take room for rows.

        Raises:
            InvalidInput: there never will be enough.
            Overloaded: there is not enough now.
        """
        if rows > self._rows_max:
            most = f"{rows} rows in one request, and this server takes {self._rows_max} at most. Send fewer at a time."
            raise InvalidInput([Violation("inputs", most)])
        if self.rows + rows > self._rows_max:
            raise Overloaded(
                f"{self.rows} rows are waiting and {rows} more exceed the limit of {self._rows_max}. Send fewer rows at"
                " a time, or call again later."
            )
        self.rows += rows

    def leave(self, rows: int) -> None:
        """Give the room back."""
        self.rows -= rows

    async def run(self, job: _Job) -> Ran:
        """Run a job in a thread; a job whose caller has gone before it began is never run."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, job)

    def close(self) -> None:
        """Let the threads end; nothing waits any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Runner:
    """Runs one version's session: short runs where they are, long ones in the worker's threads."""

    def __init__(self, session: Session, cost: Cost, queue: RowQueue) -> None:
        self._session = session
        self._cost = cost
        self._queue = queue

    async def run(self, feed: Mapping[str, Array], rows: int, deadline_s: float | None) -> Ran:
        """The answers to some rows.

        Args:
            feed: arrays by graph tensor.
            rows: how many rows it holds.
            deadline_s: how long the caller still waits; None: for ever.

        Raises:
            Overloaded: the queue is full.
            DeadlineExceeded: the caller's time was up before the run began.
        """
        job = _Job(self._session, feed, deadline_s)
        if self._cost.of(rows) <= INLINE_S_MAX:
            return job()
        self._queue.admit(rows)
        try:
            return await self._queue.run(job)
        finally:
            self._queue.leave(rows)


class _Job:
    """One run, from the moment it was asked for."""

    __slots__ = ("_asked_ns", "_expires_ns", "_feed", "_session")

    def __init__(self, session: Session, feed: Mapping[str, Array], deadline_s: float | None) -> None:
        self._session = session
        self._feed = feed
        self._asked_ns = time.perf_counter_ns()
        self._expires_ns = None if deadline_s is None else self._asked_ns + int(deadline_s * 1e9)

    def __call__(self) -> Ran:
        """Run, unless it is too late."""
        started_ns = time.perf_counter_ns()
        if self._expires_ns is not None and started_ns >= self._expires_ns:
            raise DeadlineExceeded("The deadline passed while the call waited. Allow more time, or send fewer rows.")
        outputs = self._session.run(self._feed)
        return Ran(outputs, started_ns - self._asked_ns, time.perf_counter_ns() - started_ns)
