"""A request that several calls share, from the moment it is sent until each of them has its answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sardonyx.client.answer import Answer
from sardonyx.client.apart import parts_after
from sardonyx.client.retry import late
from sardonyx.errors import DeadlineExceeded, SardonyxError, again

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sardonyx.client.answer import Reply
    from sardonyx.client.caller import Prediction
    from sardonyx.client.request import Part, Row

#: Clocks of event loops count milliseconds: a look at the deadlines before the first has passed would be in vain.
_TICK_S: Final = 0.001


class Call:
    """A caller that waits.

    Attributes:
        ask: what it said of its prediction.
        row: its data, where that is one row of plain values; None: it is in ``part``.
        part: its data otherwise.
        rows: how many rows that is.
        ends: until when it waits, by time.monotonic().
        traceparent: its span; empty where it sent none.
        answered: what it waits for.
        flight: the request that it is part of; None before it is sent.
    """

    __slots__ = ("answered", "ask", "ends", "flight", "part", "row", "rows", "traceparent")

    def __init__(
        self, ask: Prediction, row: Row | None, part: Part | None, traceparent: str, answered: asyncio.Future[Answer]
    ) -> None:
        self.ask = ask
        self.row = row
        self.part = part
        self.rows = 1 if part is None else part.rows
        self.ends = ask.deadline.ends
        self.traceparent = traceparent
        self.answered = answered
        self.flight: Flight | None = None

    def fail(self, error: Exception) -> None:
        """Give it an error of its own."""
        if self.answered.done():
            return
        if isinstance(error, SardonyxError):
            error = late(self.ask.deadline.timeout_s) if isinstance(error, DeadlineExceeded) else again(error)
        self.answered.set_exception(error)


class Flight:
    """Carries calls to a server and their answers back, each call's own.

    A call that is cancelled or late leaves; the others go on. When nobody waits any more, the request is cancelled.

    Args:
        calls: who shares the request.
        carry: sends calls as one request, and says what came back.
        landed: told when all is over.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        carry: Callable[[Sequence[Call]], Awaitable[Reply]],
        landed: Callable[[Flight], None],
    ) -> None:
        self._calls = calls
        self._carry = carry
        self._landed = landed
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None]
        self._timer: asyncio.TimerHandle
        for call in calls:
            call.flight = self

    def depart(self) -> None:
        """Send it, once. It may be over when this returns: some loops' tasks begin when they are made."""
        self._timer = self._watch(time.monotonic())
        self._task = self._loop.create_task(self._fly())

    def left(self) -> None:
        """A caller was cancelled."""
        if all(call.answered.done() for call in self._calls):
            self._task.cancel()

    def abort(self, error: SardonyxError) -> None:
        """End it: nobody may go on waiting."""
        for call in self._calls:
            call.fail(error)
        self._task.cancel()
        # A task that is cancelled before its first step never takes it.
        self._end()

    async def _fly(self) -> None:
        try:
            await self._send(self._calls)
        except asyncio.CancelledError:
            # By nobody but us, or by a loop that ends: then those who wait end with it.
            for call in self._calls:
                call.answered.cancel()
            raise
        finally:
            self._end()

    def _end(self) -> None:
        self._timer.cancel()
        # Each knows the other: without this, only the garbage collector frees them, for half of a call's time.
        for call in self._calls:
            call.flight = None
        self._landed(self)

    async def _send(self, calls: Sequence[Call]) -> None:
        """Send calls together; where that fails by some of them, send those apart."""
        calls = [call for call in calls if not call.answered.done()]
        if not calls:
            return
        try:
            reply = await self._carry(calls)
        except SardonyxError as error:
            parts = parts_after(error, [call.rows for call in calls])
            if parts:
                await asyncio.gather(*(self._send([calls[index] for index in part]) for part in parts))
                return
            for call in calls:
                call.fail(error)
        except Exception as error:
            # A bug, or one of gRPC's: it is theirs, and not of those who are apart from them.
            for call in calls:
                call.fail(error)
        else:
            _hand_out(calls, reply)

    def _watch(self, now: float) -> asyncio.TimerHandle:
        first = min([call.ends for call in self._calls if not call.answered.done()])
        return self._loop.call_later(max(0.0, first - now) + _TICK_S, self._look)

    def _look(self) -> None:
        """Let those leave whose time is up."""
        now = time.monotonic()
        for call in self._calls:
            if call.ends <= now:
                call.fail(DeadlineExceeded())
        if all(call.answered.done() for call in self._calls):
            self._task.cancel()
        else:
            self._timer = self._watch(now)


def _hand_out(calls: Sequence[Call], reply: Reply) -> None:
    start = 0
    for call in calls:
        stop = start + call.rows
        if not call.answered.done():
            call.answered.set_result(Answer(reply, call.ask.id, start, stop))
        start = stop
