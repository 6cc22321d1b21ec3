"""How often calls may be repeated: a share of them, in the long run, whatever happens."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from client.test_balancer import Clock
from sardonyx.client.budget import KEPT_S, RESERVE, TOKENS_A_CALL, TOKENS_A_SECOND, RetryBudget

#: A shared processor may pause any example.
untimed = settings(deadline=None)

#: More than any of these budgets grants.
MANY = 10_000


def _spent(budget: RetryBudget, wishes: int = MANY) -> int:
    return sum(budget.spend() for _ in range(wishes))


def _earn(budget: RetryBudget, calls: int) -> None:
    for _ in range(calls):
        budget.earn()


def test_a_new_client_has_a_reserve_and_no_more() -> None:
    """RESERVE repetitions are granted, and no other before time passes or calls are made."""
    assert _spent(RetryBudget(Clock())) == RESERVE


def test_calls_earn_repetitions() -> None:
    """Of five calls one may be repeated, beside the reserve."""
    budget = RetryBudget(Clock())
    _spent(budget)
    _earn(budget, 16)
    assert _spent(budget) == int(16 * TOKENS_A_CALL)


def test_time_earns_repetitions_up_to_the_reserve() -> None:
    """A second of rest is worth one repetition, and a day no more than the reserve."""
    clock = Clock()
    budget = RetryBudget(clock)
    _spent(budget)
    clock.now += 3 / TOKENS_A_SECOND
    assert _spent(budget) == 3
    clock.now += 86_400
    assert _spent(budget) == RESERVE


def test_a_busy_client_has_saved_for_what_is_in_flight() -> None:
    """Who makes 2,000 calls a second may repeat a few hundred at once, as when one of two servers dies."""
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(2000):
        budget.earn()
        clock.now += 1 / 2000
    assert _spent(budget) > 300


def test_what_calls_earned_fades() -> None:
    """After a quiet hour a client that was busy has its reserve alone; in the long run no more than KEPT_S of calls."""
    clock = Clock()
    budget = RetryBudget(clock)
    for _ in range(60 * 100):
        budget.earn()
        clock.now += 0.01
    saved = _spent(budget)
    assert saved <= RESERVE + 100 * KEPT_S * TOKENS_A_CALL + 1
    _earn(budget, 1000)
    clock.now += 3600
    assert _spent(budget) == RESERVE


@untimed
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
    assert repeated <= RESERVE + TOKENS_A_CALL * calls + TOKENS_A_SECOND * passed_s + 1e-6
