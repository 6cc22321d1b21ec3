"""Captured rows are few, whatever comes, and stand fairly for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx_server.telemetry.capture import ROW_VALUES_MAX, Capture

#: Arrivals: seconds since the one before, and rows.
arrivals = st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 5000)), min_size=1, max_size=60)


def test_estimates_from_captured_rows_meet_the_truth() -> None:
    """Each captured row standing for 1 / p rows, counts and sums are right on average, under a rate that varies."""
    random = np.random.default_rng(7)
    counts, sums, truth, rows_sent = [], [], 0.0, 0
    sizes = random.choice([1, 1, 1, 20, 300], size=400)
    gaps = random.choice([0.0, 0.001, 0.05], size=400)
    values = [random.normal(3.0, 1.0, size=(size, 1)) + size / 100 for size in sizes]
    truth, rows_sent = float(sum(each.sum() for each in values)), int(sizes.sum())
    for seed in range(300):
        capture, now_s, count, total = Capture(10.0, seed), 1e9, 0.0, 0.0
        for size, gap, array in zip(sizes, gaps, values, strict=True):
            now_s += gap
            captured = capture.take({"x": array}, int(size), now_s)
            if captured is not None:
                count += len(captured.rows) / captured.probability
                total += captured.values["x"].sum() / captured.probability
        counts.append(count)
        sums.append(total)
    # Five standard errors: a fair coin fails this once in a million runs, and the seeds are fixed.
    for estimates, exact in ((counts, rows_sent), (sums, truth)):
        error = np.std(estimates) / np.sqrt(len(estimates))
        assert abs(np.mean(estimates) - exact) < 5 * error
        assert error < 0.05 * exact


@settings(deadline=None)
@given(arrivals, st.floats(0.5, 50))
def test_the_rate_is_bounded_on_average_over_any_time(arrived: list[tuple[float, int]], rate: float) -> None:
    """What is kept on average, from any moment to any other, is at most (seconds + 1) · rate rows."""
    capture, now_s, expected = Capture(rate, 1), 1e9, []
    for gap_s, rows in arrived:
        now_s += gap_s
        capture.take({"x": np.zeros((rows, 1))}, rows, now_s)
        expected.append((now_s, rows * capture.probability))
    for first in range(len(expected)):
        kept = 0.0
        for at_s, rows_kept in expected[first:]:
            kept += rows_kept
            assert kept <= (at_s - expected[first][0] + 1) * rate * (1 + 1e-6)


@settings(deadline=None)
@given(arrivals, st.integers(0, 2**32))
def test_the_probability_knows_nothing_of_the_content(arrived: list[tuple[float, int]], seed: int) -> None:
    """The same arrivals with other values and other coins have the same probabilities, and never 0."""
    one, other, now_s = Capture(10.0, seed), Capture(10.0, seed + 1), 1e9
    for gap_s, rows in arrived:
        now_s += gap_s
        captured = one.take({"x": np.zeros((rows, 1))}, rows, now_s)
        other.take({"x": np.ones((rows, 1))}, rows, now_s)
        assert 0 < one.probability == other.probability <= 1
        assert captured is None or captured.probability == one.probability


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(0, 2**32))
def test_captured_rows_are_the_requests_own(rows: int, seed: int) -> None:
    """Rows come in their order, each once, with their own values, as copies."""
    array = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
    captured = Capture(10.0, seed).take({"x": array}, rows, 1e9)
    if captured is not None:
        assert list(captured.rows) == sorted(set(captured.rows))
        assert captured.values["x"].tolist() == array[list(captured.rows)].tolist()
        assert captured.values["x"].base is not array


def test_seldom_rows_are_all_captured() -> None:
    """A row every second is below the rate, and every one is kept with certainty."""
    capture = Capture(10.0, 1)
    for second in range(20):
        captured = capture.take({"x": np.zeros((1, 3))}, 1, 1e9 + second)
        assert captured is not None
        assert captured.probability == 1.0


@pytest.mark.parametrize(("rate", "width"), [(0.0, 1), (10.0, ROW_VALUES_MAX + 1)])
def test_nothing_is_captured_where_nothing_may_be(rate: float, width: int) -> None:
    """No row is kept at rate 0, and none that is too wide for a span."""
    assert Capture(rate, 1).take({"x": np.zeros((1, width))}, 1, 1e9) is None


def test_a_clock_that_stands_still_or_goes_back_is_no_error() -> None:
    """Times that do not grow add no budget, and do no harm."""
    capture = Capture(10.0, 1)
    for now_s in (1e9, 1e9, 1e9 - 5, 1e9):
        capture.take({"x": np.zeros((5, 1))}, 5, now_s)
        assert 0 < capture.probability <= 1
