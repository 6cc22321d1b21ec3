"""What a span says of the rows that were asked: the rows of ``inputs``."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from sardonyx import telemetry
from sardonyx_monitor.receiver.attributes import Malformed, read_double, read_elements
from sardonyx_monitor.receiver.values import to_plain
from sardonyx_monitor.store.rows import InputRow

if TYPE_CHECKING:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    from sardonyx_monitor.receiver.attributes import Values
    from sardonyx_monitor.receiver.members import Members
    from sardonyx_monitor.store.rows import RequestRow


def is_captured(name: str) -> bool:
    """Whether an attribute is kept in ``inputs``, typed, and not a second time as text among the span's attributes."""
    return name == telemetry.INPUT_ROWS or name.startswith(telemetry.INPUT_VALUE_PREFIX)


def read_inputs(request: RequestRow, members: Members, values: Values) -> list[InputRow]:
    """The captured rows, each with its values by input.

    Raises:
        Malformed: rows, probability and values do not fit together.
    """
    rows = _rows(values)
    columns = {
        name.removeprefix(telemetry.INPUT_VALUE_PREFIX): _column(values, name, len(rows))
        for name in values
        if name.startswith(telemetry.INPUT_VALUE_PREFIX)
    }
    if not rows:
        return []
    probability = read_double(values, telemetry.INPUT_PROBABILITY, default=1.0)
    if not 0 < probability <= 1:
        raise Malformed(
            f"{telemetry.INPUT_PROBABILITY} is {probability}, which is no probability of what was captured."
        )
    places = [members.place(row) for row in rows]
    return [
        InputRow(
            start_ns=request.start_ns,
            trace_id=request.trace_id,
            span_id=request.span_id,
            prediction_id=prediction_id,
            row_index=row_index,
            model=request.model,
            version=request.version,
            route=request.route,
            weight=request.weight,
            probability=probability,
            data=json.dumps({name: column[position] for name, column in columns.items()}, ensure_ascii=False),
            request_row=rows[position],
        )
        for position, (prediction_id, row_index) in enumerate(places)
    ]


def _rows(values: Values) -> list[int]:
    found = read_elements(values, telemetry.INPUT_ROWS)
    rows = [each.int_value for each in found if each.WhichOneof("value") == "int_value"]
    if len(rows) != len(found) or len(set(rows)) != len(rows) or any(not 0 <= row < 1 << 31 for row in rows):
        raise Malformed(f"{telemetry.INPUT_ROWS} does not name each captured row once.")
    return rows


def _column(values: Values, name: str, count: int) -> list[Any]:
    """An input's values, row by row: one of them, or a list where the input has several a row."""
    flat = [_scalar(each, name) for each in read_elements(values, name)]
    width, rest = divmod(len(flat), count) if count else (0, len(flat))
    if rest or (flat and not width):
        raise Malformed(f"{name} has {len(flat)} values, which do not make {count} rows.")
    if width == 1:
        return flat
    return [flat[start * width : (start + 1) * width] for start in range(count)]


def _scalar(value: AnyValue, name: str) -> Any:
    """A value as JSON can have it: what is no number is a missing one."""
    if value.WhichOneof("value") in ("array_value", "kvlist_value"):
        raise Malformed(f"{name} holds values within values.")
    plain = to_plain(value)
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain
