"""What the pages of models show: plain values. Templates read their attributes, /api writes the same as JSON.

Times are ns since 1970; shares run from 0 to 1; NaN, which JSON does not have, is None there. Counts of requests and
rows are sums of weights: how many there were, exactly where all were recorded, and an estimate where they are a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_monitor.statistics.promise import Verdict
    from sardonyx_monitor.statistics.quality import Figure


@dataclass(frozen=True, slots=True)
class Traffic:
    """Requests, and how long the answered ones took.

    Attributes:
        requests: how many came.
        recorded: how many of them were recorded: fewer where the server samples.
        rows: rows in them.
        failed: requests that the server could not answer.
        refused: requests that were the caller's mistake.
        per_second: requests a second between the first and the last moment shown.
        p50_ms, p95_ms, p99_ms: quantiles of the duration of answered requests; None where there were none.
    """

    requests: float = 0
    recorded: int = 0
    rows: float = 0
    failed: float = 0
    refused: float = 0
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

    answered: float
    labelled: float
    coverage: float
    unreadable: float
    delay_s: float | None
    comparisons: Sequence[Comparison]

    @property
    def primary(self) -> Comparison | None:
        """The metric to look at first."""
        return self.comparisons[0] if self.comparisons else None


@dataclass(frozen=True, slots=True)
class RouteTraffic:
    """By which route requests came to a version, and the share that they are of all that the model answered."""

    route: str
    requests: float
    share: float


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version: what it was promised to be, and what it is.

    Attributes:
        number: of the version.
        major: the interface generation.
        live: whether it has the live route.
        canary_percent: its share of the calls that name no version; None where it is no canary.
        shadow_percent: its share of live traffic, seen and never answered; None where it is no shadow.
        retired: whether it may not serve again.
        registered: whether the registry holds it.
        created_ns: when it was published.
        author, description: of the version, by its author.
        source_model: the source model as its library prints it.
        charted: whether charts draw it unasked: it has a route, or is one of the newest.
        traffic: what its callers asked.
        routes: by which routes they came to it.
        quality: how right its callers were answered.
    """

    number: int
    major: int
    live: bool
    canary_percent: float | None
    shadow_percent: float | None
    retired: bool
    registered: bool
    created_ns: int | None
    author: str
    description: str
    source_model: str
    charted: bool
    traffic: Traffic
    routes: Sequence[RouteTraffic]
    quality: Quality


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that is tried beside the live one, both in the same span of time.

    A canary answers calls that were chosen by chance among those that name no version; a shadow is shown calls that the
    live version answered. Calls that named a version are left out: whoever makes them is not chosen by chance.

    Attributes:
        route: ``canary`` or ``shadow``.
        version: the one that is tried.
        percent: its share, as the registry says now; None where it has that route no longer.
        live: the version that it stands beside; 0 where nobody knows.
        since_ns, until_ns: when both were asked.
        traffic: what it was asked.
        live_traffic: what the live version was asked.
        agreement: the share of rows that both answered alike; None for a canary.
        quality: how right it was.
        practice, live_practice: the metric to look at first, of both; None where no truth is known.
        verdict: how it stands to the live version in that metric.
    """

    route: str
    version: int
    percent: float | None
    live: int
    since_ns: int
    until_ns: int
    traffic: Traffic
    live_traffic: Traffic
    agreement: Figure | None
    quality: Quality
    practice: Figure | None
    live_practice: Figure | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CallerView:
    """Who called an interface of a model.

    Attributes:
        major: the interface generation.
        caller: the name of its token, or the one that it gives itself; empty where there is none.
        version: the version that answered it last.
        requests: how many calls it made.
        failed: of them, those that the server could not answer.
        refused: of them, those that were its own mistake.
        last_ns: when it made the last one.
    """

    major: int
    caller: str
    version: int
    requests: float
    failed: float
    refused: float
    last_ns: int


@dataclass(frozen=True, slots=True)
class InterfaceView:
    """One interface generation: the version that is live for it, 0 where there is none, and who calls it."""

    major: int
    live: int
    default: bool
    retired: bool
    callers: Sequence[CallerView]


@dataclass(frozen=True, slots=True)
class CallersPage:
    """Who called a model in a span of time.

    Attributes:
        name: the model's.
        since_ns, until_ns: from and to.
        watched_since_ns: the oldest call of any model that the monitor has; None where it has none.
        whole: whether that is as old as the span: only then does no call seen mean no call made.
        callers: the newest interface first, and in it the busiest caller.
    """

    name: str
    since_ns: int
    until_ns: int
    watched_since_ns: int | None
    whole: bool
    callers: Sequence[CallerView]


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model with its versions, newest first.

    Attributes:
        name: of the model.
        default_major: the interface generation that calls without a version go to; 0 where nothing is live.
        versions: those that have a route or had traffic in the window.
        idle_versions: numbers of the others.
        interfaces: those that are served or were called in the window, newest first, with their callers.
        trials: canaries and shadows beside the live version.
        total: the traffic of all versions, and of calls that no version answered.
        unanswered: calls that no version answered.
    """

    name: str
    default_major: int
    versions: Sequence[VersionView]
    idle_versions: Sequence[int]
    interfaces: Sequence[InterfaceView]
    trials: Sequence[Trial]
    total: Traffic
    unanswered: Traffic


@dataclass(frozen=True, slots=True)
class WindowView:
    """The span of time that a page shows; ``sampled`` says that what was recorded in it is a sample with weights."""

    name: str
    since_ns: int
    until_ns: int
    step_s: float
    sampled: bool


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
    unknown_requests: float


@dataclass(frozen=True, slots=True)
class Moment:
    """Somebody set a route.

    Attributes:
        time_ns: when.
        kind: ``live``, ``rolled back``, ``canary``, ``shadow`` or ``retired``.
        version: of which version; 0 where the whole interface generation was retired.
        major: the interface generation.
        percent: the share that a canary or shadow has from then on, 0 where it ended; None for the others.
        actor: who did it.
        reason: why, in their words.
    """

    time_ns: int
    kind: str
    version: int
    major: int
    percent: float | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class TrafficSeries:
    """One version's traffic in steps of time; lists of equal length. Version 0: calls that no version answered."""

    version: int
    time_ns: Sequence[int]
    per_second: Sequence[float]
    failed: Sequence[float]
    refused: Sequence[float]
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
        labelled: rows whose truth is known.
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
    labelled: Sequence[float]
    coverage: Sequence[float]
    mature: Sequence[bool]


@dataclass(frozen=True, slots=True)
class ModelPage:
    """One model over time; ``shadow_quality`` is of what shadows answered, which no caller saw."""

    window: WindowView
    registry: RegistryView
    model: ModelView
    traffic: Sequence[TrafficSeries]
    quality: Sequence[QualitySeries]
    shadow_quality: Sequence[QualitySeries]
    moments: Sequence[Moment]
