"""What a span says of a prediction: the rows of ``requests`` and ``predictions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sardonyx import telemetry
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx_monitor.store.rows import PredictionRow, RequestRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from sardonyx_monitor.store.rows import SpanRow

    Values = Mapping[str, AnyValue]

#: Kept in ``predictions``, typed, and not a second time as text among the span's attributes.
OUTPUTS: Final = frozenset({telemetry.OUTPUT_LABELS, telemetry.OUTPUT_PROBABILITIES, telemetry.OUTPUT_VALUES})


#: What the store's smallest integers hold, and what sums of counts have room for.
_COUNT_MAX: Final = (1 << 31) - 1


class Malformed(ValueError):
    """The span speaks of a prediction, but not as the vocabulary says."""


def read_request(span: SpanRow, values: Values) -> RequestRow:
    """The request that a prediction's span describes.

    Raises:
        Malformed: an attribute is not of the type that the vocabulary gives it.
    """
    return RequestRow(
        start_ns=span.start_ns,
        trace_id=span.trace_id,
        span_id=span.span_id,
        prediction_id=_text(values, telemetry.PREDICTION_ID),
        model=_text(values, telemetry.MODEL_NAME),
        version=_integer(values, telemetry.MODEL_VERSION),
        major=_integer(values, telemetry.INTERFACE_MAJOR),
        route=_text(values, telemetry.ROUTE),
        code=_text(values, telemetry.RPC_STATUS) or "UNKNOWN",
        row_count=_integer(values, telemetry.ROWS),
        duration_ns=span.duration_ns,
    )


def read_predictions(request: RequestRow, values: Values) -> list[PredictionRow]:
    """The answered rows, each with what was predicted.

    Raises:
        Malformed: the outputs do not have as many rows as the span says.
    """
    count = _integer(values, telemetry.OUTPUT_ROWS)
    labels = _labels(values)
    probabilities = _doubles(values, telemetry.OUTPUT_PROBABILITIES)
    estimates = _doubles(values, telemetry.OUTPUT_VALUES)
    if count == 0 and not (labels or probabilities or estimates):
        return []
    if not 0 < count <= telemetry.OUTPUT_ROWS_MAX or (labels and len(labels) != count):
        raise Malformed(f"{telemetry.OUTPUT_ROWS} is {count}, and {len(labels)} labels came.")
    vectors = _split(probabilities, count)
    values_by_row = _split(estimates, count)
    return [
        PredictionRow(
            start_ns=request.start_ns,
            trace_id=request.trace_id,
            span_id=request.span_id,
            prediction_id=request.prediction_id,
            row_index=row,
            model=request.model,
            version=request.version,
            label=labels[row] if labels else None,
            value=values_by_row[row][0] if values_by_row and len(values_by_row[row]) == 1 else None,
            vector=_vector(row, vectors, values_by_row),
        )
        for row in range(count)
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


def _text(values: Values, name: str) -> str:
    value = values.get(name)
    if value is None:
        return ""
    if value.WhichOneof("value") != "string_value" or len(value.string_value) > ID_LENGTH_MAX:
        raise Malformed(f"{name} is no text of a sensible length.")
    return value.string_value


def _integer(values: Values, name: str) -> int:
    value = values.get(name)
    if value is None:
        return 0
    if value.WhichOneof("value") != "int_value" or not 0 <= value.int_value <= _COUNT_MAX:
        raise Malformed(f"{name} is no count.")
    return value.int_value


def _labels(values: Values) -> list[str]:
    """Labels as text, as Output.classes writes them: "True", "3", "late"."""
    return [_label(each) for each in _elements(values, telemetry.OUTPUT_LABELS)]


def _label(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind not in ("string_value", "int_value", "bool_value"):
        raise Malformed(f"{telemetry.OUTPUT_LABELS} holds what is no label.")
    return str(getattr(value, kind))


def _doubles(values: Values, name: str) -> list[float]:
    return [each.double_value for each in _elements(values, name)]


def _elements(values: Values, name: str) -> Sequence[Any]:
    value = values.get(name)
    if value is None:
        return ()
    if value.WhichOneof("value") != "array_value":
        raise Malformed(f"{name} is no array.")
    return value.array_value.values
