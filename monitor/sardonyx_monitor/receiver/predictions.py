"""What a span says of a prediction: the rows of ``requests`` and ``predictions``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sardonyx import telemetry
from sardonyx_monitor.receiver.attributes import (
    Malformed,
    read_double,
    read_doubles,
    read_elements,
    read_integer,
    read_text,
)
from sardonyx_monitor.store.rows import PredictionRow, RequestRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from sardonyx_monitor.receiver.attributes import Values
    from sardonyx_monitor.receiver.members import Members
    from sardonyx_monitor.store.rows import SpanRow

#: Kept in ``predictions``, typed, and not a second time as text among the span's attributes.
OUTPUTS: Final = frozenset({telemetry.OUTPUT_LABELS, telemetry.OUTPUT_PROBABILITIES, telemetry.OUTPUT_VALUES})

#: OpenTelemetry samples by thresholds of 56 bits: nobody can keep fewer than one in so many.
_WEIGHT_MAX: Final = float(1 << 56)


def read_request(span: SpanRow, values: Values) -> RequestRow:
    """The request that a prediction's span describes.

    Raises:
        Malformed: an attribute is not of the type that the vocabulary gives it.
    """
    return RequestRow(
        start_ns=span.start_ns,
        trace_id=span.trace_id,
        span_id=span.span_id,
        prediction_id=read_text(values, telemetry.PREDICTION_ID),
        model=read_text(values, telemetry.MODEL_NAME),
        version=read_integer(values, telemetry.MODEL_VERSION),
        major=read_integer(values, telemetry.INTERFACE_MAJOR),
        route=read_text(values, telemetry.ROUTE),
        code=read_text(values, telemetry.RPC_STATUS) or "UNKNOWN",
        row_count=read_integer(values, telemetry.ROWS),
        duration_ns=span.duration_ns,
        weight=_weight(values),
        caller=read_text(values, telemetry.CALLER),
        batch_id=read_text(values, telemetry.BATCH_ID),
        batch_rows=read_integer(values, telemetry.BATCH_ROWS),
        batch_requests=read_integer(values, telemetry.BATCH_REQUESTS),
        live_version=read_integer(values, telemetry.SHADOW_LIVE_VERSION),
        agreement=_agreement(values),
    )


def read_predictions(request: RequestRow, members: Members, values: Values) -> list[PredictionRow]:
    """The answered rows, each with what was predicted.

    Raises:
        Malformed: the outputs do not have as many rows as the span says.
    """
    count = read_integer(values, telemetry.OUTPUT_ROWS)
    labels = _labels(values)
    probabilities = read_doubles(values, telemetry.OUTPUT_PROBABILITIES)
    estimates = read_doubles(values, telemetry.OUTPUT_VALUES)
    if count == 0 and not (labels or probabilities or estimates):
        return []
    if not 0 < count <= telemetry.OUTPUT_ROWS_MAX or (labels and len(labels) != count):
        raise Malformed(f"{telemetry.OUTPUT_ROWS} is {count}, and {len(labels)} labels came.")
    vectors = _split(probabilities, count)
    values_by_row = _split(estimates, count)
    places = [members.place(row) for row in range(count)]
    return [
        PredictionRow(
            start_ns=request.start_ns,
            trace_id=request.trace_id,
            span_id=request.span_id,
            prediction_id=prediction_id,
            row_index=row_index,
            model=request.model,
            version=request.version,
            label=labels[row] if labels else None,
            value=values_by_row[row][0] if values_by_row and len(values_by_row[row]) == 1 else None,
            vector=_vector(row, vectors, values_by_row),
            route=request.route,
            weight=request.weight,
            request_row=row,
        )
        for row, (prediction_id, row_index) in enumerate(places)
    ]


def _vector(row: int, probabilities: list[list[float]], estimates: list[list[float]]) -> list[float] | None:
    if probabilities:
        return probabilities[row]
    return estimates[row] if estimates and len(estimates[row]) > 1 else None


def _split(values: Sequence[float], count: int) -> list[list[float]]:
    """Row-major values, row by row."""
    width, rest = divmod(len(values), count)
    if rest:
        raise Malformed(f"{len(values)} values do not make {count} rows.")
    return [list(values[start : start + width]) for start in range(0, len(values), width)] if width else []


def _weight(values: Values) -> float:
    """How many requests the span stands for: 1 / the probability that it was kept, so at least 1."""
    weight = read_double(values, telemetry.WEIGHT, default=1.0)
    if not 1 <= weight <= _WEIGHT_MAX:
        raise Malformed(f"{telemetry.WEIGHT} is {weight}, and a span stands for 1 to 2^56 requests.")
    return weight


def _agreement(values: Values) -> float | None:
    share = read_double(values, telemetry.SHADOW_AGREEMENT, default=math.nan)
    if share < 0 or share > 1:
        raise Malformed(f"{telemetry.SHADOW_AGREEMENT} is {share}, which is no share.")
    return None if math.isnan(share) else share


def _labels(values: Values) -> list[str]:
    """Labels as text, as Output.classes writes them: "True", "3", "late"."""
    return [_label(each) for each in read_elements(values, telemetry.OUTPUT_LABELS)]


def _label(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind not in ("string_value", "int_value", "bool_value"):
        raise Malformed(f"{telemetry.OUTPUT_LABELS} holds what is no label.")
    return str(getattr(value, kind))
