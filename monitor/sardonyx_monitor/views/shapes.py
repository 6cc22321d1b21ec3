"""What the pages show: plain values. Templates read their attributes, /api writes the same as JSON.

Times are ns since 1970; shares run from 0 to 1; NaN, which JSON does not have, is None there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_monitor.statistics.promise import Verdict
    from sardonyx_monitor.statistics.quality import Figure


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests, and how long the answered ones took.

    Attributes:
        requests: how many came.
        rows: rows in them.
        failed: requests that the server could not answer.
        refused: requests that were the caller's mistake.
        per_second: requests a second between the first and the last moment shown.
        p50_ms, p95_ms, p99_ms: quantiles of the duration of answered requests; None where there were none.
    """

    requests: int = 0
    rows: int = 0
    failed: int = 0
    refused: int = 0
    per_second: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """One metric on the hold-out."""

    name: str
    value: float
    low: float
    high: float
    rows: int
    higher_is_better: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric, in practice and as promised. Either may be missing."""

    name: str
    practice: Figure | None
    promise: Promise | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Quality:
    """How right the answers were, as far as the truth is known.

    Attributes:
        answered: rows answered and recorded.
        labelled: of them, with a known truth.
        coverage: labelled / answered; NaN where nothing was answered.
        unreadable: truths that are no class, or no number, of this model.
        delay_s: nine in ten truths were known so long after their prediction; None where none is known.
        comparisons: the metrics, the primary one first.
    """

    answered: int
    labelled: int
    coverage: float
    unreadable: int
    delay_s: float | None
    comparisons: Sequence[Comparison]

    @property
    def primary(self) -> Comparison | None:
        """The metric to look at first."""
        return self.comparisons[0] if self.comparisons else None


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version: what it was promised to be, and what it is."""

    number: int
    major: int
    live: bool
    registered: bool
    created_ns: int | None
    author: str
    description: str
    source_model: str
    traffic: Traffic
    quality: Quality


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model with its versions, newest first.

    Attributes:
        name: of the model.
        default_major: the interface generation that calls without a version go to; 0 where nothing is live.
        versions: those that are live or had traffic in the window.
        idle_versions: numbers of the others.
        total: the traffic of all versions, and of calls that no version answered.
        unanswered: calls that no version answered.
    """

    name: str
    default_major: int
    versions: Sequence[VersionView]
    idle_versions: Sequence[int]
    total: Traffic
    unanswered: Traffic


@dataclass(frozen=True, slots=True)
class WindowView:
    """The span of time that a page shows."""

    name: str
    since_ns: int
    until_ns: int
    step_s: float


@dataclass(frozen=True, slots=True)
class RegistryView:
    """The registry, as it was last read; ``error`` says why the last attempt failed."""

    location: str
    read_ns: int | None
    error: str


@dataclass(frozen=True, slots=True)
class ModelsPage:
    """All models. ``unknown_requests`` asked for models that nobody has."""

    window: WindowView
    registry: RegistryView
    models: Sequence[ModelView]
    unknown_requests: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A version took a live route."""

    time_ns: int
    version: int
    major: int
    rolled_back: bool
    actor: str


@dataclass(frozen=True, slots=True)
class TrafficSeries:
    """One version's traffic in steps of time; lists of equal length. Version 0: calls that no version answered."""

    version: int
    time_ns: Sequence[int]
    per_second: Sequence[float]
    failed: Sequence[int]
    refused: Sequence[int]
    p50_ms: Sequence[float | None]
    p95_ms: Sequence[float | None]
    p99_ms: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class QualitySeries:
    """One version's primary metric by the time of the prediction; lists of equal length.

    Attributes:
        version: its number.
        metric: the metric's name.
        promise: what the hold-out promised, if the registry says.
        time_ns: the middle of each step.
        value, low, high: the metric with its interval; None where no truth is known.
        labelled: rows behind it.
        coverage: the share of answered rows whose truth is known.
        mature: False where truths of that step may still be under way.
    """

    version: int
    metric: str
    promise: Promise | None
    time_ns: Sequence[int]
    value: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    labelled: Sequence[int]
    coverage: Sequence[float]
    mature: Sequence[bool]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One model over time."""

    window: WindowView
    registry: RegistryView
    model: ModelView
    traffic: Sequence[TrafficSeries]
    quality: Sequence[QualitySeries]
    moments: Sequence[Moment]


@dataclass(frozen=True, slots=True)
class TraceSummary:
    """One trace among others; the prediction fields are those of its first prediction, if it has one."""

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


@dataclass(frozen=True, slots=True)
class PredictionView:
    """One answered row of the trace, with its truth where that is known."""

    span_id: str
    prediction_id: str
    row: int
    model: str
    version: int
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


@dataclass(frozen=True, slots=True)
class Sender:
    """A process that sends spans, and how many it lost before it could."""

    instance: str
    service: str
    host: str
    spans_dropped: int
    seen_ns: int


@dataclass(frozen=True, slots=True)
class HealthPage:
    """The monitor about itself: what it holds, and what it did not get."""

    writing: bool
    disk_full: bool
    waiting_calls: int
    stored: Mapping[str, int]
    since_start: Mapping[str, Any]
    orphan_outcomes: int
    senders: Sequence[Sender] = field(default_factory=tuple)
    registry: RegistryView | None = None
