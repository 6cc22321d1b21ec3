"""How waiting calls become requests: none is lost, none is cut, and nobody waits where there is room."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.client.coalescing import CALL_ROWS_MAX, FLIGHTS, SPREAD_ROWS, loads
from sardonyx.client.request import ROWS_MAX

#: A shared processor may pause any example.
untimed = settings(deadline=None)

CALLS = st.lists(st.integers(1, CALL_ROWS_MAX), max_size=300)
FREE = st.integers(-3, 4)


def _taken(rows: list[int], counts: list[int]) -> list[list[int]]:
    """The rows of each request's calls."""
    starts = [sum(counts[:index]) for index in range(len(counts))]
    return [rows[start : start + count] for start, count in zip(starts, counts, strict=True)]


@untimed
@given(CALLS, FREE)
def test_requests_take_calls_in_their_order_within_bounds(rows: list[int], free: int) -> None:
    """Each request takes one call at least and ROWS_MAX rows at most; there are no more requests than may be sent."""
    counts = loads(rows, free)
    assert len(counts) <= max(free, 0)
    assert sum(counts) <= len(rows)
    for taken in _taken(rows, counts):
        assert taken
        assert sum(taken) <= ROWS_MAX


@untimed
@given(CALLS, FREE)
def test_a_call_waits_only_for_room(rows: list[int], free: int) -> None:
    """A call stays behind only where no request may be sent, or the last is too full to take it."""
    counts = loads(rows, free)
    if sum(counts) < len(rows) and free > 0:
        taken = _taken(rows, counts)
        assert len(counts) == free
        assert sum(taken[-1]) + rows[sum(counts)] > ROWS_MAX


@untimed
@given(CALLS, FREE)
def test_all_go_in_the_end(rows: list[int], free: int) -> None:
    """Sending again and again what stayed behind sends each call once."""
    sent: list[int] = []
    while len(sent) < len(rows):
        left = rows[len(sent) :]
        sent += left[: sum(loads(left, max(free, 1)))]
    assert sent == rows


@pytest.mark.parametrize(
    ("rows", "free", "counts"),
    [
        ([], FLIGHTS, []),
        ([1], FLIGHTS, [1]),
        ([1], 0, []),
        ([1] * 100, -1, []),
        # Too few to be worth two requests.
        ([1] * (2 * SPREAD_ROWS - 1), 2, [2 * SPREAD_ROWS - 1]),
        ([1] * (2 * SPREAD_ROWS), 2, [SPREAD_ROWS, SPREAD_ROWS]),
        # What does not fit into equal shares goes with the last.
        ([10, 20, 10], 2, [1, 2]),
        ([CALL_ROWS_MAX] * 20, 2, [8, 8]),
    ],
)
def test_shares(rows: list[int], free: int, counts: list[int]) -> None:
    """Many small calls are spread over what is free; few go together."""
    assert loads(rows, free) == counts
