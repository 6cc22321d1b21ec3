"""Models and their versions, in a window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx_monitor.catalog import Model
from sardonyx_monitor.views import shapes
from sardonyx_monitor.views.callers import read_interfaces, require_known
from sardonyx_monitor.views.quality import Answers, read_quality, read_quality_series
from sardonyx_monitor.views.traffic import NO_VERSION, SHADOW, ByVersion, Routed, read_routes, read_total, read_traffic
from sardonyx_monitor.views.trials import CANARY, percent_of, read_trials

if TYPE_CHECKING:
    from collections.abc import Collection

    from sardonyx_monitor.catalog import Snapshot
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

#: Versions that a chart draws beside those that have a route: more lines are not told apart.
RECENT_MAX: Final = 3


def read_models(query: Query, snapshot: Snapshot, window: Window) -> tuple[list[shapes.ModelView], float, Window]:
    """Every model that the registry has or that answered something, how many calls asked for others, and the window."""
    window = window.narrowed(query)
    traffic, routes = read_traffic(query, window), read_routes(query, window)
    known = sorted({*snapshot.models, *routes})
    views = [
        _model(query, name, snapshot.models.get(name, Model()), traffic.get(name, {}), routes.get(name, {}), window)
        for name in known
    ]
    unknown = sum(each.requests for name in traffic.keys() - set(known) for each in traffic[name].values())
    return views, unknown, window


def read_model(query: Query, snapshot: Snapshot, name: str, window: Window) -> tuple[shapes.ModelView, Window]:
    """One model, and the part of the window that it fills.

    Raises:
        ModelNotFound: neither the registry nor the store knows it.
    """
    window = window.narrowed(query, name)
    traffic = read_traffic(query, window, name).get(name, {})
    routed = read_routes(query, window, name).get(name, {})
    if not routed:
        require_known(query, snapshot, name)
    return _model(query, name, snapshot.models.get(name, Model()), traffic, routed, window), window


def read_series(query: Query, model: Model, view: shapes.ModelView, window: Window) -> list[shapes.QualitySeries]:
    """The primary metric of each version that answered callers, in steps."""
    return [
        read_quality_series(
            query, Answers(view.name, each.number, model.versions.get(each.number), window), each.quality
        )
        for each in view.versions
        if each.quality.answered
    ]


def read_shadow_series(
    query: Query, model: Model, view: shapes.ModelView, window: Window
) -> list[shapes.QualitySeries]:
    """The primary metric of each version that answered as a shadow, in steps."""
    return [
        read_quality_series(
            query, Answers(view.name, each.version, model.versions.get(each.version), window, SHADOW), each.quality
        )
        for each in view.trials
        if each.route == SHADOW and each.quality.answered
    ]


def moments_of(model: Model) -> list[shapes.Moment]:
    """Every time that somebody set a route, oldest first."""
    return [
        shapes.Moment(
            int(each.time.timestamp() * 1e9),
            each.kind,
            each.version,
            each.major,
            each.percent,
            each.actor,
            each.reason,
        )
        for each in model.acts
    ]


def _model(
    query: Query, name: str, model: Model, traffic: ByVersion, routed: Routed, window: Window
) -> shapes.ModelView:
    tried = {share.version for each in model.routes.majors.values() for share in (each.canary, each.shadow) if share}
    on_route = {*model.routes.live_versions, *tried}
    shown = sorted((on_route | traffic.keys()) - {NO_VERSION}, reverse=True)
    charted = {*on_route, *shown[:RECENT_MAX]}
    return shapes.ModelView(
        name=name,
        default_major=model.routes.default_major,
        versions=[_version(query, name, number, model, traffic, routed, charted, window) for number in shown],
        interfaces=read_interfaces(query, name, model, window.since_ns, window.until_ns),
        idle_versions=sorted(model.versions.keys() - set(shown), reverse=True),
        trials=read_trials(query, name, model, routed, window),
        total=next(iter(traffic.values())) if len(traffic) == 1 else read_total(query, window, name),
        unanswered=traffic.get(NO_VERSION, shapes.Traffic()),
    )


def _version(
    query: Query,
    name: str,
    number: int,
    model: Model,
    traffic: ByVersion,
    routed: Routed,
    charted: Collection[int],
    window: Window,
) -> shapes.VersionView:
    version = model.versions.get(number)
    return shapes.VersionView(
        number=number,
        major=version.major if version else 0,
        live=number in model.routes.live_versions,
        canary_percent=percent_of(model, number, CANARY),
        shadow_percent=percent_of(model, number, SHADOW),
        retired=model.routes.is_retired(number, version.major if version else 0),
        registered=version is not None,
        created_ns=int(version.created_at.timestamp() * 1e9) if version else None,
        author=version.author if version else "",
        description=version.description if version else "",
        source_model=version.source_model if version else "",
        charted=number in charted,
        traffic=traffic.get(number, shapes.Traffic()),
        routes=_routes(routed, number),
        quality=read_quality(query, Answers(name, number, version, window)),
    )


def _routes(routed: Routed, number: int) -> list[shapes.RouteTraffic]:
    """By which routes a version's callers came, with the share of all that the model answered."""
    whole = sum(count for each in routed.values() for route, count in each.items() if route != SHADOW)
    return [
        shapes.RouteTraffic(route, count, count / whole)
        for route, count in sorted(routed.get(number, {}).items())
        if route != SHADOW
    ]
