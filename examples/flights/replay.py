"""Flights as traffic: each one a request when it is scheduled to leave, and a reported truth once it has landed."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import grpc

from flights.latency import Latency
from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from flights.data import Flight
    from sardonyx import AsyncOutcomes

    #: Asks for a flight under its id; which version answered.
    Ask = Callable[[Flight], Awaitable[int]]

#: Requests under way at once: enough to keep two cores busy, so that the replay's clock runs as fast as they answer.
IN_FLIGHT: Final = 32
#: How often truths are reported, in the replay's time: as by a job that runs every so often.
REPORT_EVERY_S: Final = 3 * 3600
REPORT_TIMEOUT_S: Final = 60.0


@dataclass(slots=True)
class Tally:
    """What came of the requests and of the reports.

    Attributes:
        answered: requests by the version that answered them.
        failures: requests that failed, by message.
        latency: of the requests that were answered.
        reported: truths that the monitor has acknowledged.
        unreported: truths that it did not take, by message.
    """

    answered: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    latency: Latency = field(default_factory=Latency)
    reported: int = 0
    unreported: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """How many requests came to an end."""
        return self.answered.total() + self.failures.total()

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.failures.total()


class Replay:
    """A clock that jumps from one departure to the next, as fast as the answers come.

    Attributes:
        clock: seconds since 1970, in the time of the flights.

    Args:
        ask: how a caller asks; a call that fails raises an error of sardonyx, or of gRPC.
        outcomes: of the monitor.
        tally: where to count.
        on_reported: told of flights whose truth the monitor has acknowledged.
    """

    def __init__(
        self,
        ask: Ask,
        outcomes: AsyncOutcomes,
        tally: Tally,
        on_reported: Callable[[list[Flight]], None],
    ) -> None:
        self.clock = 0.0
        self._tally = tally
        self._ask_for = ask
        self._outcomes = outcomes
        self._on_reported = on_reported
        self._in_the_air: list[Flight] = []
        self._report_at = 0.0
        self._next_at = 0.0

    async def run(self, flights: Iterable[Flight], on_request: Callable[[Flight], None], rate: float | None) -> None:
        """Ask for each flight in order, and report those that land meanwhile.

        Args:
            flights: by departure.
            on_request: told of each flight whose request has come to its end.
            rate: requests a second at most; None: as many as are answered.
        """
        remaining = iter(flights)
        async with asyncio.TaskGroup() as callers:
            for _ in range(IN_FLIGHT):
                callers.create_task(self._call(remaining, on_request, rate))

    async def land_all(self) -> None:
        """Let the clock run on until the last flight has landed, and report it."""
        if self._in_the_air:
            self.clock = max(self.clock, *(flight.lands for flight in self._in_the_air))
            await self._report(self._landed())

    async def _call(
        self, remaining: Iterator[Flight], on_request: Callable[[Flight], None], rate: float | None
    ) -> None:
        for flight in remaining:
            await self._wait_for_turn(rate)
            self.clock = max(self.clock, flight.departs)
            await self._ask(flight)
            on_request(flight)
            if self.clock >= self._report_at:
                self._report_at = self.clock + REPORT_EVERY_S
                await self._report(self._landed())

    async def _wait_for_turn(self, rate: float | None) -> None:
        if rate is not None:
            self._next_at = max(self._next_at + 1 / rate, time.monotonic())
            await asyncio.sleep(self._next_at - time.monotonic())

    async def _ask(self, flight: Flight) -> None:
        started = time.perf_counter()
        try:
            version = await self._ask_for(flight)
        except (SardonyxError, grpc.RpcError) as error:
            self._tally.failures[f"{type(error).__name__}: {error}"] += 1
            return
        self._tally.latency.add(time.perf_counter() - started)
        self._tally.answered[version] += 1
        heapq.heappush(self._in_the_air, flight)

    def _landed(self) -> list[Flight]:
        """Those that have landed since it was last asked."""
        landed = []
        while self._in_the_air and self._in_the_air[0].lands <= self.clock:
            landed.append(heapq.heappop(self._in_the_air))
        return landed

    async def _report(self, landed: list[Flight]) -> None:
        truths = [(flight.id, flight.late) for flight in landed]
        try:
            await self._outcomes.report_many(truths, timeout_s=REPORT_TIMEOUT_S)
        except SardonyxError as error:
            self._tally.unreported[f"{type(error).__name__}: {error}"] += len(truths)
            return
        self._tally.reported += len(truths)
        self._on_reported(landed)
