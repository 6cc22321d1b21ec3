"""The model's life while it serves: April as traffic, the truth behind it, the retraining, the swap, May."""

from __future__ import annotations

import asyncio
import csv
import json
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Final

from flights.data import TARGET, as_flights
from flights.processes import Child
from flights.replay import Replay
from flights.train import MODEL
from sardonyx import AsyncClient, AsyncOutcomes
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from flights.data import Flight
    from flights.replay import Tally
    from flights.screen import Screen

#: The retraining begins on the morning of this day of April, with what is known by then: on two cores it takes about as
#: long (12 s) as the replay takes for the three weeks that follow ...
RETRAIN_DAY: Final = 8
#: ... and its version is promoted on the morning of this one.
PROMOTE_DAY: Final = 29
#: Requests a second of the replay that does not end: the machine is left to whoever looks at the page.
RATE_AFTERWARDS: Final = 50.0
READY_TIMEOUT_S: Final = 60.0
LOOK_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """What the life is lived in.

    Attributes:
        folder: for what the retraining is given, and for logs.
        registry: where the versions are.
        flights: those that are replayed.
        share: the part of all flights that these are.
        kind: the model that is retrained.
        rate: requests a second at most; None: as many as are answered.
        server, otlp: addresses of the server and of the monitor.
    """

    folder: Path
    registry: Path
    flights: pd.DataFrame
    share: float
    kind: str
    rate: float | None
    server: str
    otlp: str


class Life:
    """From the first request on.

    Attributes:
        retrained: the version that came of the retraining; None until it is there.
    """

    def __init__(self, setting: Setting, screen: Screen, tally: Tally) -> None:
        self.retrained: int | None = None
        self._setting = setting
        self._screen = screen
        self._tally = tally
        self._known: list[Flight] = []

    async def live(self, *, once: bool) -> None:
        """Replay April, retrain, swap, replay May; then, unless it is to be once, the months after it, on and on."""
        async with AsyncClient(self._setting.server) as client, AsyncOutcomes(self._setting.otlp) as outcomes:
            await _ready(client)
            replay = Replay(MODEL, client, outcomes, self._tally, self._learn)
            await self._april(replay)
            may = self._months(5, 5)
            self._screen.say(f"Replaying the {len(may):,} flights of May")
            await self._replay(replay, may, self._setting.rate)
            if not once:
                await self._go_on(replay, client, outcomes)
            await replay.land_all()

    async def _april(self, replay: Replay) -> None:
        april, rate = self._months(4, 4), self._setting.rate
        early, late = april["day"] < RETRAIN_DAY, april["day"] >= PROMOTE_DAY
        self._screen.say(
            f"Replaying the {len(april):,} flights of April: each is a request, and a reported truth once it has landed"
        )
        await self._replay(replay, april[early], rate)
        retraining = asyncio.create_task(self._retrain())
        await self._replay(replay, april[~early & ~late], rate)
        if not retraining.done():
            self._screen.say("The flights wait for the retrained version")
        self.retrained = await retraining
        promoting = asyncio.to_thread(self._promote, self.retrained)
        await asyncio.gather(self._replay(replay, april[late], rate), promoting)

    async def _retrain(self) -> int:
        """Retrain and export, in a process of its own, with the truths as they were reported; the new version."""
        setting = self._setting
        truths, result = setting.folder / "truths.csv", setting.folder / "retrained.json"
        _write(truths, self._known)
        self._screen.say(f"Retraining meanwhile, with the {len(self._known):,} truths reported so far")
        with Child(
            "flights.train",
            *("--kind", setting.kind, "--sample", setting.share),
            *("--truths", truths, "--registry", setting.registry, "--result", result),
            logs=setting.folder,
        ) as child:
            await child.finish()
        written = json.loads(result.read_text(encoding="utf-8"))
        self._screen.say(
            f"Version {written['version']} is exported; it is a {written['verdict']} of the same interface"
        )
        return int(written["version"])

    def _promote(self, version: int) -> None:
        promote(MODEL, version, registry=str(self._setting.registry), reason="retrained with the truths of April")
        self._screen.say(f"Version {version} is promoted, while requests run")

    def _learn(self, reported: list[Flight]) -> None:
        if self.retrained is None:
            self._known += reported

    async def _go_on(self, replay: Replay, client: AsyncClient, outcomes: AsyncOutcomes) -> None:
        """June to December, then year after year, under new ids; never ends."""
        rate = self._setting.rate or RATE_AFTERWARDS
        self._screen.say(f"Replaying on, {rate:g} requests a second; [bold]Ctrl-C[/bold] ends it with the summary")
        await self._replay(replay, self._months(6, 12), rate)
        for year in count(2):
            await replay.land_all()
            self._screen.say("Replaying the year from its start, under new ids")
            replay = Replay(MODEL, client, outcomes, self._tally, self._learn)
            await self._replay(replay, self._months(1, 12), rate, prefix=f"{year}-")

    async def _replay(self, replay: Replay, flights: pd.DataFrame, rate: float | None, prefix: str = "") -> None:
        with self._screen.replaying(len(flights), self._tally) as follow:
            await replay.run(as_flights(flights, prefix), follow, rate)

    def _months(self, first: int, last: int) -> pd.DataFrame:
        return self._setting.flights[self._setting.flights["month"].between(first, last)]


def _write(path: Path, known: list[Flight]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["id", TARGET])
        table.writerows((flight.id, flight.late) for flight in known)


async def _ready(client: AsyncClient) -> None:
    """Wait until the server answers for the model.

    Raises:
        TimeoutError: it does not.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if await client.ready(MODEL):
            return
        await asyncio.sleep(LOOK_S)
    raise TimeoutError(f"The server does not answer for {MODEL} within {READY_TIMEOUT_S:g} s. Its log may say why.")
