"""Versions that are tried beside the live one: canaries and shadows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sardonyx_monitor.statistics.promise import contest
from sardonyx_monitor.statistics.quality import Evidence, Figure, share
from sardonyx_monitor.views import shapes
from sardonyx_monitor.views.quality import Answers, read_quality, to_look_at_first
from sardonyx_monitor.views.traffic import SHADOW, Routed, read_routed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_monitor.catalog import Model
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

CANARY = "canary"
LIVE = "live"


def read_trials(query: Query, name: str, model: Model, routed: Routed, window: Window) -> list[shapes.Trial]:
    """A model's canaries, then its shadows, each beside the version that was live.

    Args:
        query: of the store.
        name: of the model.
        model: what the registry says of it.
        routed: by which routes its versions got requests in the window.
        window: the span of time to look at.
    """
    seen = {route for requests in routed.values() for route in requests}
    return [
        _trial(query, name, model, route, row, window)
        for route, statement in ((CANARY, "canaries"), (SHADOW, "shadows"))
        if route in seen
        for row in query.rows(statement, window.parameters | {"model": name})
    ]


def percent_of(model: Model, version: int, route: str) -> float | None:
    """The share that the registry gives a canary or shadow now; None where it gives none."""
    shares = [routes.canary if route == CANARY else routes.shadow for routes in model.routes.majors.values()]
    return next((each.percent for each in shares if each is not None and each.version == version), None)


def _trial(query: Query, name: str, model: Model, route: str, row: Mapping[str, Any], window: Window) -> shapes.Trial:
    number, live = row["version"], row["live"]
    # To the end of the step in which the last request came: the live version's last ones are about as old.
    until_ns = min(window.until_ns, row["last_ns"] + window.step_ns)
    both = replace(window, since_ns=row["since_ns"], until_ns=until_ns)
    version, live_version = model.versions.get(number), model.versions.get(live)
    quality = read_quality(query, Answers(name, number, version, both, route))
    practice = to_look_at_first(quality, version)
    live_quality = read_quality(query, Answers(name, live, live_version, both, LIVE))
    beside = {each.name: each.practice for each in live_quality.comparisons}
    return shapes.Trial(
        route=route,
        version=number,
        percent=percent_of(model, number, route),
        live=live,
        since_ns=both.since_ns,
        until_ns=both.until_ns,
        traffic=read_routed(query, both, name, number, route),
        live_traffic=read_routed(query, both, name, live, LIVE),
        agreement=_agreement(row) if route == SHADOW else None,
        quality=quality,
        practice=practice.practice,
        live_practice=beside.get(practice.name),
        verdict=contest(practice.practice, beside.get(practice.name)),
    )


def _agreement(row: Mapping[str, Any]) -> Figure | None:
    """The share of rows that were answered alike, each row with its request's weight."""
    evidence = Evidence(row["compared_rows"], row["compared"], row["compared_squares"])
    return share("agreement", row["alike"], evidence) if evidence.rows else None
