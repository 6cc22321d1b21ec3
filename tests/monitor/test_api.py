"""Everything that /api says, against what was sent, and what it says where something is wrong."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.scene import REFUSED, connected, doors_of, fresh_id, prediction_of, span_of, start_monitor, watching
from sardonyx import telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome
from sardonyx_exporter import export, promote
from sardonyx_monitor.catalog import Catalog
from sardonyx_monitor.receiver.losses import Losses
from sardonyx_monitor.store.database import Database
from sardonyx_monitor.store.reader import Reader
from sardonyx_monitor.store.writer import Writer
from sardonyx_monitor.views.views import Views
from sardonyx_monitor.views.window import WINDOWS
from server.scene import CLASSIFIER, PATIENCE_S, REGRESSOR, fit_classifier, frame_of, truth_of, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from monitor.scene import Asked, Json, Stage, Value, Watch
    from sardonyx_monitor.store.reader import Query

MINUTE_NS = 60 * 10**9


def _models(stage: Stage) -> dict[str, Json]:
    return {each["name"]: each for each in stage.watch.api("/models")["models"]}


def _version(model: Json, number: int) -> Json:
    (found,) = [each for each in model["versions"] if each["number"] == number]
    return dict(found)


def _rows(asked: list[Asked]) -> list[tuple[Any, Any]]:
    """Answers with their truths, None where there is none."""
    return [pair for each in asked for pair in zip(each.answers, each.truths, strict=True)]


def _found(watch: Watch, **search: str) -> set[str]:
    return {each["trace_id"] for each in watch.api("/traces", **search)["traces"]}


# Models.


@pytest.mark.parametrize(("name", "number"), [(CLASSIFIER, 1), (CLASSIFIER, 2), (REGRESSOR, 1)])
def test_traffic_of_a_version(stage: Stage, name: str, number: int) -> None:
    """Each version has the requests and rows that it answered, none failed, and quantiles in order."""
    asked = stage.of(name, number)
    version = _version(_models(stage)[name], number)
    traffic = version["traffic"]
    assert (traffic["requests"], traffic["rows"]) == (len(asked), len(_rows(asked)))
    assert (traffic["failed"], traffic["refused"]) == (0, 0)
    assert 0 < traffic["p50_ms"] <= traffic["p95_ms"] <= traffic["p99_ms"]
    assert (version["registered"], version["major"]) == (True, 1)
    assert version["live"] == ((name, number) != (CLASSIFIER, 1))


@pytest.mark.parametrize("number", [1, 2])
def test_accuracy_of_a_version(stage: Stage, number: int) -> None:
    """Accuracy, its interval's rows and coverage are those of the truths that were told, beside the promise."""
    rows = _rows(stage.of(CLASSIFIER, number))
    told = [(answer, truth) for answer, truth in rows if truth is not None]
    quality = _version(_models(stage)[CLASSIFIER], number)["quality"]
    assert (quality["answered"], quality["labelled"], quality["unreadable"]) == (len(rows), len(told), 0)
    assert quality["coverage"] == pytest.approx(len(told) / len(rows))
    first = quality["comparisons"][0]
    assert first["name"] == "accuracy"
    assert first["practice"]["rows"] == len(told)
    assert first["practice"]["value"] == pytest.approx(sum(answer == truth for answer, truth in told) / len(told))
    assert first["practice"]["low"] <= first["practice"]["value"] <= first["practice"]["high"]
    assert first["promise"]["rows"] == 200
    assert first["verdict"] == ("worse" if number == 1 else "open")


def test_errors_of_a_regressor(stage: Stage) -> None:
    """MAE and RMSE are those of the truths that were told."""
    comparisons = _version(_models(stage)[REGRESSOR], 1)["quality"]["comparisons"]
    practice = {each["name"]: each["practice"]["value"] for each in comparisons if each["practice"]}
    assert practice == pytest.approx({"mae": 0.5, "rmse": 0.5})


