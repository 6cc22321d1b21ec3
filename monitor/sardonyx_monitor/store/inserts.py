"""What the writer does within a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from sardonyx_monitor.store.rows import InputRow, MemberRow, PredictionRow, RequestRow, columns
from sardonyx_monitor.store.sql import statement, used

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import duckdb

    from sardonyx_monitor.store.rows import Batch, Column, OutcomeRow, SenderRow, SpanRow

R = TypeVar("R", RequestRow, MemberRow, PredictionRow, InputRow)
#: Start, trace id, span id: what makes two rows the same span. A resend has the same start.
Key = tuple[int, str, str]

_SWEEPS: Final = (
    "sweep_spans",
    "sweep_requests",
    "sweep_members",
    "sweep_predictions",
    "sweep_inputs",
    "sweep_outcomes",
    "sweep_senders",
)


class Inserts:
    """Puts batches into the tables.

    Args:
        connection: the writer's own.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        row = connection.execute(statement("last_sequence")).fetchone()
        self._sequence = int(row[0]) if row else 0
        #: Spans that came again and were stored already.
        self.repeated = 0

    def store(self, batch: Batch) -> None:
        """Store a batch whole, or raise and store nothing of it; durable on return."""
        self._connection.begin()
        try:
            if batch.spans:
                self._spans(batch)
            if batch.outcomes:
                self._outcomes(batch.outcomes)
            if batch.senders:
                self._senders(batch.senders)
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def sweep(self, before_ns: int) -> None:
        """Delete what happened before a time."""
        for name in _SWEEPS:
            self._connection.execute(statement(name), {"before_ns": before_ns})

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _spans(self, batch: Batch) -> None:
        spans = _first_of_each(batch.spans)
        starts = [span.start_ns for span in spans]
        found = self._insert("insert_spans", columns(spans), first_ns=min(starts), last_ns=max(starts)).fetchall()
        new: set[Key] = set(found)
        self.repeated += len(batch.spans) - len(new)
        if requests := _of_spans(batch.requests, new):
            self._insert("insert_requests", columns(requests))
        if members := _of_spans(batch.members, new):
            self._insert("insert_members", columns(members))
        if predictions := _of_spans(batch.predictions, new):
            self._insert("insert_predictions", columns(predictions))
        if inputs := _of_spans(batch.inputs, new):
            self._insert("insert_inputs", columns(inputs))

    def _outcomes(self, outcomes: Sequence[OutcomeRow]) -> None:
        rows = columns(outcomes)
        rows["sequence"] = np.arange(self._sequence + 1, self._sequence + 1 + len(outcomes))
        self._sequence += len(outcomes)
        self._insert("insert_outcomes", rows)

    def _senders(self, senders: Sequence[SenderRow]) -> None:
        # The highest word of each: one statement may not touch a row twice.
        last = {sender.instance: sender for sender in sorted(senders, key=lambda each: each.spans_dropped)}
        self._insert("upsert_senders", columns(list(last.values())))

    def _insert(self, name: str, batch: dict[str, Column], **parameters: Any) -> duckdb.DuckDBPyConnection:
        text = statement(name)
        self._connection.register("batch", batch)
        return self._connection.execute(text, used(text, parameters))


def _first_of_each(spans: Iterable[SpanRow]) -> list[SpanRow]:
    """The spans without those that a batch holds twice."""
    first: dict[Key, SpanRow] = {}
    for span in spans:
        first.setdefault((span.start_ns, span.trace_id, span.span_id), span)
    return list(first.values())


def _of_spans(rows: Iterable[R], spans: set[Key]) -> list[R]:
    """The rows of these spans, each once."""
    first: dict[tuple[Key, int], R] = {}
    for row in rows:
        key = (row.start_ns, row.trace_id, row.span_id)
        if key in spans:
            first.setdefault((key, _place(row)), row)
    return list(first.values())


def _place(row: RequestRow | MemberRow | PredictionRow | InputRow) -> int:
    """What tells the rows of one span apart."""
    match row:
        case RequestRow():
            return 0
        case MemberRow():
            return row.first_row
        case _:
            return row.request_row
