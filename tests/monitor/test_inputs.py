"""Captured input rows: nothing of them is lost, what does not fit together is malformed, and /api has them all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.scene import fresh_id, prediction_of
from sardonyx import telemetry

if TYPE_CHECKING:
    from monitor.scene import Json, Value, Watch

#: The monitor is one for the whole session, as it would be in practice.
shared = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _captured(rows: list[int], values: dict[str, list[Any]], probability: float | None = 0.25) -> dict[str, Value]:
    """The attributes of captured rows."""
    more: dict[str, Value] = {f"{telemetry.INPUT_VALUE_PREFIX}{name}": each for name, each in values.items()}
    if probability is not None:
        more[telemetry.INPUT_PROBABILITY] = probability
    return {telemetry.INPUT_ROWS: rows, **more}


def _inputs(watch: Watch, model: str, **query: str) -> list[Json]:
    return list(watch.api(f"/models/{model}/inputs", **query)["inputs"])


def test_captured_rows_are_told(watch: Watch) -> None:
    """Each captured row is told with its values by input, its probability and its request's weight, by both doors."""
    model, prediction_id = fresh_id("model"), fresh_id()
    values: dict[str, list[Any]] = {
        "distance": [1.5, 2.5],
        "carrier": ["AA", "Δ"],
        "delayed": [True, False],
        "stops": [0, 2**40],
        "features": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    }
    more = {**_captured([0, 7], values), telemetry.WEIGHT: 3.0, telemetry.ROUTE: "canary"}
    span = prediction_of(prediction_id, ["late"] * 8, model=model, version=2, more=more)
    watch.export(span)
    expected = [
        {"distance": 1.5, "carrier": "AA", "delayed": True, "stops": 0, "features": [1, 2, 3]},
        {"distance": 2.5, "carrier": "Δ", "delayed": False, "stops": 2**40, "features": [4, 5, 6]},
    ]
    found = _inputs(watch, model)
    assert [(each["row"], each["values"]) for each in found] == list(zip([0, 7], expected, strict=True))
    for each in found:
        assert (each["inclusion_probability"], each["weight"], each["version"]) == (0.25, 3, 2)
        assert (each["prediction_id"], each["route"]) == (prediction_id, "canary")
        assert (each["trace_id"], each["span_id"]) == (span.trace_id.hex(), span.span_id.hex())
    (shown,) = watch.trace(span.trace_id)["spans"]
    assert [each["values"] for each in shown["request"]["inputs"]] == expected
    assert not [name for name in shown["attributes"] if name.startswith(telemetry.INPUT_VALUE_PREFIX)]
    assert shown["attributes"][telemetry.INPUT_PROBABILITY] == "0.25"


numbers = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans())
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@shared
@given(st.data(), st.integers(1, 4), st.integers(1, 3))
def test_any_values_come_back(watch: Watch, data: st.DataObject, rows: int, width: int) -> None:
    """Whatever was captured comes back as it was; what is no number is a missing one."""
    model = fresh_id("model")
    flat = data.draw(st.lists(st.one_of(numbers, texts), min_size=rows * width, max_size=rows * width))
    watch.export(
        prediction_of(fresh_id(), ["late"] * rows, model=model, more=_captured(list(range(rows)), {"x": flat}))
    )
    expected = [None if isinstance(each, float) and not abs(each) < float("inf") else each for each in flat]
    split = [expected[row * width : (row + 1) * width] for row in range(rows)]
    found = [each["values"]["x"] for each in _inputs(watch, model)]
    assert found == (split if width > 1 else expected)


@pytest.mark.parametrize(
    "more",
    [
        _captured([0, 1], {"x": [1.0]}),
        _captured([0, 1], {"x": [1.0, 2.0, 3.0]}),
        _captured([0], {"x": [[1.0]]}),
        _captured([0, 0], {"x": [1.0, 2.0]}),
        _captured([-1], {"x": [1.0]}),
        _captured([2**40], {"x": [1.0]}),
        _captured([0], {"x": [1.0]}, probability=0.0),
        _captured([0], {"x": [1.0]}, probability=1.5),
        _captured([0], {"x": [1.0]}, probability=float("nan")),
        {telemetry.INPUT_ROWS: ["0"]},
        {telemetry.INPUT_ROWS: 3},
        {f"{telemetry.INPUT_VALUE_PREFIX}x": [1.0]},
    ],
)
def test_rows_that_do_not_fit_together(watch: Watch, more: dict[str, Value]) -> None:
    """What was captured and does not fit together is counted as malformed and stays for a person to see."""
    model, before = fresh_id("model"), watch.health()["since_start"]["predictions_malformed"]
    span = prediction_of(fresh_id(), ["late"], model=model, more=more)
    watch.export(span)
    assert watch.health()["since_start"]["predictions_malformed"] == before + 1
    assert _inputs(watch, model) == []
    (shown,) = watch.trace(span.trace_id)["spans"]
    assert set(more) <= set(shown["attributes"])


def test_absent_values_are_fine(watch: Watch) -> None:
    """No rows, rows without values and rows without a probability are what they are."""
    model = fresh_id("model")
    watch.export(
        prediction_of(fresh_id(), ["late"], model=model),
        prediction_of(fresh_id(), ["late"], model=model, more={telemetry.INPUT_ROWS: []}),
        prediction_of(fresh_id(), ["late"], model=model, more=_captured([0], {}, probability=None)),
    )
    (found,) = _inputs(watch, model)
    assert (found["values"], found["inclusion_probability"]) == ({}, 1)


def test_a_resend_captures_nothing_twice(watch: Watch) -> None:
    """A span that comes again brings its captured rows once."""
    model = fresh_id("model")
    span = prediction_of(fresh_id(), ["late"], model=model, more=_captured([0], {"x": [1.0]}))
    for _ in range(2):
        watch.export(span, span)
    assert len(_inputs(watch, model)) == 1


def test_newest_rows_of_a_version(watch: Watch) -> None:
    """The rows are the newest of those asked for, by version, window and limit."""
    model = fresh_id("model")
    spans = [
        prediction_of(fresh_id(), ["late"], model=model, version=1 + number % 2, more=_captured([0], {"x": [number]}))
        for number in range(10)
    ]
    for number, span in enumerate(spans):
        span.start_time_unix_nano += number
    watch.export(*spans)
    assert [each["values"]["x"] for each in _inputs(watch, model, limit="3")] == [9, 8, 7]
    assert [each["values"]["x"] for each in _inputs(watch, model, version="1", limit="2")] == [8, 6]
    assert len(_inputs(watch, model, window="all")) == 10
    assert _inputs(watch, "nobody") == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("version=x", "'x' is no version"),
        ("version=0", "'0' is no version"),
        ("limit=0", "Give 1 to 10000"),
        ("limit=10001", "is no limit"),
        ("limit=-1", "is no limit"),
        ("window=2h", "is no window"),
    ],
)
def test_wrong_query(watch: Watch, query: str, words: str) -> None:
    """A query that asks for what there is not is refused with a sentence."""
    answer = watch.web.get(f"/api/models/{os.urandom(4).hex()}/inputs?{query}")
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