def test_values_of_a_version_that_nobody_registered(watch: Watch) -> None:
    """A version that the registry does not hold is judged by what it answers: numbers by their errors."""
    ids, name = [fresh_id() for _ in range(3)], fresh_id("model")
    values = [3.0, 5.0, math.nan]
    watch.export(*[prediction_of(each, values=[value], model=name) for each, value in zip(ids, values, strict=True)])
    watch.report(
        *[Outcome(prediction_id=each, number=3.5) for each in ids[1:]], Outcome(prediction_id=ids[0], label="no")
    )
    page = watch.api(f"/models/{name}")
    (version,), (series,) = page["model"]["versions"], page["quality"]
    quality = version["quality"]
    assert (quality["labelled"], quality["unreadable"]) == (3, 1)
    assert {each["name"]: each["practice"]["value"] for each in quality["comparisons"]} == {"mae": 1.5, "rmse": 1.5}
    assert (series["metric"], [each for each in series["value"] if each is not None]) == ("mae", [1.5])


def test_calls_that_nothing_answered(stage: Stage) -> None:
    """Calls to unknown versions stand with their model, calls to unknown models apart, and both are refusals."""
    page = stage.watch.api("/models")
    assert page["unknown_requests"] == sum(model == "nobody" for model, _ in REFUSED)
    models = {each["name"]: each for each in page["models"]}
    assert "nobody" not in models
    unanswered, total = models[CLASSIFIER]["unanswered"], models[CLASSIFIER]["total"]
    assert (unanswered["requests"], unanswered["refused"], unanswered["failed"]) == (1, 1, 0)
    assert total["requests"] == 1 + len(stage.of(CLASSIFIER, 1)) + len(stage.of(CLASSIFIER, 2))


def test_one_model_over_time(stage: Stage) -> None:
    """The steps of a model's series add up to its totals; the quality series weigh in to the figure above them."""
    page = stage.watch.api(f"/models/{CLASSIFIER}")
    seconds = page["window"]["step_s"]
    assert {each["version"] for each in page["traffic"]} == {0, 1, 2}
    for series in page["traffic"]:
        expected = len(stage.of(CLASSIFIER, series["version"])) or 1
        assert sum(series["per_second"]) * seconds == pytest.approx(expected)
        assert {len(values) for values in series.values() if isinstance(values, list)} == {len(series["time"])}
    for series in page["quality"]:
        told = [(answer, truth) for answer, truth in _rows(stage.of(CLASSIFIER, series["version"])) if truth]
        steps = zip(series["value"], series["labelled"], strict=True)
        right = sum(value * rows for value, rows in steps if value is not None)
        assert sum(series["labelled"]) == len(told)
        assert right == pytest.approx(sum(answer == truth for answer, truth in told))
    assert {each["version"] for each in page["quality"]} == {1, 2}


def test_moments(stage: Stage) -> None:
    """The moments when versions went live are told in order, by whom."""
    moments = stage.watch.api(f"/models/{CLASSIFIER}")["moments"]
    assert [(each["version"], each["kind"], each["major"]) for each in moments] == [(1, "live", 1), (2, "live", 1)]
    times = [datetime.fromisoformat(each["time"]) for each in moments]
    assert times == sorted(times)
    assert all(each["actor"] for each in moments)


def test_page_and_api_agree(stage: Stage) -> None:
    """A model is the same on the page of all models and on its own."""
    one = stage.watch.api(f"/models/{CLASSIFIER}", window="all")["model"]
    (same,) = [each for each in stage.watch.api("/models", window="all")["models"] if each["name"] == CLASSIFIER]
    for version, other in zip(one["versions"], same["versions"], strict=True):
        assert version["quality"] == other["quality"]
        for name in ("requests", "rows", "p50_ms", "p95_ms", "p99_ms"):
            assert version["traffic"][name] == other["traffic"][name]


def test_a_primary_metric_without_an_interval(tmp_path: Path) -> None:
    """A metric that has no interval in practice is not judged, which is not for want of truths."""
    frame = frame_of(seed=2, rows=60)
    registry, ids = tmp_path / "registry", [fresh_id() for _ in range(60)]
    holdout = frame, truth_of(frame)
    export(fit_classifier(1), name=CLASSIFIER, holdout=holdout, registry=registry, primary_metric="f1")
    promote(CLASSIFIER, 1, registry=registry)
    with watching(registry, tmp_path / "data") as watch:
        watch.export(*[prediction_of(each, ["late"], model=CLASSIFIER) for each in ids])
        for known, words in ((20, "too few truths"), (60, "not judged")):
            watch.report(*[Outcome(prediction_id=each, label="late") for each in ids[:known]])
            (version,) = watch.api(f"/models/{CLASSIFIER}")["model"]["versions"]
            first = version["quality"]["comparisons"][0]
            assert (first["name"], first["practice"]["rows"], first["verdict"]) == ("f1", known, "open")
            assert f">{words}<" in watch.web.get("/").text


# Traces.


def test_trace_by_its_id(stage: Stage) -> None:
    """A trace says which version answered what, in which stages, and what came true."""
    asked = stage.of(CLASSIFIER, 1)[0]
    trace = stage.watch.api(f"/traces/{asked.trace_id}")
    (span,) = trace["spans"]
    assert span["name"] == telemetry.SPAN_MODEL_INFER
    assert span["attributes"][telemetry.MODEL_VERSION] == "1"
    assert span["attributes"][telemetry.PREDICTION_ID] == asked.prediction_id
    assert [each["name"] for each in span["stages"]] == ["decode", "queue", "run", "encode"]
    assert 0 < sum(each["duration_ms"] for each in span["stages"]) <= span["duration_ms"]
    assert [(each["row"], each["answer"], each["truth"], each["right"]) for each in trace["predictions"]] == [
        (row, answer, truth, answer == truth)
        for row, (answer, truth) in enumerate(zip(asked.answers, asked.truths, strict=True))
    ]
    for each in trace["predictions"]:
        assert set(each["probabilities"]) == {"late", "punctual"}
        assert max(each["probabilities"], key=each["probabilities"].get) == each["answer"]
        assert sum(each["probabilities"].values()) == pytest.approx(1)


def test_trace_of_a_regressor(stage: Stage) -> None:
    """A trace of a regressor says the values, without probabilities and without right or wrong."""
    asked = stage.of(REGRESSOR, 1)[0]
    rows = stage.watch.api(f"/traces/{asked.trace_id}")["predictions"]
    assert [float(each["answer"]) for each in rows] == pytest.approx(asked.answers, rel=1e-4)
    assert [float(each["truth"]) for each in rows] == pytest.approx(asked.truths, rel=1e-4)
    assert all(each["probabilities"] == {} and each["right"] is None for each in rows)


def test_upper_case_trace_id(stage: Stage) -> None:
    """A trace is found by its id in either case, as logs write it."""
    trace_id = stage.asked[0].trace_id
    assert stage.watch.api(f"/traces/{trace_id.upper()}")["trace_id"] == trace_id
    assert _found(stage.watch, q=f" {trace_id.upper()} ") == {trace_id}


@pytest.mark.parametrize(("name", "number"), [(CLASSIFIER, 1), (CLASSIFIER, 2), (REGRESSOR, 1)])
def test_search_by_model_and_version(stage: Stage, name: str, number: int) -> None:
    """A search for a version finds the traces that it answered and no other."""
    expected = {each.trace_id for each in stage.of(name, number)}
    assert _found(stage.watch, model=name, version=str(number)) == expected


def test_search_by_prediction_id(stage: Stage) -> None:
    """A search for a prediction's id finds its trace, with what it is."""
    asked = stage.asked[-1]
    (found,) = stage.watch.api("/traces", q=asked.prediction_id)["traces"]
    assert (found["trace_id"], found["prediction_id"]) == (asked.trace_id, asked.prediction_id)
    assert (found["model"], found["version"], found["code"]) == (asked.model, asked.version, "OK")
    assert found["rows"] == len(asked.answers)


def test_search_by_an_id_that_could_be_a_trace(watch: Watch) -> None:
    """An id as servers give it, of as many digits as a trace's, finds the prediction, alone or in a shared request."""
    own, shared = os.urandom(16).hex(), [os.urandom(16).hex() for _ in range(2)]
    members: dict[str, Value] = {telemetry.PREDICTION_IDS: list(shared)}
    alone = prediction_of(own, ["late"], model=fresh_id("model"))
    together = prediction_of(fresh_id(), ["late", "late"], model=fresh_id("model"), more=members)
    watch.export(alone, together)
    for prediction_id, span in ((own, alone), (shared[1], together)):
        assert _found(watch, q=prediction_id) == {span.trace_id.hex()}
        page = watch.web.get("/traces", params={"q": prediction_id})
        assert (page.status_code, span.trace_id.hex() in page.text) == (200, True)
    found = watch.web.get("/traces", params={"q": alone.trace_id.hex().upper()})
    assert (found.status_code, found.headers["location"]) == (303, f"/traces/{alone.trace_id.hex()}")


def test_search_by_run(watch: Watch) -> None:
    """A search for the id of a run finds the requests that shared it, and each of them names the others."""
    name, run, ids = fresh_id("model"), os.urandom(8).hex(), [fresh_id() for _ in range(3)]
    shared: dict[str, Value] = {telemetry.BATCH_ID: run, telemetry.BATCH_ROWS: 3, telemetry.BATCH_REQUESTS: 3}
    shared |= {telemetry.BATCH_PREDICTION_IDS: ids, telemetry.CALLER: "billing", telemetry.WEIGHT: 2.0}
    spans = [prediction_of(each, ["late"], model=name, more=shared) for each in ids]
    watch.export(*spans, prediction_of(fresh_id(), ["late"], model=name))
    traces = watch.api("/traces", q=run)["traces"]
    assert {each["prediction_id"] for each in traces} == set(ids)
    assert {(each["batch_id"], each["batch_requests"]) for each in traces} == {(run, 3)}
    assert {(each["caller"], each["weight"]) for each in traces} == {("billing", 2)}
    page = watch.web.get(f"/traces/{spans[0].trace_id.hex()}").text
    for each in (run, *ids):
        assert f'href="/traces?q={each}&amp;window=all"' in page


@pytest.mark.parametrize("status", ["NOT_FOUND", "failures"])
def test_search_by_status(stage: Stage, status: str) -> None:
    """A search for a status finds the requests that ended with it."""
    traces = stage.watch.api("/traces", status=status)["traces"]
    found = sorted((each["model"], each["code"]) for each in traces)
    assert found == sorted((model, "NOT_FOUND") for model, _ in REFUSED)
    assert not _found(stage.watch, status="INTERNAL")
    assert len(_found(stage.watch, status="OK", model=REGRESSOR)) == len(stage.of(REGRESSOR, 1))


@pytest.mark.parametrize("status", ["", "failures", "INTERNAL", "PERMISSION_DENIED"])
def test_a_search_shows_its_status(watch: Watch, status: str) -> None:
    """The form shows the status that is searched for, one that it does not offer too: to search again keeps it."""
    page = watch.web.get("/traces", params={"status": status}).text
    chosen = re.search(r"Status<select.*?<option( value=\"(\w*)\")? selected>(\w+)", page, re.DOTALL)
    assert chosen is not None
    assert status == (chosen[2] if chosen[1] else chosen[3])


def test_search_by_duration(watch: Watch) -> None:
    """A search for a duration finds what took at least so long, to the fraction of a millisecond."""
    name = fresh_id("model")
    spans = [
        prediction_of(fresh_id(), ["late"], model=name, duration_ns=each) for each in (999_999, 1_500_000, 7 * 10**9)
    ]
    watch.export(*spans)
    ids = [span.trace_id.hex() for span in spans]
    for least, expected in (("", ids), ("1", ids[1:]), ("1.5", ids[1:]), ("1.500001", ids[2:]), ("7000.1", [])):
        assert _found(watch, model=name, min_ms=least) == set(expected)


@pytest.mark.parametrize("window", WINDOWS)
def test_search_by_window(watch: Watch, window: str) -> None:
    """A window holds what began within it; the id of a trace finds it whatever the window is."""
    name, now = fresh_id("model"), datetime.now(UTC)
    ages = {minutes: prediction_of(fresh_id(), ["late"], model=name, start_ns=_ago(minutes)) for minutes in AGES}
    watch.export(*ages.values())
    length_ns = WINDOWS[window] or 1 << 62
    expected = {span.trace_id.hex() for minutes, span in ages.items() if minutes * MINUTE_NS < length_ns}
    assert _found(watch, model=name, window=window) == expected
    oldest = ages[max(ages)].trace_id.hex()
    assert _found(watch, q=oldest, window=window) == {oldest}
    page = watch.api(f"/models/{name}", window=window)
    assert page["model"]["total"]["requests"] == len(expected)
    assert page["window"]["name"] == window
    assert datetime.fromisoformat(page["window"]["until"]) >= now - timedelta(milliseconds=1)


