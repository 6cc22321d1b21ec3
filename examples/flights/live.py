"""The model's life while it serves: April as traffic, the truth behind it, the retraining, the swap, May.

In the middle of May the weather joins the inputs. Nobody who calls knows of it, so that this is another interface: it
is served beside the first, whose callers go on as they did.
"""

from __future__ import annotations

import asyncio
import csv
import json
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape

from flights.callers import NEW_CALLER, OLD_CALLER, ask_v1, asking_v2, compile_v2
from flights.data import FEATURES, FEATURES_AND_WEATHER, TARGET, as_flights
from flights.processes import Child
from flights.replay import Replay
from flights.train import MODEL
from sardonyx import AsyncClient, AsyncOutcomes
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd

    from flights.data import Flight
    from flights.replay import Ask, Tally
    from flights.screen import Screen

#: The retraining begins on the morning of this day of April, with what is known by then: on two cores it takes about as
#: long (12 s) as the replay takes for the three weeks that follow ...
RETRAIN_DAY: Final = 8
#: ... and its version is promoted on the morning of this one.
PROMOTE_DAY: Final = 29
#: The weather joins the inputs on the morning of this day of May; the training begins with the month.
WEATHER_DAY: Final = 15
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
        server: the server's supervisor.
        workers: how many it has.
        address, otlp: of the server and of the monitor.
    """

    folder: Path
    registry: Path
    flights: pd.DataFrame
    share: float
    kind: str
    rate: float | None
    server: Child
    workers: int
    address: str
    otlp: str


class Life:
    """From the first request on.

    Attributes:
        retrained: the version that came of the retraining; None until it is there.
        weathered: the version that is asked with the weather; None until it is there.
    """

    def __init__(self, setting: Setting, screen: Screen, tally: Tally) -> None:
        self.retrained: int | None = None
        self.weathered: int | None = None
        self._setting = setting
        self._screen = screen
        self._tally = tally
        self._known: list[Flight] = []

    async def live(self, *, once: bool) -> None:
        """Replay April, retrain, swap, replay May, with the weather from its middle on.

        Then, unless it is to be once, the months after it, on and on.
        """
        setting = self._setting
        async with AsyncClient(setting.address, caller=OLD_CALLER) as client, AsyncOutcomes(setting.otlp) as outcomes:
            await _ready(client)
            old = self._caller(ask_v1(client), outcomes)
            await self._april(old)
            await self._early_may(old)
            async with asking_v2(await self._compile(), setting.address) as asking:
                callers = old, self._caller(asking, outcomes)
                await self._late_may(callers)
                if not once:
                    await self._go_on(
                        callers, lambda: (self._caller(ask_v1(client), outcomes), self._caller(asking, outcomes))
                    )
                await _land_all(callers)

    def _caller(self, ask: Ask, outcomes: AsyncOutcomes) -> Replay:
        """One who asks in this way."""
        return Replay(ask, outcomes, self._tally, self._learn)

    async def _april(self, replay: Replay) -> None:
        april, rate = self._months(4, 4), self._setting.rate
        early, late = april["day"] < RETRAIN_DAY, april["day"] >= PROMOTE_DAY
        self._screen.say(
            f"{OLD_CALLER} asks for the {len(april):,} flights of April: each is a request, and a reported truth once"
            " it has landed"
        )
        await self._replay(replay, april[early], rate)
        retraining = asyncio.create_task(self._retrain())
        await self._replay(replay, april[~early & ~late], rate)
        if not retraining.done():
            self._screen.say("The flights wait for the retrained version")
        self.retrained = await retraining
        promoting = asyncio.to_thread(self._promote, self.retrained)
        await asyncio.gather(self._replay(replay, april[late], rate), promoting)

    async def _early_may(self, replay: Replay) -> None:
        may = self._months(5, 5)
        self._screen.say(f"{OLD_CALLER} asks for the first of the {len(may):,} flights of May")
        training = asyncio.create_task(self._let_weather_join())
        await self._replay(replay, may[may["day"] < WEATHER_DAY], self._setting.rate)
        if not training.done():
            self._screen.say("The flights wait for the version that knows the weather")
        self.weathered = await training
        await asyncio.to_thread(self._publish, self.weathered)

    async def _compile(self) -> Path:
        """What a caller of v2 does first."""
        stubs = await compile_v2(self._setting.folder, self._setting.address)
        self._screen.say(f"{NEW_CALLER} compiles v2 as the server describes it: the stub is in {escape(str(stubs))}")
        return stubs

    async def _late_may(self, callers: tuple[Replay, Replay]) -> None:
        may = self._months(5, 5)
        self._screen.say(
            f"{NEW_CALLER} asks v2, with the weather, for every other flight of the rest of May; {OLD_CALLER} asks v1"
            " for the others, as always"
        )
        await self._replay_both(callers, may[may["day"] >= WEATHER_DAY], self._setting.rate)

    async def _retrain(self) -> int:
        """Retrain and export with the truths as they were reported; the new version."""
        self._screen.say(f"Retraining meanwhile, with the {len(self._known):,} truths reported so far")
        written = await self._train("retrained")
        self._screen.say(
            f"Version {written['version']} is exported; it is a {written['verdict']} of the same interface"
        )
        return int(written["version"])

    async def _let_weather_join(self) -> int:
        """Train the same kind of model with more inputs, and export it; the new version."""
        self._screen.say(
            f"Training meanwhile with the weather, and with the {len(self._known):,} truths reported so far"
        )
        written = await self._train("weather", "--weather")
        self._screen.say(f"Version {written['version']} is exported; for those who call v1 it is {written['verdict']}:")
        for reason in written["reasons"]:
            self._screen.note(reason)
        return int(written["version"])

    async def _train(self, name: str, *options: str) -> dict[str, Any]:
        """Train and export in a process of its own; what it says of the version."""
        setting = self._setting
        truths, result = setting.folder / f"{name}.csv", setting.folder / f"{name}.json"
        _write(truths, self._known)
        with Child(
            "flights.train",
            *("--kind", setting.kind, "--sample", setting.share),
            *("--truths", truths, "--registry", setting.registry, "--result", result),
            *options,
            logs=setting.folder,
        ) as child:
            await child.finish()
        written: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        return written

    def _promote(self, version: int) -> None:
        promote(MODEL, version, registry=str(self._setting.registry), reason="retrained with the truths of April")
        self._screen.say(f"Version {version} is promoted, while requests run")

    def _publish(self, version: int) -> None:
        """Promote it, and wait until all workers answer v2: one may be ready while another has not seen it yet."""
        setting = self._setting
        promote(
            MODEL,
            version,
            registry=str(setting.registry),
            default_major=True,
            reason="the weather joins the inputs",
        )
        setting.server.wait_for(f"version {version} is live for v2", setting.workers)
        self._screen.say(
            f"Version {version} is promoted: v2 is served beside v1, and whoever names no version is led to it"
        )

    def _learn(self, reported: list[Flight]) -> None:
        if self.weathered is None:
            self._known += reported

    async def _go_on(self, callers: tuple[Replay, Replay], anew: Callable[[], tuple[Replay, Replay]]) -> None:
        """June to December, then year after year, under new ids; never ends."""
        rate = self._setting.rate or RATE_AFTERWARDS
        self._screen.say(f"Replaying on, {rate:g} requests a second; [bold]Ctrl-C[/bold] ends it with the summary")
        await self._replay_both(callers, self._months(6, 12), rate)
        for year in count(2):
            await _land_all(callers)
            self._screen.say("Replaying the year from its start, under new ids")
            callers = anew()
            await self._replay_both(callers, self._months(1, 12), rate, prefix=f"{year}-")

    async def _replay(self, replay: Replay, flights: pd.DataFrame, rate: float | None) -> None:
        with self._screen.replaying(len(flights), self._tally) as follow:
            await replay.run(as_flights(flights), follow, rate)

    async def _replay_both(
        self, callers: tuple[Replay, Replay], flights: pd.DataFrame, rate: float | None, prefix: str = ""
    ) -> None:
        """Each asks for every other flight."""
        each = None if rate is None else rate / len(callers)
        features = (FEATURES, FEATURES_AND_WEATHER)
        with self._screen.replaying(len(flights), self._tally) as follow:
            async with asyncio.TaskGroup() as asking:
                for first, (replay, names) in enumerate(zip(callers, features, strict=True)):
                    turns = as_flights(flights.iloc[first :: len(callers)], names, prefix)
                    asking.create_task(replay.run(turns, follow, each))

    def _months(self, first: int, last: int) -> pd.DataFrame:
        return self._setting.flights[self._setting.flights["month"].between(first, last)]


async def _land_all(callers: tuple[Replay, Replay]) -> None:
    for replay in callers:
        await replay.land_all()


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
