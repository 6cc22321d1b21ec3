"""Canaries and shadows: each is shown as what it is, beside the live version; a shadow's answers count for nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from monitor.scene import fresh_id, prediction_of
from monitor.tried import CANARY, CANARY_PERCENT, LIVE, SHADOW, SHADOW_NS, SHADOW_PERCENT
from sardonyx import telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome
from sardonyx_monitor.statistics import intervals
from server.scene import CLASSIFIER

if TYPE_CHECKING:
    from monitor.scene import Json, Value, Watch
    from monitor.tried import Call, Tried


def _page(tried: Tried) -> Json:
    return tried.watch.api(f"/models/{CLASSIFIER}")


def _version(tried: Tried, number: int) -> Json:
    (found,) = [each for each in _page(tried)["model"]["versions"] if each["number"] == number]
    return dict(found)


def _trial(tried: Tried, route: str) -> Json:
    (found,) = [each for each in _page(tried)["model"]["trials"] if each["route"] == route]
    return dict(found)


def _quantiles(calls: list[Call]) -> list[float]:
    durations = [(each.span.end_time_unix_nano - each.span.start_time_unix_nano) / 1e6 for each in calls]
    return list(np.percentile(durations, [50, 95, 99]))


# What callers got.


def test_a_shadow_is_no_traffic(tried: Tried) -> None:
    """Requests, failures and latency of the model are those that callers met; the shadow has none of its own."""
    model = _page(tried)["model"]
    total = model["total"]
    assert (total["requests"], total["failed"], total["refused"]) == (len(tried.calls), 0, 0)
    assert [total["p50_ms"], total["p95_ms"], total["p99_ms"]] == pytest.approx(_quantiles(tried.calls))
    assert _version(tried, SHADOW)["traffic"]["requests"] == 0
    assert _version(tried, SHADOW)["quality"]["answered"] == 0
    assert SHADOW not in {each["version"] for each in _page(tried)["traffic"]}
    for series in _page(tried)["traffic"]:
        assert sum(series["failed"]) == 0
        assert max(each for each in series["p99_ms"] if each is not None) < SHADOW_NS / 1e6


@pytest.mark.parametrize(("number", "routes"), [(LIVE, ("live", "pinned")), (CANARY, ("canary",))])
def test_accuracy_is_of_what_callers_got(tried: Tried, number: int, routes: tuple[str, ...]) -> None:
    """A version's accuracy is that of its own answers, though a truth joins to the shadow's too."""
    calls = tried.by(*routes)
    quality = _version(tried, number)["quality"]
    assert (quality["answered"], quality["labelled"]) == (len(calls), len(calls))
    practice = quality["comparisons"][0]["practice"]
    assert practice["value"] == pytest.approx(sum(each.right for each in calls) / len(calls))
    assert practice["rows"] == practice["effective_rows"] == len(calls)


def test_share_of_traffic_by_route(tried: Tried) -> None:
    """Each version says by which routes its callers came, as shares of all that the model answered."""
    expected = {LIVE: ("live", "pinned"), CANARY: ("canary",), SHADOW: ()}
    for number, routes in expected.items():
        found = {each["route"]: each for each in _version(tried, number)["routes"]}
        assert set(found) == set(routes)
        for route in routes:
            assert found[route]["requests"] == len(tried.by(route))
            assert found[route]["share"] == pytest.approx(len(tried.by(route)) / len(tried.calls))


def test_routes_of_the_registry(tried: Tried) -> None:
    """The versions say which route the registry gives them, with its share."""
    live, canary, shadow = (_version(tried, number) for number in (LIVE, CANARY, SHADOW))
    assert (live["live"], live["canary_percent"], live["shadow_percent"]) == (True, None, None)
    assert (canary["live"], canary["canary_percent"], canary["shadow_percent"]) == (False, CANARY_PERCENT, None)
    assert (shadow["live"], shadow["canary_percent"], shadow["shadow_percent"]) == (False, None, SHADOW_PERCENT)
    assert all(each["charted"] for each in (live, canary, shadow))


def test_moments_tell_every_route(tried: Tried) -> None:
    """What somebody set stands in the order in which it was set, with its share, and 0 where a route ended."""
    found = [(each["kind"], each["version"], each["percent"]) for each in _page(tried)["moments"]]
    assert found == [
        ("live", 1, None),
        ("live", 2, None),
        ("canary", CANARY, 5),
        ("canary", CANARY, CANARY_PERCENT),
        ("shadow", CANARY, SHADOW_PERCENT),
        ("shadow", CANARY, 0),
        ("shadow", SHADOW, SHADOW_PERCENT),
    ]
    assert {each["reason"] for each in _page(tried)["moments"][2:]} == {"to see"}


# Beside the live version.


def test_canary_beside_live(tried: Tried) -> None:
    """A canary stands beside what came to the live version in the same time, calls that named it left out."""
    trial = _trial(tried, "canary")
    both = max(tried.by(each)[0].span.start_time_unix_nano for each in ("canary", "live"))
    canary, live = (
        [each for each in tried.by(route) if each.span.start_time_unix_nano >= both] for route in ("canary", "live")
    )
    assert (trial["version"], trial["live"], trial["percent"]) == (CANARY, LIVE, CANARY_PERCENT)
    assert (trial["traffic"]["requests"], trial["live_traffic"]["requests"]) == (len(canary), len(live))
    for name, calls in (("traffic", canary), ("live_traffic", live)):
        found = [trial[name][f"{each}_ms"] for each in ("p50", "p95", "p99")]
        assert found == pytest.approx(_quantiles(calls))
    for name, calls in (("practice", canary), ("live_practice", live)):
        share = sum(each.right for each in calls) / len(calls)
        assert (trial[name]["name"], trial[name]["rows"]) == ("accuracy", len(calls))
        assert trial[name]["value"] == pytest.approx(share)
        interval = intervals.of_share(round(share * len(calls)), len(calls))
        assert (trial[name]["low"], trial[name]["high"]) == pytest.approx(interval)
    assert trial["verdict"] == "worse"
    assert trial["agreement"] is None


def test_shadow_beside_live(tried: Tried) -> None:
    """A shadow has its own requests, failures, latency and accuracy on the same truths, and how often both agree."""
    trial, mirrored = _trial(tried, "shadow"), tried.mirrored
    assert (trial["version"], trial["live"], trial["percent"]) == (SHADOW, LIVE, SHADOW_PERCENT)
    assert trial["traffic"]["requests"] == len(mirrored) + tried.shadow_failures
    assert trial["traffic"]["failed"] == tried.shadow_failures > 0
    assert trial["traffic"]["p50_ms"] == pytest.approx(SHADOW_NS / 1e6)
    alike = sum(each.right == each.shadow_right for each in mirrored)
    assert trial["agreement"]["value"] == pytest.approx(alike / len(mirrored))
    interval = intervals.of_share(alike, len(mirrored))
    assert (trial["agreement"]["low"], trial["agreement"]["high"]) == pytest.approx(interval)
    assert trial["agreement"]["rows"] == len(mirrored)
    right = sum(each.shadow_right for each in mirrored)
    assert (trial["quality"]["answered"], trial["quality"]["labelled"]) == (len(mirrored), len(mirrored))
    assert trial["practice"]["value"] == pytest.approx(right / len(mirrored))
    assert trial["practice"]["value"] > trial["live_practice"]["value"]
    assert trial["verdict"] == "better"


def test_shadow_over_time(tried: Tried) -> None:
    """The accuracy of a shadow over time is told apart from that of what callers got."""
    page = _page(tried)
    assert {each["version"] for each in page["quality"]} == {LIVE, CANARY}
    (series,) = page["shadow_quality"]
    assert (series["version"], sum(series["labelled"])) == (SHADOW, len(tried.mirrored))


def test_trials_on_both_pages(tried: Tried) -> None:
    """A model's trials are the same on the page of all models."""
    (model,) = [each for each in tried.watch.api("/models")["models"] if each["name"] == CLASSIFIER]
    for one, other in zip(model["trials"], _page(tried)["model"]["trials"], strict=True):
        for name in ("route", "version", "live", "agreement", "practice", "live_practice", "verdict"):
            assert one[name] == other[name], name