#: Minutes, each within another window.
AGES = (0, 10, 50, 300, 1200, 9000, 40000, 100_000)


def _ago(minutes: int) -> int:
    return int(datetime.now(UTC).timestamp() * 1e9) - minutes * MINUTE_NS - 10**7


def test_a_model_that_nobody_asked_lately(watch: Watch) -> None:
    """A model that the registry does not hold, and that was asked before the span that is shown, is still there."""
    name = fresh_id("model")
    watch.export(prediction_of(fresh_id(), ["late"], model=name, start_ns=_ago(120)))
    for window, requests in (("1h", 0), ("6h", 1)):
        assert watch.api(f"/models/{name}", window=window)["model"]["total"]["requests"] == requests
        assert watch.web.get(f"/models/{name}", params={"window": window}).status_code == 200
        assert len(watch.api(f"/models/{name}/callers", within=window)["callers"]) == requests


def test_requests_from_after_now(watch: Watch) -> None:
    """A model whose every request is dated after now, by a clock that is ahead, has a window that runs forwards."""
    name = fresh_id("model")
    watch.export(prediction_of(fresh_id(), ["late"], model=name, start_ns=_ago(-10)))
    window = watch.api(f"/models/{name}/inputs")["window"]
    since, until = (datetime.fromisoformat(window[each]) for each in ("since", "until"))
    assert until - since == timedelta(hours=1)


def test_search_is_limited(watch: Watch) -> None:
    """A search finds the newest hundred, newest first."""
    name = fresh_id("model")
    spans = [prediction_of(fresh_id(), model=name, start_ns=_ago(1) + number) for number in range(130)]
    watch.export(*spans)
    page = watch.api("/traces", model=name)
    newest = [span.trace_id.hex() for span in reversed(spans)]
    assert [each["trace_id"] for each in page["traces"]] == newest[: page["limit"]]
    assert page["limit"] == 100


def test_search_offers_choices(stage: Stage) -> None:
    """The search says which models and versions can be chosen."""
    page = stage.watch.api("/traces")
    assert {CLASSIFIER, REGRESSOR} <= set(page["models"])
    assert stage.watch.api("/traces", model=CLASSIFIER)["versions"][:2] == [2, 1]


# The monitor itself.


def test_health_counts(stage: Stage) -> None:
    """The monitor's own page counts the spans, rows and truths that were sent, and who sent them."""
    health = stage.watch.health()
    rows = _rows(stage.asked)
    assert health["stored"] == {
        "spans": len(stage.asked) + len(REFUSED),
        "predictions": len(rows),
        "outcomes": sum(truth is not None for _, truth in rows),
    }
    assert (health["writing"], health["orphan_outcomes"]) == (True, 0)
    (sender,) = health["senders"]
    assert (sender["service"], sender["spans_dropped"]) == (telemetry.SERVICE_NAME_SERVER, 0)
    assert health["registry"]["error"] == ""
    assert health["registry"]["location"] == str(stage.registry)


async def test_health_waits_behind_no_page(tmp_path: Path) -> None:
    """While heavy pages hold every reader, and others wait for one, the monitor still says how it is."""
    database, ended = Database(tmp_path), threading.Event()
    database.open()
    reader, health_reader, writer = Reader(database), Reader(database, threads=1), Writer(database)
    writer.start()
    views = Views(reader, health_reader, writer, Catalog(str(tmp_path / "registry"), 60), Losses())
    heavy = [asyncio.create_task(reader.run(_heavy, ended)) for _ in range(4)]
    try:
        assert (await asyncio.wait_for(views.health(), PATIENCE_S)).writing
        assert not any(each.done() for each in heavy)
    finally:
        ended.set()
        await asyncio.gather(*heavy)
        reader.stop()
        health_reader.stop()
        writer.stop()
        database.close()


def _heavy(_query: Query, ended: threading.Event) -> None:
    ended.wait()


