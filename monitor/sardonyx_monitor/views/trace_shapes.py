"""What the pages of traces show: plain values, as in shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_monitor.views.shapes import WindowView


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One trace among others; the fields from ``model`` on are those of its first prediction, if it has one.

    A shadow is asked after its caller was answered, so where a caller was answered the first one is not the shadow's.
    """

    trace_id: str
    start_ns: int
    duration_ms: float
    spans: int
    name: str
    service: str
    error: bool
    model: str | None
    version: int | None
    code: str | None
    prediction_id: str | None
    rows: int | None
    route: str | None
    caller: str | None
    weight: float | None
    batch_id: str | None
    batch_requests: int | None


@dataclass(frozen=True, slots=True)
class TracesPage:
    """What a search found, newest first, and what can be chosen."""

    window: WindowView
    search: Mapping[str, str]
    traces: Sequence[TraceSummary]
    limit: int
    models: Sequence[str]
    versions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened within a span."""

    time_ns: int
    name: str
    attributes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of a prediction, where its server says how long each took; offset from the trace's start."""

    name: str
    offset_ms: float
    duration_ms: float


@dataclass(frozen=True, slots=True)
class InputView:
    """One captured row of a request, with its values by input; None is a missing number.

    ``row`` is the row within the prediction, ``request_row`` that within the request, which may carry several.
    """

    request_row: int
    prediction_id: str
    row: int
    inclusion_probability: float
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RequestView:
    """What the span of a prediction says of its request.

    Attributes:
        prediction_id: its id.
        model: that was asked.
        version: that answered; 0 where none did.
        route: why that version.
        code: the status code's name.
        rows: in the request.
        caller: the name of the caller's token; empty where the server asks for none.
        weight: how many requests this one stands for.
        batch_id: the run that it shared with others; empty where it had one of its own.
        batch_rows, batch_requests: of that run.
        batch_members: prediction ids of that run, as many as were recorded.
        members: the predictions of several callers that it carries; empty where it is one prediction.
        live_version: only of a shadow: the version that the caller was answered by; else 0.
        agreement: only of a shadow: the share of rows that both answered alike.
        inputs: the rows that were captured.
    """

    prediction_id: str
    model: str
    version: int
    route: str
    code: str
    rows: int
    caller: str
    weight: float
    batch_id: str
    batch_rows: int
    batch_requests: int
    batch_members: Sequence[str]
    members: Sequence[str]
    live_version: int
    agreement: float | None
    inputs: Sequence[InputView]


@dataclass(frozen=True, slots=True)
class SpanView:
    """One bar of the waterfall; ``depth`` counts its ancestors, ``offset_ms`` is from the trace's start."""

    span_id: str
    parent_span_id: str
    depth: int
    name: str
    kind: str
    service: str
    scope: str
    start_ns: int
    offset_ms: float
    duration_ms: float
    status: str
    status_message: str
    attributes: Mapping[str, str]
    resource: Mapping[str, str]
    events: Sequence[Event]
    links: Sequence[str]
    stages: Sequence[Stage]
    request: RequestView | None


@dataclass(frozen=True, slots=True)
class PredictionView:
    """One answered row of the trace, with its truth where that is known."""

    span_id: str
    prediction_id: str
    row: int
    model: str
    version: int
    route: str
    answer: str
    probabilities: Mapping[str, float]
    truth: str | None
    right: bool | None
    observed_ns: int | None
    source: str | None


@dataclass(frozen=True, slots=True)
class TracePage:
    """One trace."""

    trace_id: str
    start_ns: int
    duration_ms: float
    services: Sequence[str]
    spans: Sequence[SpanView]
    predictions: Sequence[PredictionView]
    truncated: bool
