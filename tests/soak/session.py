"""The walk of a soak: publish, start, call and disturb, end, compare."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sardonyx_exporter import promote
from soak import verdicts
from soak.acts import ACTS
from soak.callers.bare import Bare, Newcomer
from soak.callers.course import Course
from soak.callers.ours import Blocking, Coalescing
from soak.callers.triton import Streaming, Unary
from soak.disturbance import Lane, Scene
from soak.faults import FAULTS
from soak.ledger import Ledger
from soak.memory import Memory, Pace
from soak.models import Long, Table
from soak.outcomes import Outcomes
from soak.report import Report
from soak.stage import WORKERS, Stage
from soak.stored import compare
from soak.timeline import Timeline, Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from soak.callers.course import Caller
    from soak.models import Model

#: How long a caller waits between two calls, in the mean, at the load 1: together some hundred calls a second, so that
#: a machine of two processors has time for faults and acts too.
PAUSE_S: Final = 0.04
_LOOK_S: Final = 0.5
_TELL_S: Final = 5.0
#: How long callers and disturbances may take to come to their end.
_END_S: Final = 150.0
_STORE: Final = "monitor.duckdb"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted.

    Attributes:
        seconds: how long, at most.
        seed: of everything that is drawn.
        load: callers' haste: 2 is twice as many calls.
        once: end when each fault and act has taken place once.
    """

    seconds: float
    seed: int
    load: float
    once: bool

    @property
    def repeat(self) -> str:
        """The command that draws the same again."""
        once = " --once" if self.once else ""
        return f'make soak ARGS="--seed {self.seed} --minutes {self.seconds / 60:g} --load {self.load:g}{once}"'


