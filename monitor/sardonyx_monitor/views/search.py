"""A search among traces."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from sardonyx.errors import InvalidInput, Violation
from sardonyx_monitor.views import trace_shapes as shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx_monitor.catalog import Snapshot
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

LIMIT: Final = 100
TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}")
ROUTES: Final = ("live", "canary", "pinned", "shadow")
#: Any code but OK.
FAILURES: Final = "failures"
_CODE: Final = re.compile(r"[A-Z_]{2,32}")
_MS: Final = 1e6


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; empty fields say nothing.

    Attributes:
        text: the id of a trace, of a prediction, or of a run that predictions shared.
        model: its name.
        version: its number.
        route: why that version.
        status: a gRPC code's name, or ``failures``.
        duration_ms: at least so long.
    """

    text: str = ""
    model: str = ""
    version: str = ""
    route: str = ""
    status: str = ""
    duration_ms: str = ""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Search:
        """From the page's address: ``q``, ``model``, ``version``, ``route``, ``status``, ``min_ms``.

        Raises:
            InvalidInput: a field is not of its form; all that are wrong are named.
        """
        search = cls(
            text=query.get("q", "").strip(),
            model=query.get("model", "").strip(),
            version=query.get("version", "").strip(),
            route=query.get("route", "").strip(),
            status=query.get("status", "").strip(),
            duration_ms=query.get("min_ms", "").strip(),
        )
        faults = list(search._faults())
        if faults:
            raise InvalidInput(faults)
        return search

    @property
    def is_trace_id(self) -> bool:
        """Whether the text may be the id of a trace."""
        return bool(TRACE_ID.fullmatch(self.text))

    def _faults(self) -> Iterable[Violation]:
        if self.version and not (self.version.isascii() and self.version.isdigit() and len(self.version) < 19):
            yield Violation("version", f"{self.version!r} is no version. Give a number, such as 3.")
        if self.route and self.route not in ROUTES:
            yield Violation("route", f"{self.route!r} is no route. Give one of {', '.join(ROUTES)}.")
        if self.status and self.status != FAILURES and not _CODE.fullmatch(self.status):
            yield Violation("status", f"{self.status!r} is no status. Give {FAILURES}, or a gRPC code such as OK.")
        if self.duration_ms and _milliseconds(self.duration_ms) is None:
            yield Violation("min_ms", f"{self.duration_ms!r} is no duration. Give milliseconds, such as 2.5.")


def search_traces(query: Query, search: Search, snapshot: Snapshot, window: Window) -> shapes.TracesPage:
    """The newest traces that fit. A trace's id finds it whatever the window is."""
    rows = _find(query, search, window, by_id=True) if search.is_trace_id else []
    # The ids that servers give to predictions look like those of traces.
    rows = rows or _find(query, search, window, by_id=False)
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


def _find(query: Query, search: Search, window: Window, *, by_id: bool) -> list[dict[str, Any]]:
    """The traces that fit, the text read as the id of a trace or of anything else."""
    parameters = {
        "since_ns": 0 if by_id else window.since_ns,
        "until_ns": window.until_ns,
        "duration_ns_min": int((_milliseconds(search.duration_ms) or 0) * _MS),
        "model": search.model,
        "version": int(search.version or 0),
        "route": search.route,
        "code": search.status,
        "text": search.text,
        "trace_id": search.text.lower(),
        "limit": LIMIT,
    }
    of_text = bool(search.text) and not by_id
    return query.rows(
        "search",
        parameters,
        of_requests=bool(search.model or search.version or search.route or search.status or of_text),
        of_model=bool(search.model),
        of_version=bool(search.version),
        of_route=bool(search.route),
        of_code=bool(search.status) and search.status != FAILURES,
        of_failures=search.status == FAILURES,
        of_text=of_text,
        of_trace=by_id,
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
        route=row["route"],
        caller=row["caller"],
        weight=row["weight"],
        batch_id=row["batch_id"],
        batch_requests=row["batch_requests"],
    )


def _milliseconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1e9 else None
