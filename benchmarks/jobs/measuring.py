"""What every measurement shares: turns, medians, and the rows of the second table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from figures import Figure
from load import Figures, Load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from figures import Target

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        folder: an empty place for files.
        rounds: how often each side of a comparison is measured.
        seconds: how long each time.
        say: told what happens.
    """

    folder: Path
    rounds: int
    seconds: float
    say: Callable[[str], None]

    def place(self, name: str) -> Path:
        """A folder of one's own in it."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        return folder

    def body(self, name: str, frames: bytes) -> Path:
        """A file that h2load sends."""
        path = self.folder / f"{name}.body"
        path.write_bytes(frames)
        return path


@dataclass(frozen=True, slots=True)
class Measured:
    """One side of a comparison, for the second table.

    Attributes:
        load: what was asked.
        server: who was asked.
        figures: the medians.
    """

    load: str
    server: str
    figures: Figures

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "load": self.load,
            "server": self.server,
            "requests_per_s": self.figures.requests_per_s,
            "latency_p50_us": self.figures.latency_p50_us,
            "latency_p99_us": self.figures.latency_p99_us,
        }


@dataclass(slots=True)
class Findings:
    """What a job found."""

    figures: list[Figure] = field(default_factory=list)
    measured: list[Measured] = field(default_factory=list)


def in_turn(rounds: int, sides: Mapping[str, Callable[[], Result]]) -> dict[str, list[Result]]:
    """Measure every side once in each round, each round beginning with another."""
    names = list(sides)
    found: dict[str, list[Result]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(sides[name]())
    return found


def loads_in_turn(plan: Plan, loads: Mapping[str, Load]) -> dict[str, Figures]:
    """Warm every server up, then measure them in turn; the medians."""
    counts = {name: load.warm_up(plan.seconds) for name, load in loads.items()}
    taken = in_turn(
        plan.rounds,
        {name: lambda name=name: loads[name].run(counts[name]) for name in loads},  # type: ignore[misc]
    )
    return {name: median_of(figures) for name, figures in taken.items()}


def median_of(taken: Sequence[Figures]) -> Figures:
    """The medians over the rounds."""
    return Figures(
        statistics.median(figure.requests_per_s for figure in taken),
        statistics.median(figure.latency_p50_us for figure in taken),
        statistics.median(figure.latency_p99_us for figure in taken),
    )


def ratio(target: Target, ours: float, theirs: float, unit: str) -> Figure:
    """A figure that is a ratio, with both sides of it."""
    return Figure(target, ours / theirs, f"{ours:,.0f} ÷ {theirs:,.0f} {unit}")


def unmeasured(target: Target, reason: str) -> Figure:
    """A figure that could not be measured here."""
    return Figure(target, None, reason)
