"""What the tests of figures share: a store without its doors, and the rows that they put into it."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sardonyx_monitor.catalog import Model, Snapshot, Version
from sardonyx_monitor.store.database import Database
from sardonyx_monitor.store.reader import Query
from sardonyx_monitor.store.rows import Batch, OutcomeRow, PredictionRow, RequestRow, SpanRow
from sardonyx_monitor.store.writer import Writer
from sardonyx_monitor.views import models
from sardonyx_monitor.views.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from sardonyx.registry.v1.manifest_pb2 import Metric
    from sardonyx_monitor.statistics.quality import Figure
    from sardonyx_monitor.views.shapes import ModelView, Quality

MODEL = "by-hand"
#: A request that stands for itself, had a run of its own, and is no shadow's.
ALONE: dict[str, Any] = {
    "weight": 1.0,
    "caller": "",
    "batch_id": "",
    "batch_rows": 0,
    "batch_requests": 0,
    "live_version": 0,
    "agreement": None,
}


@dataclass(frozen=True, slots=True)
class Store:
    """An empty store of its own, written and read as the monitor does."""

    writer: Writer
    query: Query

    def write(self, batch: Batch) -> None:
        """Write, durable on return."""
        self.writer.submit(batch).result(timeout=20)

    def model(self, *versions: Version) -> ModelView:
        """What the page shows of the one model."""
        snapshot = Snapshot({MODEL: Model({each.number: each for each in versions})}, datetime.now(UTC))
        view, _ = models.read_model(self.query, snapshot, MODEL, Window.parse("1h"))
        return view

    def quality(self, version: Version) -> Quality:
        """What the page shows of the one version's quality."""
        (shown,) = self.model(version).versions
        return shown.quality


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Store]:
    """A store in a folder, empty where the folder is."""
    database = Database(folder)
    database.open()
    writer = Writer(database)
    writer.start()
    query = Query(database.cursor())
    try:
        yield Store(writer, query)
    finally:
        writer.stop()
        query.close()
        database.close()


def version_of(classes: Sequence[str] = (), promised: Sequence[Metric] = (), number: int = 1) -> Version:
    """A version as the registry has it: a classifier where it has classes, else a regressor."""
    return Version(
        number=number,
        major=1,
        created_at=datetime.now(UTC),
        author="",
        description="",
        source_model="",
        regression=not classes,
        classes=tuple(classes),
        metrics={metric.name: metric for metric in promised},
        primary=promised[0].name if promised else "",
        holdout_rows=100,
    )


def recent_ns() -> int:
    """A minute ago."""
    return time.time_ns() - 60 * 10**9


def span_row(start_ns: int, span_id: str, duration_ns: int = 1000) -> SpanRow:
    """A span about which nobody asks."""
    return SpanRow(
        start_ns=start_ns,
        trace_id=span_id,
        span_id=span_id,
        parent_span_id="",
        trace_state="",
        name="infer",
        kind="Server",
        service="tests",
        resource="{}",
        scope_name="",
        scope_version="",
        attributes="{}",
        duration_ns=duration_ns,
        status_code="Unset",
        status_message="",
        event_ns=[],
        event_name=[],
        event_attributes=[],
        link_trace_id=[],
        link_span_id=[],
        link_state=[],
        link_attributes=[],
    )


def request_row(span: SpanRow, rows: int, code: str = "OK") -> RequestRow:
    """The request "p"."""
    return RequestRow(
        span.start_ns, span.trace_id, span.span_id, "p", MODEL, 1, 1, "live", code, rows, span.duration_ns, **ALONE
    )


def prediction_row(span: SpanRow, row: int, label: str | None, value: float | None, vector: Any) -> PredictionRow:
    """One row that was answered to "p"."""
    key = (span.start_ns, span.trace_id, span.span_id)
    return PredictionRow(*key, "p", row, MODEL, 1, label, value, vector, route="live", weight=1.0, request_row=row)


def outcome_row(row: int, label: str | None, number: float | None, observe_ns: int) -> OutcomeRow:
    """What came true of one row of "p"."""
    kind = "number" if label is None else "label"
    return OutcomeRow(f"{row:032x}", "p", row, kind, label, None, number, observe_ns, observe_ns, "", 0)


def classified(labels: Sequence[str], vectors: npt.NDArray[Any], truths: Sequence[str | None]) -> Batch:
    """Rows of one request, with the truths that are known."""
    span = span_row(recent_ns(), "1")
    told = [(row, truth) for row, truth in enumerate(truths) if truth is not None]
    return Batch(
        spans=[span],
        requests=[request_row(span, len(labels))],
        predictions=[prediction_row(span, row, label, None, vectors[row].tolist()) for row, label in enumerate(labels)],
        outcomes=[outcome_row(row, truth, None, span.start_ns + 5 * 10**9) for row, truth in told],
    )


@dataclass(frozen=True, slots=True)
class Request:
    """A request of one row, and what came true of it; the fields are those of the tables."""

    number: int
    label: str = "no"
    truth: str | None = None
    vector: list[float] | None = None
    version: int = 1
    route: str = "live"
    code: str = "OK"
    duration_ns: int = 1_000_000
    weight: float = 1.0
    live_version: int = 0
    agreement: float | None = None

    def rows(self, start_ns: int) -> Batch:
        """As the receivers make of it. Requests of one number share prediction id and truth."""
        span = span_row(start_ns + self.number, f"{self.route}-{self.version}-{self.number}", self.duration_ns)
        own_id = f"p{self.number}"
        own: dict[str, Any] = {"weight": self.weight, "live_version": self.live_version, "agreement": self.agreement}
        request = request_row(span, 1, self.code)._replace(
            prediction_id=own_id, version=self.version, route=self.route, **own
        )
        row = prediction_row(span, 0, self.label, None, self.vector)._replace(
            prediction_id=own_id, version=self.version, route=self.route, weight=self.weight
        )
        outcome = outcome_row(self.number, self.truth, None, span.start_ns + 10**9)._replace(
            prediction_id=own_id, row_index=0
        )
        return Batch(
            spans=[span],
            requests=[request],
            predictions=[row] if self.code == "OK" else [],
            outcomes=[outcome] if self.truth is not None else [],
        )


def batch_of(requests: Iterable[Request]) -> Batch:
    """Requests of the last minute."""
    start_ns = recent_ns()
    return Batch.merged(each.rows(start_ns) for each in requests)


def practice_of(quality: Quality) -> dict[str, Figure]:
    """The metrics that practice knows, by name."""
    return {each.name: each.practice for each in quality.comparisons if each.practice is not None}