def test_a_shadow_without_a_registry(watch: Watch) -> None:
    """A model of which only a shadow was heard is shown, with no traffic and its trial beside nobody."""
    name = fresh_id("model")
    watch.export(prediction_of(fresh_id(), ["late"], model=name, version=4, more={telemetry.ROUTE: "shadow"}))
    model = watch.api(f"/models/{name}")["model"]
    assert (model["versions"], model["total"]["requests"]) == ([], 0)
    (trial,) = model["trials"]
    assert (trial["version"], trial["live"], trial["agreement"], trial["verdict"]) == (4, 0, None, "open")
    assert watch.web.get(f"/models/{name}").status_code == 200


def test_agreement_is_weighted_by_rows_and_requests(watch: Watch) -> None:
    """A request that stands for others, and one of many rows, counts for that much of the agreement."""
    name = fresh_id("model")
    asked = [(1.0, ["a"] * 4, 0.25), (10.0, ["a", "b"], 1.0), (3.0, ["b"], 0.0)]
    for weight, labels, agreement in asked:
        more: dict[str, Value] = {
            telemetry.ROUTE: "shadow",
            telemetry.WEIGHT: weight,
            telemetry.SHADOW_LIVE_VERSION: 1,
            telemetry.SHADOW_AGREEMENT: agreement,
        }
        watch.export(prediction_of(fresh_id(), labels, model=name, version=2, more=more))
    (trial,) = watch.api(f"/models/{name}")["model"]["trials"]
    total = sum(weight * len(labels) for weight, labels, _ in asked)
    alike = sum(weight * len(labels) * agreement for weight, labels, agreement in asked)
    assert trial["agreement"]["value"] == pytest.approx(alike / total)
    squares = sum(weight**2 * len(labels) for weight, labels, _ in asked)
    assert trial["agreement"]["effective_rows"] == pytest.approx(total**2 / squares)
    assert trial["agreement"]["rows"] == 7


