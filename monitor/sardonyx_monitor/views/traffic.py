"""Traffic: how many requests came, by which route, how long they took, and how many were not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sardonyx_monitor.views import shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

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
#: Never answered to anybody: it is no traffic of its version's, and no error or latency that a caller met.
SHADOW: Final = "shadow"
_MS: Final = 1e6
#: A step in which nobody asked.
_NO_REQUESTS: Final = {"requests": 0, "failed": 0, "refused": 0, "p50_ns": None, "p95_ns": None, "p99_ns": None}

ByVersion = dict[int, shapes.Traffic]
#: Requests by version and route.
Routed = dict[int, dict[str, float]]


def read_traffic(query: Query, window: Window, model: str = "") -> dict[str, ByVersion]:
    """What callers asked of every model, or of one, by version."""
    rows = _rows(query, window, {"model": model}, of_model=bool(model), by_version=True)
    traffic: dict[str, ByVersion] = {}
    for row in rows:
        traffic.setdefault(row["model"], {})[row["version"]] = _traffic(row, window)
    return traffic


def read_total(query: Query, window: Window, model: str) -> shapes.Traffic:
    """What callers asked of a model, whoever answered: quantiles of the whole do not follow from those of its parts."""
    (row,) = _rows(query, window, {"model": model}, of_model=True)
    return _traffic(row, window) if row["recorded"] else shapes.Traffic()


def read_routed(query: Query, window: Window, model: str, version: int, route: str) -> shapes.Traffic:
    """What came to a version by one route."""
    parameters = {"model": model, "version": version, "route": route}
    (row,) = _rows(query, window, parameters, of_model=True, of_version=True)
    return _traffic(row, window)


def read_routes(query: Query, window: Window, model: str = "") -> dict[str, Routed]:
    """By which routes versions got their requests, shadows included, of every model or of one."""
    routes: dict[str, Routed] = {}
    for row in query.rows("routes", window.parameters | {"model": model}, of_model=bool(model)):
        routes.setdefault(row["model"], {}).setdefault(row["version"], {})[row["route"]] = counted(row["requests"])
    return routes


def read_traffic_series(query: Query, name: str, window: Window) -> list[shapes.TrafficSeries]:
    """What callers asked of a model in steps, by version."""
    by_version: dict[int, dict[int, dict[str, Any]]] = {}
    for row in _rows(query, window, {"model": name}, of_model=True, by_version=True, over_time=True):
        by_version.setdefault(row["version"], {})[row["step"]] = row
    return [_series(version, by_step, window) for version, by_step in sorted(by_version.items())]


def counted(weight: float) -> float:
    """A count: a whole number where nothing was left out, as it is without weights."""
    return int(weight) if weight.is_integer() else weight


def _rows(
    query: Query,
    window: Window,
    parameters: Mapping[str, Any],
    *,
    of_model: bool,
    of_version: bool = False,
    by_version: bool = False,
    over_time: bool = False,
) -> list[dict[str, Any]]:
    return query.rows(
        "traffic",
        {**window.parameters, "refusals": REFUSALS, **parameters},
        of_model=of_model,
        of_version=of_version,
        by_version=by_version,
        over_time=over_time,
        sampled=window.sampled,
    )


def _series(version: int, by_step: Mapping[int, Mapping[str, Any]], window: Window) -> shapes.TrafficSeries:
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


def _traffic(row: Mapping[str, Any], window: Window) -> shapes.Traffic:
    return shapes.Traffic(
        requests=counted(row["requests"]),
        recorded=row["recorded"],
        rows=counted(row["row_count"]),
        failed=counted(row["failed"]),
        refused=counted(row["refused"]),
        per_second=row["requests"] / window.seconds if window.seconds else 0.0,
        p50_ms=_ms(row["p50_ns"]),
        p95_ms=_ms(row["p95_ns"]),
        p99_ms=_ms(row["p99_ns"]),
    )


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / _MS
