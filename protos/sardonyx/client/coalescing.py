"""Calls that are under way at the same time share requests, and none of them notices.

A request costs client and server far more than a row: 150 µs against 5. So calls that arrive while others are on
their way wait for those, and then go together. Nobody waits for company: a call that finds nothing on its way goes at
once, with whatever arrived in the same turn of the event loop, and none is held back for longer than HOLD_S, unless
more rows wait than a request may have.

Only calls of one interface, version, routing key and metadata share a request. Traceparents are carried for each.
"""

from __future__ import annotations

import asyncio
import os
import time
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from sardonyx.client.caller import closed
from sardonyx.client.flight import Call, Flight
from sardonyx.client.request import ROWS_MAX
from sardonyx.errors import DeadlineExceeded, SardonyxError
from sardonyx.oip import coalesced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sardonyx.client.answer import Answer, Reply
    from sardonyx.client.caller import Metadata, Prediction
    from sardonyx.client.request import Part, Row, Writer
    from sardonyx.client.retry import Deadline

    Send = Callable[[Writer, bytes, Deadline, Metadata], Awaitable[Reply]]

#: Requests of one group on their way before calls begin to gather. With one, client and server wait for each other.
FLIGHTS: Final = 2
#: A turn's calls are spread over the free flights in parts of so many rows at least.
SPREAD_ROWS: Final = 16
#: The longest that a call is held back. Requests of a small model return within 1 ms; behind a slow one, each 5 ms
#: one more request takes what has gathered.
HOLD_S: Final = 0.005
#: A call that has less time than this goes alone, with its own deadline.
TIMEOUT_S_MIN: Final = 0.05
#: Calls of more rows or bytes go alone: they would make others wait, and gain nothing.
CALL_ROWS_MAX: Final = 64
CALL_BYTES_MAX: Final = 1 << 14
#: A request that becomes larger is sent as two.
BYTES_MAX: Final = 1 << 20

TRACEPARENT: Final = "traceparent"

#: What a call has that brings no metadata.
_NONE: Final[tuple[Metadata, str]] = ((), "")
_ends: Final = attrgetter("ends")


