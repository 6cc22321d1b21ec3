"""How often calls may be repeated: a share of them, in the long run, whatever happens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from client.test_balancer import Clock
from sardonyx.client.budget import TOKENS_A_CALL, TOKENS_A_SECOND, TOKENS_MAX, RetryBudget


def _spent(budget: RetryBudget, wishes: int) -> int:
    return sum(budget.spend() for _ in range(wishes))


def test_a_new_client_has_a_reserve_and_no_more() -> None:
    """The first TOKENS_MAX repetitions are granted, and no other before time passes or calls are made."""
    assert _spent(RetryBudget(Clock()), 1000) == TOKENS_MAX


def test_calls_earn_repetitions() -> None:
    """Of five calls one may be repeated."""
    budget = RetryBudget(Clock())
    _spent(budget, 1000)
    for _ in range(round(3 / TOKENS_A_CALL)):
        budget.earn()
    # Fifteen times 0.2 is a little less than 3, or more.
    assert _spent(budget, 1000) in (2, 3)


def test_time_earns_repetitions_up_to_the_reserve() -> None:
    """A second of rest is worth one repetition, and a day no more than the reserve."""
    clock = Clock()
    budget = RetryBudget(clock)
    _spent(budget, 1000)
    clock.now += 3 / TOKENS_A_SECOND
    assert _spent(budget, 1000) == 3
    clock.now += 86_400
    assert _spent(budget, 1000) == TOKENS_MAX


@given(st.lists(st.tuples(st.sampled_from(["earn", "spend"]), st.floats(0, 2)), max_size=200))
def test_repetitions_never_exceed_what_was_earned(history: list[tuple[str, float]]) -> None:
    """Over any history: repetitions ≤ the reserve + a share of the calls + one a second."""
    clock = Clock()
    budget = RetryBudget(clock)
    calls = repeated = 0
    for act, wait_s in history:
        clock.now += wait_s
        if act == "earn":
            budget.earn()
            calls += 1
        else:
            repeated += budget.spend()
    passed_s = clock.now - Clock().now
    assert repeated <= TOKENS_MAX + TOKENS_A_CALL * calls + TOKENS_A_SECOND * passed_s + 1e-6