# What is wrong.


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/models/none", 404, "none"),
        (f"/models/{CLASSIFIER}?window=2h", 400, "'2h' is no window"),
        ("/models?window=2h", 400, "Choose one of 15m"),
        ("/traces?window=2h", 400, "'2h' is no window"),
        ("/traces?version=three", 400, "'three' is no version"),
        ("/traces?version=-1", 400, "is no version"),
        ("/traces?version=99999999999999999999", 400, "is no version"),
        ("/traces?version=²", 400, "is no version"),
        ("/traces?route=back", 400, "'back' is no route"),
        ("/traces?status=ok!", 400, "is no status"),
        ("/traces?min_ms=soon", 400, "is no duration"),
        ("/traces?min_ms=-1", 400, "is no duration"),
        ("/traces?min_ms=nan", 400, "is no duration"),
        ("/traces?min_ms=1e999", 400, "is no duration"),
        ("/traces/short", 400, "is no trace id"),
        (f"/traces/{'f' * 32}", 404, "No trace"),
        ("/nothing", 404, "Start at /"),
    ],
)
def test_error(stage: Stage, path: str, status: int, words: str) -> None:
    """What cannot be shown is said with its code and a sentence, as JSON and as a page."""
    code = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}[status]
    answer = stage.watch.web.get(f"/api{path}")
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code
    assert words in answer.json()["error"]["message"]
    page = stage.watch.web.get(path) if path != "/models?window=2h" else stage.watch.web.get("/?window=2h")
    assert page.status_code == status
    assert "Back to the models" in page.text
    assert "Traceback" not in page.text + answer.text


def test_all_faults_are_named(stage: Stage) -> None:
    """A search with several faults is told of each."""
    answer = stage.watch.web.get("/api/traces?version=x&status=y&min_ms=z")
    assert answer.status_code == 400
    for word in ("'x'", "'y'", "'z'"):
        assert word in answer.json()["error"]["message"]


def test_only_reading(stage: Stage) -> None:
    """Nothing can be posted to a page."""
    for path in ("/", "/api/models", "/api/traces"):
        answer = stage.watch.web.post(path)
        assert answer.status_code == 405
        assert "Traceback" not in answer.text


searches = st.dictionaries(
    st.sampled_from(["q", "model", "version", "route", "status", "min_ms", "window"]),
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        st.sampled_from(["failures", "OK", "0", "1e3", "all", "' or 1=1 --", "%", "{{ 1 }}", "\x00"]),
    ),
)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(search=searches)
def test_any_search_is_answered(watch: Watch, search: dict[str, str]) -> None:
    """Whatever is typed into the search, it is answered or refused, never broken."""
    for path in ("/api/traces", "/traces"):
        assert watch.web.get(path, params=search).status_code in (200, 303, 400)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/?#\\"), min_size=1, max_size=30))
def test_any_name_is_answered(watch: Watch, name: str) -> None:
    """Whatever name is asked for, it is known or not found, never broken."""
    if name in (".", ".."):
        return
    for path in ("/api/models/", "/models/", "/api/traces/", "/traces/"):
        answer = watch.web.get(path + _quoted(name))
        assert answer.status_code in (200, 400, 404)


def _quoted(name: str) -> str:
    return "".join(f"%{byte:02X}" for byte in name.encode())


def test_text_of_others_is_text(watch: Watch) -> None:
    """Markup in names, attributes and ids that others sent is shown as text."""
    evil = "<script>alert(1)</script>\"'"
    span = prediction_of(evil, [evil], model=evil, version=0, code=evil, more={evil: evil})
    span.name = span.status.message = evil
    watch.export(span, span_of(name=evil), service=evil, resource={"service.instance.id": evil}, dropped=1)
    for path in ("/", "/traces", f"/traces/{span.trace_id.hex()}", "/health", f"/models/{_quoted(evil)}"):
        assert "<script>alert" not in watch.web.get(path).text


@pytest.mark.parametrize(
    "more",
    [
        {telemetry.STAGE_RUN_NS: "²"},
        {telemetry.STAGE_RUN_NS: "9" * 400},
        {telemetry.STAGE_RUN_NS: "9" * 5000},
        {telemetry.BATCH_ID: "run", telemetry.BATCH_PREDICTION_IDS: '["\\ud800"]'},
        {telemetry.BATCH_ID: "run", telemetry.BATCH_PREDICTION_IDS: "[" * 100_000},
    ],
    ids=["no digit", "too large", "too long", "half a character", "too deep"],
)
def test_attributes_of_others_break_no_page(watch: Watch, more: dict[str, Value]) -> None:
    """A trace whose attributes are not what their names promise is shown without them."""
    span = prediction_of(fresh_id(), ["late"], more=more)
    watch.export(span)
    (shown,) = watch.trace(span.trace_id)["spans"]
    assert (shown["stages"], shown["request"]["batch_members"]) == ([], [])
    assert watch.web.get(f"/traces/{span.trace_id.hex()}").status_code == 200


