"""Models and their versions: traffic and quality in a window, over all of it and in steps."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sardonyx.errors import ModelNotFound
from sardonyx_monitor.catalog import Model
from sardonyx_monitor.statistics import promise as promises
from sardonyx_monitor.statistics.quality import Figure, Sums, of_classes, of_values
from sardonyx_monitor.views import shapes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx_monitor.catalog import Snapshot, Version
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

#: Codes that say that the caller made a mistake or left; every other failure is the server's, load shedding included.
REFUSALS: Final = [
    "CANCELLED",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNAUTHENTICATED",
]
#: Calls that no version answered are under this number.
NO_VERSION: Final = 0
_MS: Final = 1e6
#: A step in which nobody asked.
_NO_REQUESTS: Final = {"requests": 0, "failed": 0, "refused": 0, "p50_ns": None, "p95_ns": None, "p99_ns": None}
_SUMS: Final = tuple(each.name for each in fields(Sums))


def read_models(query: Query, snapshot: Snapshot, window: Window) -> tuple[list[shapes.ModelView], int]:
    """Every model that the registry has or that answered something, and how many calls asked for others."""
    window = window.narrowed(query)
    by_model: dict[str, dict[int, shapes.Traffic]] = {}
    for row in query.rows("traffic", window.parameters | {"refusals": REFUSALS}, of_model=False):
        by_model.setdefault(row["model"], {})[row["version"]] = _traffic(row, window)
    answered = {name for name, versions in by_model.items() if set(versions) - {NO_VERSION}}
    known = sorted({*snapshot.models, *answered})
    views = [_model(query, name, snapshot.models.get(name, Model()), by_model.get(name, {}), window) for name in known]
    unknown = sum(traffic.requests for name in by_model.keys() - set(known) for traffic in by_model[name].values())
    return views, unknown


def read_model(query: Query, snapshot: Snapshot, name: str, window: Window) -> tuple[shapes.ModelView, Window]:
    """One model, and the part of the window that it fills.

    Raises:
        ModelNotFound: neither the registry nor the store knows it.
    """
    window = window.narrowed(query, name)
    rows = query.rows("traffic", window.parameters | {"refusals": REFUSALS, "model": name}, of_model=True)
    traffic = {row["version"]: _traffic(row, window) for row in rows}
    if name not in snapshot.models and not set(traffic) - {NO_VERSION}:
        raise ModelNotFound(name, snapshot.models)
    return _model(query, name, snapshot.models.get(name, Model()), traffic, window), window


def read_traffic_series(query: Query, name: str, window: Window) -> list[shapes.TrafficSeries]:
    """A model's traffic in steps, by version."""
    by_version: dict[int, dict[int, dict[str, Any]]] = {}
    for row in query.rows("traffic_over_time", window.parameters | {"refusals": REFUSALS, "model": name}):
        by_version.setdefault(row["version"], {})[row["step"]] = row
    return [_traffic_series(version, by_step, window) for version, by_step in sorted(by_version.items())]


def _traffic_series(version: int, by_step: Mapping[int, Mapping[str, Any]], window: Window) -> shapes.TrafficSeries:
    """From the version's first step to the last one that is over, or has requests already."""
    steps = range(min(by_step), max(max(by_step) + 1, window.steps_over))
    rows = [by_step.get(step, _NO_REQUESTS) for step in steps]
    return shapes.TrafficSeries(
        version=version,
        time_ns=[window.time_of(step) for step in steps],
        per_second=[row["requests"] * 1e9 / window.step_ns for row in rows],
        failed=[row["failed"] for row in rows],
        refused=[row["refused"] for row in rows],
        p50_ms=[_ms(row["p50_ns"]) for row in rows],
        p95_ms=[_ms(row["p95_ns"]) for row in rows],
        p99_ms=[_ms(row["p99_ns"]) for row in rows],
    )


def read_quality_series(
    query: Query, model: Model, view: shapes.ModelView, window: Window
) -> list[shapes.QualitySeries]:
    """Each version's primary metric in steps, by the time of the prediction."""
    return [
        _quality_series(query, view.name, shown, model.versions.get(shown.number), window)
        for shown in view.versions
        if shown.quality.answered
    ]


def _quality_series(
    query: Query, name: str, shown: shapes.VersionView, version: Version | None, window: Window
) -> shapes.QualitySeries:
    comparison = _charted(shown.quality, version)
    rows = query.rows("quality", _parameters(name, shown.number, version, window), over_time=True)
    figures = [_figure(row, comparison.name, version) for row in rows]
    settled_ns = window.until_ns - int((shown.quality.delay_s or 0) * 1e9)
    return shapes.QualitySeries(
        version=shown.number,
        metric=comparison.name,
        promise=comparison.promise,
        time_ns=[window.time_of(row["step"]) for row in rows],
        value=[figure.value if figure else None for figure in figures],
        low=[figure.low if figure else None for figure in figures],
        high=[figure.high if figure else None for figure in figures],
        labelled=[row["labelled"] for row in rows],
        coverage=[row["labelled"] / row["answered"] for row in rows],
        mature=[window.since_ns + (row["step"] + 1) * window.step_ns <= settled_ns for row in rows],
    )


