"""Short runs, on the event loop: the requests that come in one turn of it share one.

``port`` lets the loop find several calls whenever it wakes. Each of them is checked, and then waits for the loop's next
turn, in which the first of them runs the session for all: so the run is paid once, and what comes before it and after
it is the same code again, which is in the caches by then. Measured with everything on one processor, four connections
and 32 calls in flight, in µs of a processor a request: the bare server of the benchmarks 101, and 90 where it does the
same; this server with telemetry 134 without it, and 112.

Whoever has no company does not wait: a turn costs 3 µs.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from sardonyx_server.runs import Asked, Ran, divided, joined

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]

#: A request that is read so soon after the last run has company. One that was there already is read 30 µs after it; one
#: whose caller waited for that run's answer, 150 µs.
NEAR_NS: Final = 75_000


class Turns:
    """Makes the short runs of one session.

    Args:
        session: the version's.
        rows_max: rows that one run takes together.
    """

    def __init__(self, session: Session, rows_max: int) -> None:
        self._session = session
        self._rows_max = rows_max
        self._open: _Meeting | None = None
        #: Whether the last request had company, and when the last run ended.
        self._busy = False
        self._ran_ns = 0

    def run_now(self, feed: Mapping[str, Array]) -> Ran:
        """A run of one request, without waiting."""
        started_ns = time.perf_counter_ns()
        outputs = self._session.run(feed)
        self._ran_ns = time.perf_counter_ns()
        return Ran(outputs, 0, self._ran_ns - started_ns)

    def has_company(self) -> bool:
        """Whether a request that comes now should wait for others, in ``run``; else ``run_now`` is for it."""
        if self._open is not None or self._busy:
            return True
        self._busy = time.perf_counter_ns() - self._ran_ns < NEAR_NS
        return self._busy

    async def run(self, feed: Mapping[str, Array], rows: int, prediction_id: str) -> Ran:
        """The answers to some rows, in the loop's next turn, with those that came in this one.

        Whoever is cancelled meanwhile is not run.

        Args:
            feed: arrays by graph tensor, shape [rows, width].
            rows: how many rows it holds.
            prediction_id: told to those who share the run.
        """
        meeting = self._open
        if meeting is None or meeting.rows + rows > self._rows_max:
            meeting = self._open = _Meeting()
        asked = _Asked(feed, rows, prediction_id)
        meeting.join(asked)
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            meeting.leave(asked)
            raise
        if asked.answer is None:
            self._answer(meeting)
        return asked.result()

    def _answer(self, meeting: _Meeting) -> None:
        """Answer all who came and have stayed; to be called by one of them."""
        if self._open is meeting:
            self._open = None
        # Whoever meets nobody does not wait the next time.
        self._busy = len(meeting.asked) > 1
        try:
            self._run_together(meeting)
        except Exception:  # whatever a runtime raises: whose fault it is shows when each is run on its own
            for asked in meeting.asked:
                asked.answer = self._run_alone(asked)

    def _run_together(self, meeting: _Meeting) -> None:
        started_ns = time.perf_counter_ns()
        outputs = self._session.run(joined(meeting.asked))
        self._ran_ns = time.perf_counter_ns()
        answers = divided(meeting.asked, outputs, started_ns, self._ran_ns - started_ns)
        for asked, answer in zip(meeting.asked, answers, strict=True):
            asked.answer = answer

    def _run_alone(self, asked: _Asked) -> Ran | Exception:
        try:
            return self.run_now(asked.feed)
        except Exception as error:  # as above: it is this caller's answer
            return error


class _Meeting:
    """Requests that came in one turn.

    Attributes:
        asked: those who have stayed.
        rows: of all of them.
    """

    __slots__ = ("asked", "rows")

    def __init__(self) -> None:
        self.asked: list[_Asked] = []
        self.rows = 0

    def join(self, asked: _Asked) -> None:
        """Come."""
        self.asked.append(asked)
        self.rows += asked.rows

    def leave(self, asked: _Asked) -> None:
        """Go."""
        self.asked.remove(asked)
        self.rows -= asked.rows


class _Asked(Asked):
    """One request, and its answer once there is one."""

    __slots__ = ("answer",)

    def __init__(self, feed: Mapping[str, Array], rows: int, prediction_id: str) -> None:
        super().__init__(feed, rows, prediction_id)
        self.answer: Ran | Exception | None = None

    def result(self) -> Ran:
        """The answer, once there is one; raises what the run raised."""
        if isinstance(self.answer, Ran):
            return self.answer
        raise self.answer or AssertionError("A request was not run. This is a bug.")
