"""One trace, as a waterfall."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from sardonyx import telemetry
from sardonyx.errors import InvalidInput, NotFound, Violation
from sardonyx_monitor.views import trace_shapes as shapes
from sardonyx_monitor.views.search import TRACE_ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx_monitor.catalog import Snapshot
    from sardonyx_monitor.store.reader import Query

#: A waterfall of more bars than this is not read by anybody, and takes a browser seconds.
SPANS_MAX: Final = 2000
ROWS_MAX: Final = 1024
_MS: Final = 1e6
#: Of nanoseconds: a century has 19 digits.
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


def read_trace(query: Query, snapshot: Snapshot, trace_id: str) -> shapes.TracePage:
    """All spans of a trace, parents before children.

    Raises:
        InvalidInput: it is no trace id.
        NotFound: the store does not hold it.
    """
    if not TRACE_ID.fullmatch(trace_id):
        raise InvalidInput([Violation("trace_id", f"{trace_id!r} is no trace id: it has 32 hexadecimal digits.")])
    rows = query.rows("trace", {"trace_id": trace_id.lower(), "limit": SPANS_MAX + 1})
    if not rows:
        raise NotFound(
            f"No trace {trace_id!r} is stored. It may be on its way, older than what is kept, or not sent here."
        )
    truncated, rows = len(rows) > SPANS_MAX, rows[:SPANS_MAX]
    start_ns = min(row["start_ns"] for row in rows)
    found = {"trace_id": trace_id.lower(), "limit": ROWS_MAX}
    predictions, requests = query.rows("trace_predictions", found), _requests(query, found)
    return shapes.TracePage(
        trace_id=trace_id.lower(),
        start_ns=start_ns,
        duration_ms=(max(row["start_ns"] + row["duration_ns"] for row in rows) - start_ns) / _MS,
        services=sorted({row["service"] for row in rows}),
        spans=[_span(row, depth, start_ns, requests.get(row["span_id"])) for row, depth in _by_parent(rows)],
        predictions=[_prediction(row, snapshot) for row in predictions],
        truncated=truncated,
    )


def _requests(query: Query, found: dict[str, Any]) -> dict[str, tuple[dict[str, Any], list[shapes.InputView]]]:
    """What is known of the requests of a trace, with their captured rows, by the id of the span."""
    requests: dict[str, tuple[dict[str, Any], list[shapes.InputView]]] = {
        row["span_id"]: (row, []) for row in query.rows("trace_requests", found)
    }
    for row in query.rows("trace_inputs", found):
        if row["span_id"] in requests:
            requests[row["span_id"]][1].append(_input(row))
    return requests


def _by_parent(rows: Sequence[dict[str, Any]]) -> Iterable[tuple[dict[str, Any], int]]:
    """Spans with their depth, each behind its parent, siblings by time; a span whose parent is not here is a root."""
    here = {row["span_id"] for row in rows}
    children: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        parent = row["parent_span_id"]
        children.setdefault(parent if parent in here and parent != row["span_id"] else "", []).append(row)
    seen: set[str] = set()
    # A circle of parents has no root: what is left over is shown flat.
    for roots in (children.get("", []), rows):
        stack = [(row, 0) for row in reversed(roots)]
        while stack:
            row, depth = stack.pop()
            if row["span_id"] in seen:
                continue
            seen.add(row["span_id"])
            yield row, depth
            stack += [(child, depth + 1) for child in reversed(children.get(row["span_id"], []))]


def _span(
    row: Mapping[str, Any],
    depth: int,
    start_ns: int,
    request: tuple[Mapping[str, Any], Sequence[shapes.InputView]] | None,
) -> shapes.SpanView:
    offset_ms = (row["start_ns"] - start_ns) / _MS
    return shapes.SpanView(
        span_id=row["span_id"],
        parent_span_id=row["parent_span_id"],
        depth=depth,
        name=row["name"],
        kind=row["kind"],
        service=row["service"],
        scope=row["scope"],
        start_ns=row["start_ns"],
        offset_ms=offset_ms,
        duration_ms=row["duration_ns"] / _MS,
        status=row["status"],
        status_message=row["status_message"],
        attributes=dict(row["attributes"]),
        resource=dict(row["resource"]),
        events=[
            shapes.Event(time_ns, name, dict(attributes))
            for time_ns, name, attributes in zip(
                row["event_ns"], row["event_name"], row["event_attributes"], strict=True
            )
        ],
        links=[f"{trace}/{span}" for trace, span in zip(row["link_trace_id"], row["link_span_id"], strict=True)],
        stages=list(_stages(row["attributes"], offset_ms)),
        request=_request(*request, row["attributes"]) if request else None,
    )


def _request(
    row: Mapping[str, Any], inputs: Sequence[shapes.InputView], attributes: Mapping[str, str]
) -> shapes.RequestView:
    return shapes.RequestView(
        prediction_id=row["prediction_id"],
        model=row["model"],
        version=row["version"],
        route=row["route"],
        code=row["code"],
        rows=row["row_count"],
        caller=row["caller"],
        weight=row["weight"],
        batch_id=row["batch_id"],
        batch_rows=row["batch_rows"],
        batch_requests=row["batch_requests"],
        batch_members=_ids(attributes.get(telemetry.BATCH_PREDICTION_IDS, "")),
        members=_ids(attributes.get(telemetry.PREDICTION_IDS, "")),
        live_version=row["live_version"],
        agreement=row["agreement"],
        inputs=inputs,
    )


def _input(row: Mapping[str, Any]) -> shapes.InputView:
    return shapes.InputView(
        row["request_row"], row["prediction_id"], row["row_index"], row["probability"], json.loads(row["data"])
    )


def _ids(text: str) -> list[str]:
    """Prediction ids from an attribute, which anybody may have written."""
    try:
        found = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    return [each for each in found if _is_text(each)] if isinstance(found, list) else []


def _is_text(value: Any) -> bool:
    # JSON can name halves of characters, which nothing can be written with.
    return isinstance(value, str) and not any("\ud800" <= each <= "\udfff" for each in value)


def _stages(attributes: Mapping[str, str], offset_ms: float) -> Iterable[shapes.Stage]:
    """A prediction's stages, one behind the other; anybody may have written the attributes."""
    for name in telemetry.STAGES:
        text = attributes.get(name, "")
        if _NUMBER.fullmatch(text):
            duration_ms = int(text) / _MS
            yield shapes.Stage(name.removeprefix("sardonyx.stage.").removesuffix("_ns"), offset_ms, duration_ms)
            offset_ms += duration_ms


def _prediction(row: Mapping[str, Any], snapshot: Snapshot) -> shapes.PredictionView:
    model = snapshot.models.get(row["model"])
    version = model.versions.get(row["version"]) if model else None
    classes: Sequence[str] = version.classes if version else ()
    vector = row["vector"] or []
    names = classes if len(classes) == len(vector) else [str(position) for position in range(len(vector))]
    truth = row["truth_label"] if row["label"] is not None else row["truth_number"]
    known = row["observe_ns"] is not None
    right = row["label"] in (row["truth_label"], row["truth_alias"]) if known and row["label"] is not None else None
    return shapes.PredictionView(
        span_id=row["span_id"],
        prediction_id=row["prediction_id"],
        row=row["row_index"],
        model=row["model"],
        version=row["version"],
        route=row["route"],
        answer=row["label"] if row["label"] is not None else _number(row["value"]),
        probabilities=dict(zip(names, vector, strict=True)) if row["label"] is not None else {},
        truth=(truth if isinstance(truth, str) else _number(truth)) if known else None,
        right=right,
        observed_ns=row["observe_ns"],
        source=row["source"],
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
