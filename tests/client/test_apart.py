"""Who is sent again after a shared request failed: everybody once or nobody, until those at fault are alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.client.apart import parts_after
from sardonyx.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidInput,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    RuleBroken,
    SardonyxError,
    ServerDraining,
    Unauthenticated,
    Unavailable,
    Violation,
)

#: A shared processor may pause any example.
untimed = settings(deadline=None)

ROWS = st.lists(st.integers(1, 5), min_size=1, max_size=40)
VIOLATIONS = st.lists(
    st.builds(Violation, st.just("inputs[x]"), st.just("no"), st.none() | st.integers(-3, 250)), max_size=6
)
ERRORS = st.builds(InvalidInput, VIOLATIONS) | st.sampled_from([InternalError("1"), SardonyxError("?"), RuleBroken("")])


@untimed
@given(ROWS, ERRORS)
def test_each_call_is_sent_again_once_or_the_error_is_everybodys(rows: list[int], error: SardonyxError) -> None:
    """The parts hold every call once, each part is smaller than the whole, and none is empty."""
    parts = parts_after(error, rows)
    if len(rows) == 1:
        assert parts == []
        return
    assert sorted(index for part in parts for index in part) == list(range(len(rows)))
    assert all(part and len(part) < len(rows) for part in parts)
    assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("later"),
        ServerDraining(),
        Overloaded("full"),
        DeadlineExceeded("late"),
        ModelNotFound("x"),
        Unauthenticated(),
        PermissionDenied(),
    ],
)
def test_what_no_row_is_to_blame_for_is_everybodys(error: SardonyxError) -> None:
    """Errors that each call alone would have met are not tried again call by call."""
    assert parts_after(error, [1, 2, 3]) == []


@pytest.mark.parametrize(
    ("violations", "parts"),
    [
        ([("x", 0)], [[0], [1, 2, 3]]),
        # Call 1 has rows 1 and 2.
        ([("x", 2)], [[1], [0, 2, 3]]),
        ([("x", 1), ("y", 2), ("x", 6)], [[1], [3], [0, 2]]),
        ([("x", None)], [[0, 1], [2, 3]]),
        # One is named, and there are more who are not.
        ([("x", 3), ("request", None)], [[2], [0, 1], [3]]),
        # A row that nobody has names nobody.
        ([("x", 99)], [[0, 1], [2, 3]]),
        ([], [[0, 1], [2, 3]]),
    ],
)
def test_rows_name_calls(violations: list[tuple[str, int | None]], parts: list[list[int]]) -> None:
    """A call whose row is named goes alone, the others together; halves where nobody, or not everybody, is named."""
    error = InvalidInput([Violation(field, "no", row) for field, row in violations])
    assert parts_after(error, [1, 2, 3, 1]) == parts


@untimed
@given(ROWS, st.data(), st.booleans(), st.integers(1, 3))
def test_those_at_fault_end_alone(rows: list[int], data: st.DataObject, names_rows: bool, named_max: int) -> None:
    """Whoever is at fault ends alone with the error, everybody else is answered, each once, in 2 n requests at most.

    The server is the rule itself: it refuses a request with a bad row, names none or the first few of them, and says
    that there are more.
    """
    bad = data.draw(st.sets(st.integers(0, sum(rows) - 1)))
    starts = [sum(rows[:index]) for index in range(len(rows))]
    requests = 0
    answered: list[int] = []
    refused: list[int] = []

    def ask(calls: list[int]) -> None:
        nonlocal requests
        requests += 1
        sent = [row for call in calls for row in range(starts[call], starts[call] + rows[call])]
        wrong = [place for place, row in enumerate(sent) if row in bad]
        if not wrong:
            answered.extend(calls)
            return
        violations = [Violation("x", "no", place) for place in wrong[:named_max]] if names_rows else []
        if len(violations) < len(wrong):
            violations.append(Violation("request", "more"))
        parts = parts_after(InvalidInput(violations), [rows[call] for call in calls])
        if not parts:
            refused.extend(calls)
        for part in parts:
            ask([calls[index] for index in part])

    ask(list(range(len(rows))))
    guilty = [call for call in range(len(rows)) if bad & set(range(starts[call], starts[call] + rows[call]))]
    assert sorted(refused) == guilty
    assert sorted(answered + refused) == list(range(len(rows)))
    assert requests <= 2 * len(rows)