class Coalescer:
    """Takes calls, and sends them in as few requests as their arrival allows. Belongs to one event loop.

    Args:
        send: sends a request of a writer's, however often that takes.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._groups: dict[Any, _Group] = {}

    async def ask(self, writer: Writer, ask: Prediction, row: Row | None, part: Part | None) -> Answer:
        """The answer to one call; raises what the call alone would have met."""
        common, traceparent = _without_traceparent(ask.metadata) if ask.metadata else _NONE
        key = (writer, ask.routing_key, common)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(self._send, writer, common, lambda: self._groups.pop(key, None))
        call = Call(ask, row, part, traceparent, group.loop.create_future())
        group.add(call)
        try:
            return await call.answered
        except asyncio.CancelledError:
            if call.flight is not None:
                call.flight.left()
            raise

    def close(self) -> None:
        """Let nobody wait any more."""
        for group in list(self._groups.values()):
            group.abort(closed())


class _Group:
    """Calls that may share requests."""

    def __init__(self, send: Send, writer: Writer, metadata: Metadata, idle: Callable[[], object]) -> None:
        self.loop = asyncio.get_running_loop()
        self._send = send
        self._writer = writer
        self._metadata = metadata
        self._idle = idle
        self._waiting: list[Call] = []
        self._flights: set[Flight] = set()
        self._turn: asyncio.Handle | None = None
        self._hold: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        """Let a call wait for the end of this turn, or for a flight that returns."""
        self._waiting.append(call)
        if self._turn is None:
            self._turn = self.loop.call_soon(self._depart)

    def abort(self, error: SardonyxError) -> None:
        """End all, waiting or on its way."""
        for call in self._waiting:
            call.fail(error)
        for flight in list(self._flights):
            flight.abort(error)

    def _depart(self) -> None:
        """Send what waits, as far as there is room."""
        self._turn = None
        self._send_waiting(FLIGHTS - len(self._flights))

    def _overdue(self) -> None:
        """Send what has waited for too long, room or not."""
        self._hold = None
        self._send_waiting(max(FLIGHTS - len(self._flights), 1))

    def _send_waiting(self, free: int) -> None:
        self._take_off(free)
        if self._waiting and self._hold is None:
            self._hold = self.loop.call_later(HOLD_S, self._overdue)
        if not self._waiting and not self._flights and self._turn is None:
            self._idle()

    def _take_off(self, free: int) -> None:
        waiting = _in_time(self._waiting)
        for count in loads([call.rows for call in waiting], free):
            # Rows that are still to be written are written together.
            calls = sorted(waiting[:count], key=_is_written)
            del waiting[:count]
            flight = Flight(calls, self._carry, self._land)
            self._flights.add(flight)
            flight.depart()
        self._waiting = waiting
        if not waiting and self._hold is not None:
            self._hold.cancel()
            self._hold = None

    def _land(self, flight: Flight) -> None:
        """A flight is over; those whom it answered have their turn before the next one departs."""
        self._flights.discard(flight)
        if self._turn is None:
            self._turn = self.loop.call_soon(self._depart)

    async def _carry(self, calls: Sequence[Call]) -> Reply:
        """Send calls as one request."""
        rows = [call.row for call in calls if call.row is not None]
        parts = [self._writer.of_rows(rows)] if rows else []
        parts += [call.part for call in calls if call.part is not None]
        alone = len(calls) == 1
        ask = max(calls, key=_ends).ask
        parameters = {**ask.parameters} if alone else {**ask.parameters, coalesced.PARAMETER: _members(calls)}
        request = self._writer.request(parts, ask.id if alone else os.urandom(16).hex(), parameters)
        if len(request) > BYTES_MAX and not alone:
            raise _TooLarge
        reply = await self._send(self._writer, request, ask.deadline, ask.metadata if alone else self._metadata)
        if not reply.holds(sum(call.rows for call in calls)):
            raise SardonyxError("The server answered with another number of rows than it was asked for.")
        return reply


class _TooLarge(SardonyxError):
    """Never leaves this file: a request of several calls is to be sent as two."""


def loads(rows: Sequence[int], free: int) -> list[int]:
    """How many of the waiting calls each of the next requests takes, from the first on.

    Args:
        rows: how many rows each call has.
        free: how many requests may be sent; none where it is not above 0.
    """
    parts = max(1, min(free, sum(rows) // SPREAD_ROWS))
    share = min(ROWS_MAX, -(-sum(rows) // parts))
    counts: list[int] = []
    room = 0
    for each in rows:
        if room < each:
            if len(counts) >= free:
                break
            counts.append(0)
            # The last one takes what did not fit into shares: calls are not cut.
            room = share if len(counts) < parts else ROWS_MAX
        counts[-1] += 1
        room -= each
    return counts


def _in_time(calls: Sequence[Call]) -> list[Call]:
    """The calls that somebody still waits for; those that are late learn it."""
    now = time.monotonic()
    in_time = []
    for call in calls:
        if call.ends <= now:
            call.fail(DeadlineExceeded())
        elif not call.answered.done():
            in_time.append(call)
    return in_time


def _members(calls: Sequence[Call]) -> str:
    """Whose rows are whose."""
    rows = [call.rows for call in calls]
    traceparents = [call.traceparent for call in calls]
    return coalesced.write(
        coalesced.Coalesced(
            [call.ask.id for call in calls],
            rows if max(rows) > 1 else None,
            traceparents if any(traceparents) else None,
        )
    )


def _without_traceparent(metadata: Metadata) -> tuple[Metadata, str]:
    """Metadata that calls must have in common, and the span that each has of its own."""
    for key, value in metadata:
        if key == TRACEPARENT and isinstance(value, str):
            return tuple(entry for entry in metadata if entry[0] != TRACEPARENT), value
    return metadata, ""


def _is_written(call: Call) -> bool:
    return call.part is not None
