"""Values of metrics: what a worker has, what travels to the supervisor, and their sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sardonyx_server.telemetry.metrics.names import METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_server.telemetry.metrics.names import Metric


@dataclass(slots=True)
class Distribution:
    """A histogram's values.

    Attributes:
        counts: one for each bucket, and one for what lies above the last bound.
        total: the sum of all that was observed.
    """

    counts: list[int]
    total: float = 0.0


Labels = tuple[str, ...]


@dataclass(slots=True)
class Values:
    """Values by the name of their metric and by their labels."""

    numbers: dict[str, dict[Labels, float]] = field(default_factory=dict)
    distributions: dict[str, dict[Labels, Distribution]] = field(default_factory=dict)

    def add(self, metric: Metric, labels: Labels, amount: float) -> None:
        """Count."""
        numbers = self.numbers.setdefault(metric.name, {})
        numbers[labels] = numbers.get(labels, 0) + amount

    def distribution(self, metric: Metric, labels: Labels) -> Distribution:
        """A histogram's values, empty where there were none."""
        found = self.distributions.setdefault(metric.name, {})
        if labels not in found:
            found[labels] = Distribution([0] * (len(metric.bounds) + 1))
        return found[labels]

    def merge(self, other: Values) -> None:
        """Add all of another's."""
        for name, numbers in other.numbers.items():
            for labels, number in numbers.items():
                self.add(METRICS[name], labels, number)
        for name, distributions in other.distributions.items():
            for labels, more in distributions.items():
                mine = self.distribution(METRICS[name], labels)
                mine.counts = [one + another for one, another in zip(mine.counts, more.counts, strict=True)]
                mine.total += more.total

    def as_data(self) -> dict[str, Any]:
        """For JSON, which has no keys of several parts."""
        return {
            "numbers": {name: list(numbers.items()) for name, numbers in self.numbers.items()},
            "distributions": {
                name: [(labels, each.counts, each.total) for labels, each in distributions.items()]
                for name, distributions in self.distributions.items()
            },
        }

    @classmethod
    def of(cls, data: dict[str, dict[str, Sequence[Any]]]) -> Values:
        """What ``as_data`` wrote."""
        return cls(
            {name: {tuple(labels): number for labels, number in pairs} for name, pairs in data["numbers"].items()},
            {
                name: {tuple(labels): Distribution(counts, total) for labels, counts, total in items}
                for name, items in data["distributions"].items()
            },
        )
