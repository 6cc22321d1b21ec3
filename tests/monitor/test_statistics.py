"""Figures and their intervals: known values, what must always hold, and scikit-learn's and numpy's own answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from monitor.stored import (
    MODEL,
    classified,
    outcome_row,
    practice_of,
    prediction_row,
    recent_ns,
    request_row,
    span_row,
    version_of,
)
from sardonyx.registry.v1.manifest_pb2 import Metric
from sardonyx_monitor.statistics import intervals
from sardonyx_monitor.statistics.promise import ROWS_MIN, Verdict, contest, judge
from sardonyx_monitor.statistics.quality import Evidence, Figure, Sums, of_classes, of_values
from sardonyx_monitor.store.rows import Batch
from sardonyx_monitor.views.quality import Answers, read_quality, read_quality_series
from sardonyx_monitor.views.window import Window

if TYPE_CHECKING:
    from monitor.stored import Store

#: A shared processor may pause any example.
untimed = settings(deadline=None)

shares = st.integers(1, 10**6).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


# Intervals.


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # R. G. Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_known_values(successes: int, trials: int, low: float, high: float) -> None:
    """Wilson's interval has the values that are published of it."""
    assert intervals.of_share(successes, trials) == pytest.approx((low, high), abs=5e-5)


@untimed
@given(shares)
def test_wilson_contains_the_share(share: tuple[int, int]) -> None:
    """The interval lies within 0 and 1 and contains the share."""
    interval = intervals.of_share(*share)
    assert 0.0 <= interval.low <= share[0] / share[1] <= interval.high <= 1.0
    assert interval.low < interval.high


@untimed
@given(shares, st.integers(2, 50))
def test_wilson_shrinks(share: tuple[int, int], times: int) -> None:
    """The same share over more trials has a narrower interval."""
    few, many = intervals.of_share(*share), intervals.of_share(share[0] * times, share[1] * times)
    assert many.high - many.low < few.high - few.low


@untimed
@given(shares)
def test_wilson_is_symmetric(share: tuple[int, int]) -> None:
    """Failures have the mirrored interval of successes."""
    successes, trials = share
    here, mirrored = intervals.of_share(successes, trials), intervals.of_share(trials - successes, trials)
    assert here == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


@untimed
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_mean_interval(values: list[float]) -> None:
    """The interval of a mean is centred on it and as wide as its standard error says."""
    array = np.array(values)
    interval = intervals.of_mean(array.sum(), (array**2).sum(), len(array))
    half = intervals.Z * array.std(ddof=1) / math.sqrt(len(array))
    scale = 1e-6 * max(1.0, np.abs(array).max())
    assert interval.low == pytest.approx(array.mean() - half, abs=scale)
    assert interval.high == pytest.approx(array.mean() + half, abs=scale)


def test_nothing_seen_says_nothing() -> None:
    """Without trials, or with one value, no interval is claimed; without truths there is no figure."""
    assert all(math.isnan(end) for end in intervals.of_share(0, 0))
    assert all(math.isnan(end) for end in intervals.of_mean(3.0, 9.0, 1))


@pytest.mark.parametrize("scale", [1e160, 1e200])
def test_what_doubles_do_not_hold_is_no_certainty(scale: float) -> None:
    """Where the squares of values are beyond doubles nothing is said of the mean: not that it is known exactly."""
    values = [scale, 0.5 * scale, -scale]
    assert all(math.isnan(end) for end in intervals.of_mean(sum(values), math.inf, len(values)))
    assert of_classes(Sums()) == of_values(Sums()) == []
    assert math.isnan(Sums().coverage)


def test_share_interval_covers_what_it_says() -> None:
    """Of many samples, about 95 % have an interval that holds the true share, near the edge too."""
    random = np.random.default_rng(7)
    for truth, trials in ((0.5, 40), (0.9, 60), (0.97, 200)):
        drawn = random.binomial(trials, truth, size=4000)
        found = [intervals.of_share(int(successes), trials) for successes in drawn]
        covered = np.mean([interval.low <= truth <= interval.high for interval in found])
        assert 0.92 < covered < 0.985


@untimed
@given(st.lists(st.floats(0, 1e3), min_size=1, max_size=20))
def test_no_figure_has_an_impossible_interval(errors: list[float]) -> None:
    """What cannot be negative has no interval below zero, and every interval holds its value."""
    array = np.array(errors)
    total, squares, quartics = array.sum(), (array**2).sum(), (array**4).sum()
    all_of = Evidence(len(errors), len(errors), len(errors))
    classes = Sums(
        readable=all_of, scored=all_of, log_loss=total, log_loss_squares=squares, brier=total, brier_squares=squares
    )
    values = Sums(measured=all_of, absolute=total, squares=squares, quartics=quartics)
    for figure in of_classes(classes) + of_values(values):
        if not math.isnan(figure.low):
            assert 0 <= figure.low <= figure.value <= figure.high, figure.name


# Promises.


def _metric(low: float, high: float, *, higher_is_better: bool) -> Metric:
    return Metric(name="m", value=(low + high) / 2, low=low, high=high, higher_is_better=higher_is_better)


def _figure(low: float, high: float, rows: int = 100) -> Figure:
    return Figure("m", (low + high) / 2, low, high, rows, rows)


@pytest.mark.parametrize(
    ("practice", "promised", "higher", "lower"),
    [
        (_figure(0.85, 0.95), (0.80, 0.90), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.80, 0.90), (0.85, 0.95), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.82, 0.83), (0.80, 0.90), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.70, 0.95), (0.80, 0.90), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.90, 0.95), (0.80, 0.90), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.70, 0.80), (0.80, 0.90), Verdict.KEPT, Verdict.KEPT),
        (_figure(0.70, 0.79), (0.80, 0.90), Verdict.WORSE, Verdict.BETTER),
        (_figure(0.91, 0.95), (0.80, 0.90), Verdict.BETTER, Verdict.WORSE),
        (_figure(0.70, 0.79, ROWS_MIN), (0.80, 0.90), Verdict.WORSE, Verdict.BETTER),
        (_figure(0.70, 0.79, ROWS_MIN - 1), (0.80, 0.90), Verdict.OPEN, Verdict.OPEN),
        (_figure(math.nan, math.nan), (0.80, 0.90), Verdict.OPEN, Verdict.OPEN),
        (None, (0.80, 0.90), Verdict.OPEN, Verdict.OPEN),
    ],
)
def test_verdict(practice: Figure | None, promised: tuple[float, float], higher: Verdict, lower: Verdict) -> None:
    """Only intervals that do not meet are a difference, and which way is better is the metric's to say."""
    assert judge(practice, _metric(*promised, higher_is_better=True)) is higher
    assert judge(practice, _metric(*promised, higher_is_better=False)) is lower


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "f1", "log_loss", "brier", "mae", "rmse"])
def test_contest_of_two_versions(name: str) -> None:
    """Of two versions one is better only where their intervals do not meet, and both have enough truths."""
    low, high = Figure(name, 0.2, 0.1, 0.3, 100, 100.0), Figure(name, 0.5, 0.4, 0.6, 100, 100.0)
    less_is_better = name in ("log_loss", "brier", "mae", "rmse")
    assert contest(low, high) is (Verdict.BETTER if less_is_better else Verdict.WORSE)
    assert contest(high, low) is (Verdict.WORSE if less_is_better else Verdict.BETTER)
    assert contest(low, Figure(name, 0.3, 0.3, 0.4, 100, 100.0)) is Verdict.KEPT
    for unknown in (None, Figure(name, 0.5, 0.4, 0.6, 100, ROWS_MIN - 0.1), Figure(name, 0.5, math.nan, 0.6, 50, 50.0)):
        assert contest(low, unknown) is contest(unknown, low) is Verdict.OPEN


def test_no_promise_is_open() -> None:
    """Where nothing was promised, nothing is judged."""
    assert judge(_figure(0.1, 0.2), None) is Verdict.OPEN


