"""Traces: a search among them, and one as a waterfall."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sardonyx import telemetry
from sardonyx.errors import InvalidInput, NotFound, Violation
from sardonyx_monitor.views import shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx_monitor.catalog import Snapshot
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

LIMIT: Final = 100
#: A waterfall of more bars than this is not read by anybody, and takes a browser seconds.
SPANS_MAX: Final = 2000
ROWS_MAX: Final = 1024
TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
#: Any code but OK.
FAILURES: Final = "failures"
_CODE: Final = re.compile(r"[A-Z_]{2,32}")
_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; empty fields say nothing.

    Attributes:
        text: a trace id or a prediction id.
        model: its name.
        version: its number.
        status: a gRPC code's name, or ``failures``.
        duration_ms: at least so long.
    """

    text: str = ""
    model: str = ""
    version: str = ""
    status: str = ""
    duration_ms: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Search:
        """From the page's address: ``q``, ``model``, ``version``, ``status``, ``min_ms``.

        Raises:
            InvalidInput: a field is not of its form; all that are wrong are named.
        """
        search = cls(
            text=query.get("q", "").strip(),
            model=query.get("model", "").strip(),
            version=query.get("version", "").strip(),
            status=query.get("status", "").strip(),
            duration_ms=query.get("min_ms", "").strip(),
        )
        faults = list(search._faults())
        if faults:
            raise InvalidInput(faults)
        return search

    @property
    def is_trace_id(self) -> bool:
        """Whether the text is the id of a trace."""
        return bool(TRACE_ID.fullmatch(self.text))

    def _faults(self) -> Iterable[Violation]:
        if self.version and not (self.version.isascii() and self.version.isdigit() and len(self.version) < 19):
            yield Violation("version", f"{self.version!r} is no version. Give a number, such as 3.")
        if self.status and self.status != FAILURES and not _CODE.fullmatch(self.status):
            yield Violation("status", f"{self.status!r} is no status. Give {FAILURES}, or a gRPC code such as OK.")
        if self.duration_ms and _milliseconds(self.duration_ms) is None:
            yield Violation("min_ms", f"{self.duration_ms!r} is no duration. Give milliseconds, such as 2.5.")


def search_traces(query: Query, search: Search, snapshot: Snapshot, window: Window) -> shapes.TracesPage:
    """The newest traces that fit. A trace's id finds it whatever the window is."""
    by_id = search.is_trace_id
    parameters = {
        "since_ns": 0 if by_id else window.since_ns,
        "until_ns": window.until_ns,
        "duration_ns_min": int((_milliseconds(search.duration_ms) or 0) * _MS),
        "model": search.model,
        "version": int(search.version or 0),
        "code": search.status,
        "prediction_id": search.text,
        "trace_id": search.text.lower(),
        "limit": LIMIT,
    }
    of_prediction = bool(search.text) and not by_id
    rows = query.rows(
        "search",
        parameters,
        of_requests=bool(search.model or search.version or search.status or of_prediction),
        of_model=bool(search.model),
        of_version=bool(search.version),
        of_code=bool(search.status) and search.status != FAILURES,
        of_failures=search.status == FAILURES,
        of_prediction=of_prediction,
        of_trace=by_id,
    )
    known = query.rows("known_models", {"since_ns": window.since_ns})
    models = sorted({*snapshot.models, *(row["model"] for row in known)})
    versions = sorted({row["version"] for row in known if search.model in ("", row["model"])}, reverse=True)
    return shapes.TracesPage(
        window=window.view,
        search=asdict(search),
        traces=[_summary(row) for row in rows],
        limit=LIMIT,
        models=models,
        versions=versions,
    )


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
    predictions = query.rows("trace_predictions", {"trace_id": trace_id.lower(), "limit": ROWS_MAX})
    return shapes.TracePage(
        trace_id=trace_id.lower(),
        start_ns=start_ns,
        duration_ms=(max(row["start_ns"] + row["duration_ns"] for row in rows) - start_ns) / _MS,
        services=sorted({row["service"] for row in rows}),
        spans=[_span(row, depth, start_ns) for row, depth in _by_parent(rows)],
        predictions=[_prediction(row, snapshot) for row in predictions],
        truncated=truncated,
    )


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


def _span(row: Mapping[str, Any], depth: int, start_ns: int) -> shapes.SpanView:
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
    )


def _stages(attributes: Mapping[str, str], offset_ms: float) -> Iterable[shapes.Stage]:
    """A prediction's stages, one behind the other."""
    for name in telemetry.STAGES:
        text = attributes.get(name, "")
        if text.isdigit():
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
        answer=row["label"] if row["label"] is not None else _number(row["value"]),
        probabilities=dict(zip(names, vector, strict=True)) if row["label"] is not None else {},
        truth=(truth if isinstance(truth, str) else _number(truth)) if known else None,
        right=right,
        observed_ns=row["observe_ns"],
        source=row["source"],
    )


def _summary(row: Mapping[str, Any]) -> shapes.TraceSummary:
    return shapes.TraceSummary(
        trace_id=row["trace_id"],
        start_ns=row["start_ns"],
        duration_ms=row["duration_ns"] / _MS,
        spans=row["spans"],
        name=row["name"],
        service=row["service"],
        error=row["error"],
        model=row["model"],
        version=row["version"],
        code=row["code"],
        prediction_id=row["prediction_id"],
        rows=row["row_count"],
    )


def _milliseconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1e9 else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
