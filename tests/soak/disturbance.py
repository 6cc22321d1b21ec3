"""What every disturbance shares: where it takes place, and how it waits for what must come."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from soak.callers.course import Course
    from soak.ledger import Ledger
    from soak.models import Model
    from soak.stage import Stage
    from soak.timeline import Timeline, Windows

#: How long is waited for what must come.
WAIT_S: Final = 60.0
_LOOK_S: Final = 0.2


class BrokenPromise(Exception):
    """What had to come did not."""


@dataclass(slots=True)
class Scene:
    """Where disturbances take place.

    Attributes:
        stage: the programs.
        models: what is asked, by name.
        course: where callers run.
        ledger: what callers saw.
        timeline: where routes lead.
        windows: which faults there are.
        random: what is drawn.
        registry: held by whoever writes to the registry, or takes it away.
        pace: how long faults last, of their usual time.
    """

    stage: Stage
    models: Mapping[str, Model]
    course: Course
    ledger: Ledger
    timeline: Timeline
    windows: Windows
    random: random.Random
    pace: float
    registry: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def hold(self, low_s: float, high_s: float) -> None:
        """Let a disturbance last for a while."""
        await asyncio.sleep(self.random.uniform(low_s, high_s) * self.pace)

    async def wait(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for what must come.

        Raises:
            BrokenPromise: it does not.
        """
        deadline = time.monotonic() + WAIT_S
        while not await asyncio.to_thread(holds):
            if time.monotonic() > deadline:
                raise BrokenPromise(f"not within {WAIT_S:g} s: {what}")
            await asyncio.sleep(_LOOK_S)


class Disturbance(Protocol):
    """A fault, or an act of the exporter's.

    Attributes:
        name: for the table.
        meaning: what happens.
        early: it comes in the first half alone.
    """

    name: str
    meaning: str
    early: bool

    async def strike(self, scene: Scene) -> None:
        """Begin, last for a while, and end; whatever happens meanwhile, everything is well afterwards."""
        ...


class Struck(NamedTuple):
    """A disturbance that took place.

    Attributes:
        name: which.
        began_s, ended_s: when, in seconds since the soak began.
        answers: that callers got while it lasted.
        failures: by code and cause.
    """

    name: str
    began_s: float
    ended_s: float
    answers: int
    failures: Counter[tuple[str, str]]


class Lane:
    """Disturbances that take place one after the other, in random order, each as often as the others.

    Args:
        scene: where.
        kinds: which.
        pause_s: how long between two, at most.
        struck: told of each.
        early_until: when those that come early come no more, by time.monotonic().
    """

    def __init__(
        self,
        scene: Scene,
        kinds: Sequence[Disturbance],
        pause_s: float,
        struck: Callable[[str], None],
        early_until: float,
    ) -> None:
        self.struck: list[Struck] = []
        self.broken: list[str] = []
        self._scene = scene
        self._kinds = kinds
        self._pause_s = pause_s
        self._told = struck
        self._early_until = early_until
        self._began = time.monotonic()

    async def run(self, stop: asyncio.Event, *, once: bool) -> None:
        """Disturb until told to stop, or until each took place once; what has begun comes to its end."""
        while not stop.is_set():
            for kind in self._scene.random.sample(self._kinds, len(self._kinds)):
                if stop.is_set():
                    return
                if kind.early and time.monotonic() > self._early_until:
                    continue
                await self._strike(kind)
                await asyncio.sleep(self._scene.random.uniform(0.2, self._pause_s))
            if once:
                return

    async def _strike(self, kind: Disturbance) -> None:
        began_s, before = time.monotonic() - self._began, self._scene.ledger.totals()
        self._told(kind.name)
        try:
            await kind.strike(self._scene)
        except BrokenPromise as error:
            self.broken.append(f"{kind.name}: {error}")
        after = self._scene.ledger.totals()
        ended_s = time.monotonic() - self._began
        self.struck.append(
            Struck(kind.name, began_s, ended_s, after.answers - before.answers, after.failures - before.failures)
        )