# Figures through the store.


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [2, 3, 5])
def test_figures_of_classes_are_scikit_learns(store: Store, seed: int, size: int) -> None:
    """Accuracy, balanced accuracy, F1, log loss and Brier score of stored rows equal scikit-learn's."""
    random = np.random.default_rng([seed, size])
    classes = [f"class {number}" for number in range(size)]
    rows = 700
    vectors = random.dirichlet(np.full(size, 0.7), size=rows)
    chosen = vectors.argmax(axis=1)
    truth = np.array([random.choice(size, p=0.3 / size + 0.7 * vector) for vector in vectors])
    known = random.random(rows) < 0.8
    told = [classes[each] if there else None for each, there in zip(truth, known, strict=True)]
    store.write(classified([classes[each] for each in chosen], vectors, told))
    quality = store.quality(version_of(classes))
    assert (quality.answered, quality.labelled, quality.unreadable) == (rows, known.sum(), 0)
    assert quality.coverage == known.mean()
    assert quality.delay_s == pytest.approx(5.0)
    truth, chosen, vectors = truth[known], chosen[known], vectors[known]
    found = practice_of(quality)
    if size == 2:
        f1, brier = metrics.f1_score(truth, chosen), metrics.brier_score_loss(truth, vectors[:, 1])
    else:
        f1 = metrics.f1_score(truth, chosen, average="macro")
        brier = np.mean(((vectors - np.eye(size)[truth]) ** 2).sum(axis=1))
    expected = {
        "accuracy": metrics.accuracy_score(truth, chosen),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, chosen),
        "f1": f1,
        "log_loss": metrics.log_loss(truth, vectors, labels=range(size)),
        "brier": brier,
    }
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, rel=1e-9)
    assert {figure.rows for figure in found.values()} == {known.sum()}
    for name in ("accuracy", "log_loss", "brier"):
        assert found[name].low < found[name].value < found[name].high
    losses = -np.log(vectors[np.arange(len(truth)), truth])
    half = intervals.Z * losses.std(ddof=1) / math.sqrt(len(losses))
    assert found["log_loss"].high - found["log_loss"].value == pytest.approx(half, rel=1e-6)


def test_certain_and_wrong(store: Store) -> None:
    """A probability of zero for what came true costs what scikit-learn says, not infinity."""
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    truths = ["no", "yes", "no"]
    store.write(classified(["no", "yes", "yes"], vectors, ["yes", *truths[1:]]))
    found = practice_of(store.quality(version_of(["no", "yes"])))
    assert found["log_loss"].value == pytest.approx(metrics.log_loss([1, 1, 0], vectors, labels=[0, 1]))
    assert found["brier"].value == pytest.approx(metrics.brier_score_loss([1, 1, 0], vectors[:, 1]))


def test_probabilities_that_are_no_numbers(store: Store) -> None:
    """An answer whose probabilities are not all numbers is left out of what is computed from them, not the others."""
    classes = ["no", "perhaps", "yes"]
    vectors = np.array([[0.8, 0.1, 0.1], [0.5, math.nan, 0.5], [0.2, 0.2, 0.6]])
    store.write(classified(["no", "no", "yes"], vectors, ["no", "no", "yes"]))
    found = practice_of(store.quality(version_of(classes)))
    assert (found["accuracy"].value, found["accuracy"].rows) == (1.0, 3)
    assert (found["log_loss"].rows, found["brier"].rows) == (2, 2)
    assert found["brier"].value == pytest.approx((0.06 + 0.24) / 2)


def test_class_that_never_came_true(store: Store) -> None:
    """A class that is never true is left out of balanced accuracy, as scikit-learn does, and F1 of it is 0."""
    vectors = np.full((4, 2), 0.5)
    store.write(classified(["no", "no", "no", "yes"], vectors, ["no"] * 4))
    found = practice_of(store.quality(version_of(["no", "yes"])))
    assert found["balanced_accuracy"].value == 0.75
    assert found["f1"].value == 0.0


def test_truth_that_is_no_class(store: Store) -> None:
    """A truth that is no class of the model is reported as unreadable, and held against no answer."""
    store.write(classified(["no", "yes"], np.array([[0.9, 0.1], [0.2, 0.8]]), ["no", "perhaps"]))
    quality = store.quality(version_of(["no", "yes"]))
    assert (quality.labelled, quality.unreadable) == (2, 1)
    found = practice_of(quality)
    assert (found["accuracy"].value, found["accuracy"].rows) == (1.0, 1)
    assert found["log_loss"].rows == 1


