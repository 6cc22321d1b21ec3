"""Counts the predictions of one worker, from their records: nothing of it takes place while a request waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx_server.telemetry.metrics import names
from sardonyx_server.telemetry.metrics.values import Values
from sardonyx_server.telemetry.timing import STAGES

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from sardonyx_server.telemetry.metrics.names import Metric
    from sardonyx_server.telemetry.metrics.values import Labels
    from sardonyx_server.telemetry.record import Batch, Record
    from sardonyx_server.telemetry.usual import Usual

Array = npt.NDArray[Any]


class Metrics:
    """Counts predictions: numpy sorts all of a slice's times at once.

    Args:
        models: the names that exist. Any other is a caller's text, and must not become a label.
    """

    def __init__(self, models: Container[str]) -> None:
        self._models = models
        self._values = Values()
        # Told from the start: an alert on what was dropped needs the step from 0.
        self._values.add(names.RECORDS_DROPPED, (), 0)
        # Records are taken by one thread, and the values are read by another.
        self._lock = threading.Lock()

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Count them."""
        by_route: dict[Labels, list[Record]] = {}
        with self._lock:
            for record in records:
                labels = self._labels(record)
                self._values.add(names.REQUESTS, (*labels, record.code), 1)
                if record.served is not None:
                    by_route.setdefault(labels, []).append(record)
            for labels, those in by_route.items():
                self._count(labels, those)
            if missed:
                self._values.add(names.RECORDS_DROPPED, (), missed)

    def take_usual(self, usual: Usual) -> None:
        """Count usual predictions."""
        kind, rows = usual.kind, usual.rows
        labels = (kind.model, str(kind.version), kind.route)
        with self._lock:
            self._values.add(names.REQUESTS, (*labels, "OK"), len(rows))
            self._observe(names.DURATION, labels, rows["duration_ns"] * 1e-9)
            run_rows = _run_rows((1, batch) for batch in usual.batches)
            self._count_answered(labels, rows["stages_ns"], run_rows, len(rows))

    def take_counted(self) -> Values:
        """What was counted since the last call."""
        with self._lock:
            counted, self._values = self._values, Values()
            return counted

    def _labels(self, record: Record) -> Labels:
        """Model, version and route."""
        if record.served is not None:
            return record.served.model, str(record.served.version), record.route
        return record.model if record.model in self._models else "", "", ""

    def _count(self, labels: Labels, records: Sequence[Record]) -> None:
        """Durations, stages and rows of one version on one route."""
        durations = np.array([record.duration_ns for record in records])
        self._observe(names.DURATION, labels, durations * 1e-9)
        answered = [record for record in records if record.code == "OK"]
        if not answered:
            return
        stages_ns = np.array([record.stages_ns for record in answered])
        rows = sum(record.rows for record in answered)
        run_rows = _run_rows((record.rows, record.batch) for record in answered)
        self._count_answered(labels, stages_ns, run_rows, rows)

    def _count_answered(self, labels: Labels, stages_ns: Array, run_rows: Array, rows: int) -> None:
        """Stages and rows of what was answered, and the rows of the runs that answered it."""
        for column, stage in enumerate(STAGES):
            self._observe(names.STAGE_DURATION, (*labels, stage), stages_ns[:, column] * 1e-9)
        self._values.add(names.ROWS, labels, rows)
        # Requests of several routes may share a run.
        self._observe(names.RUN_ROWS, labels[:2], run_rows)

    def _observe(self, metric: Metric, labels: Labels, values: Array) -> None:
        """Put values into their buckets; a bound belongs to the bucket below it."""
        distribution = self._values.distribution(metric, labels)
        distribution.total += float(values.sum())
        found = np.bincount(np.searchsorted(metric.bounds, values), minlength=len(distribution.counts))
        distribution.counts[:] = [
            before + more for before, more in zip(distribution.counts, found.tolist(), strict=True)
        ]


def _run_rows(requests: Iterable[tuple[int, Batch | None]]) -> Array:
    """The rows of each run, shared ones once: their requests may come in any order, and with any others between.

    Args:
        requests: rows of each request, and the run that it shared with others.
    """
    rows = []
    for own, batch in requests:
        if batch is None:
            rows.append(own)
        elif not batch.counted:
            batch.counted = True
            rows.append(batch.rows)
    return np.array(rows)