# Traces.


def test_trace_tells_both_answers(tried: Tried) -> None:
    """The trace of a mirrored call holds both answers with the one truth, each with its version and route."""
    call = next(each for each in tried.mirrored if each.right != each.shadow_right)
    trace = tried.watch.trace(call.span.trace_id)
    found = [(each["route"], each["version"], each["right"]) for each in trace["predictions"]]
    assert found == [("live", LIVE, call.right), ("shadow", SHADOW, call.shadow_right)]
    requests = [each["request"] for each in trace["spans"]]
    assert [(each["route"], each["live_version"], each["agreement"]) for each in requests] == [
        ("live", 0, None),
        ("shadow", LIVE, 0),
    ]


@pytest.mark.parametrize("route", ["canary", "pinned"])
def test_search_by_route(tried: Tried, route: str) -> None:
    """A search for a route finds the calls that came by it."""
    traces = tried.watch.api("/traces", route=route, model=CLASSIFIER)["traces"]
    newest = [each.span.trace_id.hex() for each in reversed(tried.by(route))][:100]
    assert [each["trace_id"] for each in traces] == newest
    assert {each["route"] for each in traces} == {route}


def test_one_truth_joins_to_both(watch: Watch) -> None:
    """A truth that is told once counts once for the live version, and once for the shadow."""
    name, prediction_id = fresh_id("model"), fresh_id()
    watch.export(
        prediction_of(prediction_id, ["late"], model=name, version=1, more={telemetry.ROUTE: "live"}),
        prediction_of(prediction_id, ["punctual"], model=name, version=1, more={telemetry.ROUTE: "shadow"}),
    )
    watch.report(Outcome(prediction_id=prediction_id, label="late"))
    model = watch.api(f"/models/{name}")["model"]
    (version,), (trial,) = model["versions"], model["trials"]
    assert (version["quality"]["labelled"], version["quality"]["comparisons"][0]["practice"]["value"]) == (1, 1)
    assert (trial["quality"]["labelled"], trial["practice"]["value"]) == (1, 0)
