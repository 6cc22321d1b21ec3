"""Weights: what is computed from a sample is what the whole would give, but for chance, and says how sure it is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from monitor.stored import MODEL, Request, batch_of, opened, practice_of, version_of
from sardonyx_monitor.statistics import intervals
from sardonyx_monitor.store.rows import Batch
from sardonyx_monitor.views.traffic import read_total
from sardonyx_monitor.views.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from monitor.stored import Store
    from sardonyx_monitor.views.shapes import ModelView, Traffic

#: A shared processor may pause any example.
untimed = settings(deadline=None)
CLASSES = ("no", "yes")
SLOW_NS = 20_000_000

weights = st.lists(st.floats(1, 1000), min_size=1, max_size=40)


# The effective size.


@untimed
@given(weights)
def test_effective_size_is_at_most_what_was_seen(found: list[float]) -> None:
    """A sample counts as no more than it has, as at least one, and as exactly that where its weights are equal."""
    array = np.array(found)
    size = intervals.effective_size(array.sum(), (array**2).sum())
    assert 1 - 1e-9 <= size <= len(found) * (1 + 1e-9)
    assert intervals.effective_size(len(found), len(found)) == len(found)


def test_effective_size_known_value() -> None:
    """Half of a sample at weight 1 and half at 3 counts as 80 % of it: (1 + 3)² / (2 (1 + 9))."""
    assert intervals.effective_size(50 * 1 + 50 * 3, 50 * 1 + 50 * 9) == pytest.approx(80)
    assert intervals.effective_size(0, 0) == 0


@untimed
@given(st.integers(0, 500), st.integers(1, 500), st.floats(1, 100))
def test_equal_weights_change_no_interval(successes: int, failures: int, weight: float) -> None:
    """Equal weights, whatever they are, leave the interval as it is; unequal ones widen it."""
    trials = successes + failures
    plain = intervals.of_share(successes, trials)
    assert intervals.of_share(successes * weight, trials * weight, trials) == pytest.approx(plain)
    wider = intervals.of_share(successes, trials, trials / 2)
    assert wider.high - wider.low > plain.high - plain.low


# Figures through the store.


def _weighted(random: np.random.Generator, rows: int, size: int) -> tuple[list[Request], dict[str, Any]]:
    classes = [f"class {number}" for number in range(size)]
    vectors = random.dirichlet(np.full(size, 0.7), size=rows)
    truth = np.array([random.choice(size, p=0.3 / size + 0.7 * vector) for vector in vectors])
    weight = random.choice([1.0, 2.5, 40.0], size=rows)
    known = random.random(rows) < 0.8
    requests = [
        Request(
            number=number,
            label=classes[vectors[number].argmax()],
            truth=classes[truth[number]] if known[number] else None,
            vector=vectors[number].tolist(),
            weight=weight[number],
        )
        for number in range(rows)
    ]
    return requests, {"classes": classes, "vectors": vectors, "truth": truth, "weight": weight, "known": known}


@pytest.mark.parametrize("size", [2, 3])
def test_weighted_figures_are_scikit_learns(store: Store, size: int) -> None:
    """Every figure of rows with weights equals scikit-learn's with the same sample_weight."""
    requests, data = _weighted(np.random.default_rng(size), 400, size)
    store.write(batch_of(requests))
    quality = store.quality(version_of(data["classes"]))
    weight, known = data["weight"], data["known"]
    assert quality.answered == pytest.approx(weight.sum())
    assert quality.labelled == pytest.approx(weight[known].sum())
    assert quality.coverage == pytest.approx(weight[known].sum() / weight.sum())
    weight, truth, vectors = weight[known], data["truth"][known], data["vectors"][known]
    chosen = vectors.argmax(axis=1)
    average = "binary" if size == 2 else "macro"
    errors = ((vectors - np.eye(size)[truth]) ** 2).sum(axis=1) / (2 if size == 2 else 1)
    expected = {
        "accuracy": metrics.accuracy_score(truth, chosen, sample_weight=weight),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, chosen, sample_weight=weight),
        "f1": metrics.f1_score(truth, chosen, average=average, sample_weight=weight),
        "log_loss": metrics.log_loss(truth, vectors, labels=range(size), sample_weight=weight),
        "brier": np.average(errors, weights=weight),
    }
    found = practice_of(quality)
    assert {name: figure.value for name, figure in found.items()} == pytest.approx(expected, rel=1e-9)
    size_of_sample = weight.sum() ** 2 / (weight**2).sum()
    for figure in found.values():
        assert figure.rows == known.sum()
        assert figure.effective_rows == pytest.approx(size_of_sample)
    losses = -np.log(vectors[np.arange(len(truth)), truth])
    variance = np.average((losses - expected["log_loss"]) ** 2, weights=weight) * size_of_sample / (size_of_sample - 1)
    half = intervals.Z * math.sqrt(variance / size_of_sample)
    assert found["log_loss"].high - found["log_loss"].value == pytest.approx(half, rel=1e-6)


def test_whole_weights_are_repetitions(store: Store, tmp_path: Path) -> None:
    """Requests with whole weights have the counts, shares and quantiles of the same requests, each so often."""
    random = np.random.default_rng(3)
    codes = random.choice(["OK", "INVALID_ARGUMENT", "UNAVAILABLE"], p=[0.8, 0.1, 0.1], size=60)
    requests = [
        Request(number, code=str(code), duration_ns=int(random.lognormal(14, 1)), weight=float(random.integers(1, 9)))
        for number, code in enumerate(codes)
    ]
    store.write(batch_of(requests))
    repeated = [
        replace(each, number=100 * each.number + copy, weight=1.0)
        for each in requests
        for copy in range(int(each.weight))
    ]
    with opened(tmp_path / "repeated") as other:
        other.write(batch_of(repeated))
        plain, weighted = other.model(version_of(CLASSES)).total, store.model(version_of(CLASSES)).total
    assert (weighted.recorded, plain.recorded) == (60, len(repeated))
    for name in ("requests", "rows", "failed", "refused"):
        assert getattr(weighted, name) == getattr(plain, name), name
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert getattr(weighted, name) == pytest.approx(getattr(plain, name)), name


