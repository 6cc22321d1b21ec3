"""Values of metrics: what a worker has, what travels to the supervisor, and their sum."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sardonyx_server.telemetry.metrics.names import METRICS, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

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
#: A model's name and a version's number.
Version = tuple[str, str]


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

    def since(self, before: Values) -> Values:
        """What counters have gained; gauges as they are."""
        gained = Values()
        for name, numbers in self.numbers.items():
            metric, earlier = METRICS[name], before.numbers.get(name, {})
            for labels, number in numbers.items():
                if metric.kind is Kind.GAUGE:
                    gained.add(metric, labels, number)
                elif number != earlier.get(labels):
                    gained.add(metric, labels, number - earlier.get(labels, 0))
        return gained

    def parted(self) -> tuple[Values, Values]:
        """Gauges, and what adds up."""
        gauges = {name: each for name, each in self.numbers.items() if METRICS[name].kind is Kind.GAUGE}
        counted = {name: each for name, each in self.numbers.items() if name not in gauges}
        return Values(gauges), Values(counted, self.distributions)

    def versions(self) -> set[Version]:
        """The versions that it tells of."""
        return {
            (labels[0], labels[1])
            for name, series in self._series()
            if METRICS[name].of_version
            for labels in series
            # What no version answered has none.
            if labels[1]
        }

    def forget(self, versions: Collection[Version]) -> None:
        """Drop all that it tells of them."""
        for name, series in self._series():
            if METRICS[name].of_version:
                for labels in [labels for labels in series if labels[:2] in versions]:
                    del series[labels]

    def _series(self) -> Iterator[tuple[str, dict[Labels, Any]]]:
        """Of each metric, by labels."""
        yield from self.numbers.items()
        yield from self.distributions.items()

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