@pytest.mark.parametrize("seed", range(3))
def test_figures_of_values_are_scikit_learns(store: Store, seed: int) -> None:
    """MAE and RMSE of stored rows equal scikit-learn's, over the rows whose truth is a number."""
    random = np.random.default_rng(seed)
    rows = 500
    truth = random.normal(100, 20, size=rows)
    answered = truth + random.standard_t(4, size=rows)
    known = random.random(rows) < 0.7
    span = span_row(recent_ns(), "1")
    told = [outcome_row(row, None, truth[row], span.start_ns) for row in range(rows) if known[row]]
    missing = int(np.flatnonzero(~known)[0])
    store.write(
        Batch(
            spans=[span],
            requests=[request_row(span, rows)],
            predictions=[prediction_row(span, row, None, answered[row], None) for row in range(rows)],
            outcomes=[*told, outcome_row(missing, "late", None, span.start_ns)],
        )
    )
    quality = store.quality(version_of())
    assert (quality.labelled, quality.unreadable) == (known.sum() + 1, 1)
    truth, answered = truth[known], answered[known]
    found = practice_of(quality)
    expected = {
        "mae": metrics.mean_absolute_error(truth, answered),
        "rmse": metrics.root_mean_squared_error(truth, answered),
    }
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, rel=1e-9)
    for figure in found.values():
        assert figure.low < figure.value < figure.high
        assert figure.rows == known.sum()


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_quantiles_are_numpys(store: Store, rows: int) -> None:
    """p50, p95 and p99 of the answered requests equal numpy's; others count and do not slow them."""
    random = np.random.default_rng(rows)
    durations = random.lognormal(15, 1, size=rows).astype(np.int64)
    spans = [span_row(recent_ns() + number, str(number), int(each)) for number, each in enumerate(durations)]
    slow = [span_row(recent_ns(), f"{code}", 10**12) for code in ("INVALID_ARGUMENT", "INTERNAL", "UNAVAILABLE")]
    requests = [request_row(span, 3) for span in spans] + [request_row(span, 0, span.span_id) for span in slow]
    store.write(Batch(spans=spans + slow, requests=requests))
    model = store.model(version_of(["no", "yes"]))
    (version,) = model.versions
    expected = np.percentile(durations, [50, 95, 99]) / 1e6
    for traffic in (version.traffic, model.total):
        assert (traffic.p50_ms, traffic.p95_ms, traffic.p99_ms) == pytest.approx(tuple(expected))
        assert (traffic.requests, traffic.rows) == (rows + 3, 3 * rows)
        assert (traffic.failed, traffic.refused) == (2, 1)


@pytest.mark.parametrize(("rows", "verdict"), [(ROWS_MIN - 1, Verdict.OPEN), (400, Verdict.WORSE)])
def test_promise_beside_practice(store: Store, rows: int, verdict: Verdict) -> None:
    """What was promised stands beside what came true, the primary metric first, judged once enough is known."""
    promised = [
        Metric(name="roc_auc", value=0.9, low=0.88, high=0.92, higher_is_better=True),
        Metric(name="accuracy", value=0.9, low=0.88, high=0.92, higher_is_better=True),
    ]
    vectors = np.full((rows, 2), 0.5)
    store.write(classified(["no"] * rows, vectors, ["no" if row % 2 else "yes" for row in range(rows)]))
    comparisons = store.quality(version_of(["no", "yes"], promised[::-1])).comparisons
    assert comparisons[0].name == "accuracy"
    assert comparisons[0].verdict is verdict
    assert comparisons[0].promise is not None
    assert comparisons[0].promise.value == 0.9
    (unknown,) = [each for each in comparisons if each.name == "roc_auc"]
    assert (unknown.practice, unknown.verdict) == (None, Verdict.OPEN)
    (unpromised,) = [each for each in comparisons if each.name == "f1"]
    assert (unpromised.promise, unpromised.verdict) == (None, Verdict.OPEN)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "log_loss"])
def test_any_primary_metric_is_drawn(store: Store, name: str) -> None:
    """Whatever metric the author has looked at first, its steps have the values that practice knows."""
    random = np.random.default_rng(5)
    classes, rows = ["no", "yes"], 400
    vectors = random.dirichlet([1, 1], size=rows)
    told = [classes[int(random.random() < each[1])] for each in vectors]
    store.write(classified([classes[each.argmax()] for each in vectors], vectors, told))
    promised = Metric(name=name, value=0.9, low=0.8, high=1.0, higher_is_better=True)
    version, window = version_of(classes, [promised]), Window.parse("1h")
    answers = Answers(MODEL, 1, version, window)
    quality = read_quality(store.query, answers)
    series = read_quality_series(store.query, answers, quality)
    assert series.metric == name
    # All of one request, so of one step.
    assert series.value == [practice_of(quality)[name].value]