def test_two_spans_of_one_id(watch: Watch) -> None:
    """Two spans that were given one id, with other inputs each, do not break the page of their trace."""
    first, second = (
        prediction_of(
            fresh_id(), ["late"], more={telemetry.INPUT_ROWS: [0], telemetry.INPUT_VALUE_PREFIX + name: [1.0]}
        )
        for name in ("distance", "carrier")
    )
    second.trace_id, second.span_id = first.trace_id, first.span_id
    watch.export(first, second)
    assert watch.web.get(f"/traces/{first.trace_id.hex()}").status_code == 200


def test_json_is_json(stage: Stage) -> None:
    """No answer holds NaN or infinity, which JSON does not have."""

    def refuse(constant: str) -> NoReturn:
        raise AssertionError(constant)

    trace_id = stage.asked[0].trace_id
    for path in (
        "/models",
        f"/models/{CLASSIFIER}",
        f"/models/{REGRESSOR}",
        "/traces",
        f"/traces/{trace_id}",
        "/health",
    ):
        answer = stage.watch.web.get(f"/api{path}")
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        json.loads(answer.text, parse_constant=refuse)


def test_headers(stage: Stage) -> None:
    """Every answer, an error's too, forbids the browser to load or run anything from elsewhere."""
    for path in ("/", "/api/health", "/static/live.js", "/nothing"):
        headers = stage.watch.web.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


# The registry.


def test_registry_that_does_not_exist(watch: Watch) -> None:
    """A registry that does not exist yet is no error; a version that only the spans know is shown as such."""
    name = fresh_id("model")
    watch.export(prediction_of(fresh_id(), ["late"], model=name, version=7))
    page = watch.api("/models")
    assert page["registry"]["error"] == ""
    (model,) = [each for each in page["models"] if each["name"] == name]
    (version,) = model["versions"]
    assert (version["number"], version["registered"], version["live"]) == (7, False, False)
    assert watch.web.get(f"/models/{name}").status_code == 200


def test_registry_appears_breaks_and_vanishes(stage: Stage, tmp_path: Path) -> None:
    """A registry is read once it exists; one that breaks is told with what was known kept; one that vanishes too."""
    registry, name = tmp_path / "registry", CLASSIFIER
    program = start_monitor(registry, tmp_path / "data", "--poll-interval-s", "0.05")
    with connected(*doors_of(program)) as watch:
        assert watch.api("/models")["models"] == []
        span = prediction_of("seen", ["late"], probabilities=[0.9, 0.1], model=name)
        watch.export(span)
        shutil.copytree(stage.registry, registry)
        wait_until(lambda: len(_names(watch)) == 2, "the registry is read")
        wait_until(lambda: not watch.api("/models")["registry"]["error"], "the registry is whole")
        event = min((registry / "models" / name / "events").iterdir())
        whole = event.read_bytes()
        event.write_bytes(b"no event")
        wait_until(lambda: bool(watch.api("/models")["registry"]["error"]), "the fault is told")
        assert len(_names(watch)) == 2
        assert "The registry could not be read" in watch.web.get("/").text
        assert "The registry could not be read" in watch.web.get(f"/models/{name}").text
        event.write_bytes(whole)
        wait_until(lambda: not watch.api("/models")["registry"]["error"], "the registry is read again")
        shutil.rmtree(registry)
        wait_until(lambda: bool(watch.api("/models")["registry"]["error"]), "the loss is told")
        assert len(_names(watch)) == 2
        for path in ("/", f"/models/{name}", "/traces", f"/traces/{span.trace_id.hex()}", "/health"):
            assert watch.web.get(path).status_code == 200
        (model,) = [each for each in watch.api("/models")["models"] if each["name"] == name]
        assert model["total"]["requests"] == 1
    assert program.stop() == 0
    assert "Traceback" not in "".join(program.lines)


def _names(watch: Watch) -> set[str]:
    """The models of which the registry knows a version that is live."""
    models = watch.api("/models")["models"]
    return {each["name"] for each in models if any(version["registered"] for version in each["versions"])}