class Soak:
    """One soak.

    Args:
        plan: what is wanted.
        folder: where registry and store are.
        say: told what happens.
    """

    def __init__(self, plan: Plan, folder: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._stage = Stage(folder)
        self._models: Mapping[str, Model] = {model.name: model for model in (Table(plan.seed), Long())}
        self._timeline, self._windows = Timeline(), Windows()
        self._ledger = Ledger(plan.seed, self._models, self._timeline, self._windows)
        self._outcomes = Outcomes(self._windows)
        self._memory = Memory()
        self._lanes: list[Lane] = []
        self._started = time.monotonic()

    async def run(self) -> Report:
        """Soak, and say what was found; ends everything that it started, also when it is cancelled."""
        try:
            await asyncio.to_thread(self._publish)
            await asyncio.to_thread(self._stage.start)
            course = self._course()
            scene = self._scene(course)
            await scene.wait(
                lambda: self._stage.ready_workers(len(self._models)) == WORKERS, "every worker has every model ready"
            )
            seconds = await self._disturbed(course, scene)
            figures = await asyncio.to_thread(self._last_figures)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._stage.stop))
            raise
        flaws = await asyncio.to_thread(self._stage.stop)
        return self._report(seconds, figures, flaws)

    def _publish(self) -> None:
        for model in self._models.values():
            version = model.publish(self._stage.registry)
            with self._timeline.moving(model.name, frozenset({version})):
                promote(model.name, version, registry=str(self._stage.registry))

    def _course(self) -> Course:
        pause_s = PAUSE_S / self._plan.load
        return Course(self._stage.address, self._plan.seed, pause_s, self._models, self._ledger, self._outcomes)

    def _scene(self, course: Course) -> Scene:
        pace = 0.3 if self._plan.once else 1.0
        draw = random.Random(f"{self._plan.seed}/scene")  # noqa: S311 - no secret
        return Scene(self._stage, self._models, course, self._ledger, self._timeline, self._windows, draw, pace)

    async def _disturbed(self, course: Course, scene: Scene) -> float:
        """Call and disturb; for how many seconds callers called."""
        calm, quiet = asyncio.Event(), asyncio.Event()
        self._started = time.monotonic()
        # What restarts the monitor ends half-way, so that one of them lives long enough for its memory to be judged.
        half = self._started + self._plan.seconds / 2
        self._lanes = [
            Lane(scene, [kind() for kind in kinds], self._pause_s, self._tell, half) for kinds in (FAULTS, ACTS)
        ]
        callers = [asyncio.create_task(caller.run()) for caller in _callers(course)]
        reporter = asyncio.create_task(self._outcomes.run(self._stage.otlp, quiet))
        watcher = asyncio.create_task(self._watch())
        disturbing = [asyncio.create_task(lane.run(calm, once=self._plan.once)) for lane in self._lanes]
        tasks = [*callers, reporter, watcher, *disturbing]
        try:
            # A caller that ends before it is told to has found a bug of its own: there is nothing to wait for.
            await _first_of([asyncio.gather(*disturbing), *callers, watcher], self._plan.seconds)
            calm.set()
            await _all_of(disturbing)
            course.stop.set()
            await _all_of(callers)
            seconds = time.monotonic() - self._started
            quiet.set()
            await _all_of([reporter])
        finally:
            # Threads end by this alone.
            course.stop.set()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        return seconds

    @property
    def _pause_s(self) -> float:
        return 0.5 if self._plan.once else 3.0

    async def _watch(self) -> None:
        """Look at memory, say now and then how it goes, and at once what must not be."""
        told, known = time.monotonic(), 0
        while True:
            await asyncio.to_thread(lambda: self._memory.look(self._stage.processes()))
            for flaw in self._ledger.told[known:]:
                self._tell(flaw)
                known += 1
            if time.monotonic() - told >= _TELL_S:
                told = time.monotonic()
                self._tell(self._state())
            await asyncio.sleep(_LOOK_S)

    def _state(self) -> str:
        ledger, sizes = self._ledger, self._memory.now_mib()
        failures = sum(ledger.failures.values())
        memory = ", ".join(f"{kind} {size:.0f}" for kind, size in sizes.items())
        bad = ledger.wrong + ledger.forbidden + ledger.twice
        return f"{ledger.answers.total():,} answers, {failures:,} failures, {bad} violations; MiB: {memory}"

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._started:5.0f} s  {text}")

    def _last_figures(self) -> dict[str, Any]:
        """What the server says of its telemetry once all of it is sent."""
        deadline = time.monotonic() + 30
        while self._stage.total("sardonyx_spans_buffered") and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        # The workers tell twice a second.
        time.sleep(2 * _LOOK_S)
        names = ("spans_sent", "spans_dropped", "records_dropped", "requests", "worker_restarts")
        figures = {name: int(self._stage.total(f"sardonyx_{name}_total")) for name in names}
        figures["shadow_requests"] = int(self._stage.total("sardonyx_requests_total", route="shadow"))
        return figures

    def _report(self, seconds: float, figures: dict[str, Any], flaws: list[str]) -> Report:
        stored = compare(self._stage.data / _STORE, self._ledger, self._outcomes.acknowledged, self._stage.losses)
        dropped = figures["spans_dropped"] + figures["records_dropped"]
        lives = self._memory.lives()
        versions, minutes = sum(len(model.known) for model in self._models.values()), seconds / 60
        broken = [text for lane in self._lanes for text in lane.broken]
        judged = [
            *verdicts.of_requests(self._ledger),
            *verdicts.of_monitor(stored, self._outcomes, dropped, figures["spans_sent"]),
            *verdicts.of_memory(lives, Pace(versions / minutes, figures["spans_sent"] / minutes)),
            verdicts.of_disturbances(broken),
            verdicts.of_the_end(flaws),
        ]
        return Report(
            self._plan.seed,
            self._plan.repeat,
            seconds,
            self._ledger,
            sorted((struck for lane in self._lanes for struck in lane.struck), key=lambda struck: struck.began_s),
            lives,
            {**figures, **stored._asdict(), "outcomes_acknowledged": len(self._outcomes.acknowledged)},
            judged,
            [*self._ledger.told, *self._outcomes.told, *broken, *flaws],
        )


def _callers(course: Course) -> list[Caller]:
    return [
        Coalescing(course, tasks=10),
        Blocking(course, threads=3),
        Unary(course, tasks=3),
        *(Streaming(course, number) for number in range(2)),
        *(Bare(course, number) for number in range(4)),
        *(Newcomer(course, number) for number in range(2)),
    ]


async def _first_of(tasks: list[Any], timeout_s: float) -> None:
    """Wait until one of them ends, for so long at most; what it raised is raised."""
    done, _ = await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def _all_of(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for their end; what does not come to it is cancelled later, and leaves its requests unresolved."""
    done, late = await asyncio.wait(tasks, timeout=_END_S)
    for task in done:
        task.result()
    for task in late:
        sys.stderr.write(f"did not come to its end: {task.get_coro()}\n")
