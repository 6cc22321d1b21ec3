"""The metrics of all workers together, in the supervisor."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sardonyx import __version__
from sardonyx_server.telemetry.metrics import names
from sardonyx_server.telemetry.metrics.names import METRICS, Kind
from sardonyx_server.telemetry.metrics.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping


class Totals:
    """Adds up what workers report. What one had counted stays when it ends: a counter never goes back."""

    def __init__(self) -> None:
        # Read by the threads that answer Prometheus, written by the supervisor's loop.
        self._lock = threading.Lock()
        self._ended = Values()
        self._running: dict[int, Values] = {}
        self._ended.add(names.RESTARTS, (), 0)

    def take(self, worker: int, values: Values) -> None:
        """A worker's report: everything since its start."""
        with self._lock:
            self._running[worker] = values

    def end(self, worker: int, *, restarts: bool) -> None:
        """A worker is no more: its counts stay, its gauges go."""
        with self._lock:
            counted = self._running.pop(worker, Values())
            counted.numbers = {
                name: numbers for name, numbers in counted.numbers.items() if METRICS[name].kind is not Kind.GAUGE
            }
            self._ended.merge(counted)
            self._ended.add(names.RESTARTS, (), restarts)

    def sum(self) -> Values:
        """All together; what a worker has of its own carries its number."""
        with self._lock:
            total = Values()
            total.merge(self._ended)
            for worker, values in self._running.items():
                total.merge(_labelled(values, worker))
            total.add(names.WORKERS, (), len(self._running))
            total.add(names.SERVER, (__version__,), 1)
            return total


def _labelled(values: Values, worker: int) -> Values:
    numbers: Mapping[str, Mapping[tuple[str, ...], float]] = values.numbers
    return Values(
        {
            name: {
                (str(worker), *labels) if METRICS[name].kind is Kind.GAUGE else labels: n for labels, n in each.items()
            }
            for name, each in numbers.items()
        },
        values.distributions,
    )