def _charted(quality: shapes.Quality, version: Version | None) -> shapes.Comparison:
    """What is drawn over time: the primary metric, if practice can know it."""
    wanted = "mae" if version is not None and version.regression else "accuracy"
    if quality.primary is not None and quality.primary.practice is not None:
        wanted = quality.primary.name
    nothing = shapes.Comparison(wanted, None, None, promises.Verdict.OPEN)
    return next((each for each in quality.comparisons if each.name == wanted), nothing)


def moments_of(model: Model) -> list[shapes.Moment]:
    """Every time that a version took a live route, oldest first."""
    return [
        shapes.Moment(int(each.time.timestamp() * 1e9), each.version, each.major, each.rolled_back, each.actor)
        for each in model.routes.moments
    ]


def _model(
    query: Query, name: str, model: Model, traffic: Mapping[int, shapes.Traffic], window: Window
) -> shapes.ModelView:
    live = set(model.routes.live_versions)
    shown = sorted((live | traffic.keys()) - {NO_VERSION}, reverse=True)
    return shapes.ModelView(
        name=name,
        default_major=model.routes.default_major,
        versions=[
            _version(query, name, number, model, traffic.get(number, shapes.Traffic()), window) for number in shown
        ],
        idle_versions=sorted(model.versions.keys() - set(shown), reverse=True),
        total=_total(query, name, traffic, window),
        unanswered=traffic.get(NO_VERSION, shapes.Traffic()),
    )


def _version(
    query: Query, name: str, number: int, model: Model, traffic: shapes.Traffic, window: Window
) -> shapes.VersionView:
    version = model.versions.get(number)
    return shapes.VersionView(
        number=number,
        major=version.major if version else 0,
        live=number in model.routes.live_versions,
        registered=version is not None,
        created_ns=int(version.created_at.timestamp() * 1e9) if version else None,
        author=version.author if version else "",
        description=version.description if version else "",
        source_model=version.source_model if version else "",
        traffic=traffic,
        quality=_quality(query, name, number, version, window),
    )


def _quality(query: Query, name: str, number: int, version: Version | None, window: Window) -> shapes.Quality:
    parameters = _parameters(name, number, version, window)
    row = query.row("quality", parameters, over_time=False)
    sums = _sums(row)
    if version is not None and version.regression:
        figures = of_values(sums)
    else:
        figures = of_classes(sums, _confusion(query, parameters))
    return shapes.Quality(
        answered=sums.answered,
        labelled=sums.labelled,
        coverage=sums.coverage,
        unreadable=sums.unreadable,
        delay_s=None if row["delay_ns"] is None else max(0.0, row["delay_ns"] / 1e9),
        comparisons=_compare(figures, version),
    )


def _compare(figures: Iterable[Figure], version: Version | None) -> list[shapes.Comparison]:
    """Every metric that practice or promise has, the primary one first if practice knows it."""
    practice = {figure.name: figure for figure in figures}
    promised = dict(version.metrics) if version else {}
    primary = version.primary if version else ""
    names = sorted({**practice, **promised}, key=lambda name: (name not in practice, name != primary))
    return [
        shapes.Comparison(
            name=name,
            practice=practice.get(name),
            promise=_promise(version, name) if version else None,
            verdict=promises.judge(practice.get(name), promised.get(name)),
        )
        for name in names
    ]


def _promise(version: Version, name: str) -> shapes.Promise | None:
    metric = version.metrics.get(name)
    if metric is None:
        return None
    return shapes.Promise(name, metric.value, metric.low, metric.high, version.holdout_rows, metric.higher_is_better)


def _figure(row: Mapping[str, Any], name: str, version: Version | None) -> Figure | None:
    regression = version is not None and version.regression
    figures: Sequence[Figure] = of_values(_sums(row)) if regression else of_classes(_sums(row))
    return next((figure for figure in figures if figure.name == name), None)


def _parameters(name: str, number: int, version: Version | None, window: Window) -> dict[str, Any]:
    classes = list(version.classes) if version else []
    return window.parameters | {
        "model": name,
        "version": number,
        "classes": classes,
        "binary": len(classes) == 2,
        "regression": version is not None and version.regression,
    }


def _confusion(query: Query, parameters: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    size = len(parameters["classes"])
    if not size:
        return None
    counts = np.zeros((size, size), dtype=np.int64)
    for row in query.rows("confusion", dict(parameters)):
        counts[row["truth"] - 1, row["chosen"] - 1] = row["row_count"]
    return counts


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(**{name: row[name] for name in _SUMS})


def _total(query: Query, name: str, traffic: Mapping[int, shapes.Traffic], window: Window) -> shapes.Traffic:
    if len(traffic) == 1:
        return next(iter(traffic.values()))
    # Quantiles of the whole do not follow from those of its parts.
    rows = query.rows("traffic_total", window.parameters | {"refusals": REFUSALS, "model": name})
    return _traffic(rows[0], window) if rows and rows[0]["requests"] else shapes.Traffic()


def _traffic(row: Mapping[str, Any], window: Window) -> shapes.Traffic:
    return shapes.Traffic(
        requests=row["requests"],
        rows=row["row_count"] or 0,
        failed=row["failed"],
        refused=row["refused"],
        per_second=row["requests"] / window.seconds if window.seconds else 0.0,
        p50_ms=_ms(row["p50_ns"]),
        p95_ms=_ms(row["p95_ns"]),
        p99_ms=_ms(row["p99_ns"]),
    )


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / _MS