def test_weights_of_the_first_step_count(store: Store) -> None:
    """A window begins on a whole step: requests with weights that lie in it before the first one count with them."""
    now = Window.parse("30d")
    step_at = now.since_ns - now.since_ns % now.step_ns
    window = replace(now, since_ns=step_at + 1000, until_ns=step_at + 1000 + now.until_ns - now.since_ns)
    before = Request(0, duration_ns=3_000_000, weight=9.0)
    within = Request(2000, duration_ns=1_000_000)
    store.write(Batch.merged(each.rows(step_at) for each in (before, within)))
    narrowed = window.narrowed(store.query, MODEL)
    total = read_total(store.query, narrowed, MODEL)
    assert (total.recorded, total.requests, narrowed.sampled) == (2, 10, True)
    assert total.p50_ms == 3.0


def test_quantiles_lie_between_their_neighbours(store: Store) -> None:
    """Weights that are no whole numbers give quantiles between the values at the two sides."""
    store.write(
        batch_of([Request(0, duration_ns=1_000_000, weight=1.5), Request(1, duration_ns=3_000_000, weight=1.5)])
    )
    total = store.model(version_of(CLASSES)).total
    # Of 3 requests the median is the second: half a place behind the end of the first value's, half before the other's.
    assert total.p50_ms == pytest.approx(2.0)
    assert total.p99_ms == pytest.approx(3.0)


# What the server keeps: every error and every slow request, one in p of the others.


def _population(random: np.random.Generator, size: int) -> list[Request]:
    """Requests of which the slow ones are wrong more often: what a sample without weights gets wrong."""
    durations = random.lognormal(14.5, 1.0, size=size).astype(np.int64)
    right = random.random(size) < np.where(durations > SLOW_NS, 0.6, 0.93)
    failed = random.random(size) < 0.03
    truth = random.choice(CLASSES, size=size)
    other = {"no": "yes", "yes": "no"}
    return [
        Request(
            number=number,
            label=str(truth[number]) if right[number] else other[truth[number]],
            truth=None if failed[number] else str(truth[number]),
            code="UNAVAILABLE" if failed[number] else "OK",
            duration_ns=int(durations[number]),
        )
        for number in range(size)
    ]


def _sampled(random: np.random.Generator, requests: Sequence[Request], probability: float) -> list[Request]:
    kept = []
    for request in requests:
        if request.code != "OK" or request.duration_ns > SLOW_NS:
            kept.append(request)
        elif random.random() < probability:
            kept.append(replace(request, weight=1 / probability))
    return kept


def _shown(folder: Path, requests: Sequence[Request]) -> ModelView:
    with opened(folder) as store:
        store.write(batch_of(requests))
        return store.model(version_of(CLASSES))


def test_a_sample_says_what_the_whole_says(tmp_path: Path) -> None:
    """From one in ten, every figure is near that of the whole; without the weights it would be far from it."""
    random = np.random.default_rng(11)
    whole = _population(random, 12_000)
    sample = _sampled(random, whole, 0.1)
    assert len(sample) < len(whole) / 4
    truth, found = _shown(tmp_path / "whole", whole), _shown(tmp_path / "sample", sample)
    naive = _shown(tmp_path / "naive", [replace(each, weight=1.0) for each in sample])
    _assert_near(found.total, truth.total)
    (known,), (version,), (wrong,) = (each.versions for each in (truth, found, naive))
    accuracy, exact = (practice_of(each.quality)["accuracy"] for each in (version, known))
    assert accuracy.value == pytest.approx(exact.value, abs=0.02)
    assert accuracy.low <= exact.value <= accuracy.high
    assert accuracy.rows == len([each for each in sample if each.code == "OK"])
    assert accuracy.effective_rows < accuracy.rows
    assert version.quality.coverage == pytest.approx(known.quality.coverage)
    assert practice_of(wrong.quality)["accuracy"].high < exact.value
    assert naive.total.failed / naive.total.requests > 2 * truth.total.failed / truth.total.requests
    assert naive.total.p99_ms is not None
    assert truth.total.p99_ms is not None
    assert naive.total.p99_ms > 1.5 * truth.total.p99_ms


def _assert_near(found: Traffic, truth: Traffic) -> None:
    assert found.requests == pytest.approx(truth.requests, rel=0.05)
    assert found.failed == truth.failed
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=0.1), name


def test_intervals_of_samples_cover_the_whole() -> None:
    """Of many samples, about 95 % have an interval that holds the accuracy of the whole, and none leans to a side."""
    random = np.random.default_rng(13)
    slow, right = random.random(4000) < 0.15, np.empty(4000, dtype=bool)
    right[:] = random.random(4000) < np.where(slow, 0.6, 0.93)
    covered, found = [], []
    for _ in range(1500):
        kept = slow | (random.random(4000) < 0.1)
        weight = np.where(slow, 1.0, 10.0)[kept]
        total, hits = weight.sum(), weight[right[kept]].sum()
        interval = intervals.of_share(hits, total, intervals.effective_size(total, (weight**2).sum()))
        covered.append(interval.low <= right.mean() <= interval.high)
        found.append(hits / total)
    assert np.mean(covered) > 0.93
    assert np.mean(found) == pytest.approx(right.mean(), abs=0.002)
