"""What is repeated, how often and when; and what never is."""

from __future__ import annotations

import pytest

from client.test_balancer import Clock
from sardonyx.client.budget import RESERVE, RetryBudget
from sardonyx.client.retry import ATTEMPTS, BACKOFF_S, BACKOFF_S_MAX, Deadline, Retry
from sardonyx.client.unreached import Unreachable
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
    VersionNotReady,
)

AGAIN: list[SardonyxError] = [
    Unavailable("later"),
    VersionNotReady("m", 1, "loading"),
    ServerDraining(),
    Overloaded("full"),
]
NEVER: list[SardonyxError] = [
    InvalidInput([]),
    ModelNotFound("m"),
    DeadlineExceeded("late"),
    Unauthenticated("who?"),
    PermissionDenied("no"),
    RuleBroken("no"),
    InternalError("1"),
    SardonyxError("UNKNOWN: ?"),
]


def _retry(timeout_s: float = 60.0, budget: RetryBudget | None = None) -> Retry:
    return Retry(Deadline(timeout_s), budget or RetryBudget(Clock()))


@pytest.mark.parametrize("error", AGAIN, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_could_not_be_taken_is_repeated(error: SardonyxError, elsewhere: bool) -> None:
    """A call that a server did not take is made ATTEMPTS times in all, and then its error is the caller's."""
    retry = _retry()
    for _ in range(ATTEMPTS - 1):
        assert retry.wait_s(error, elsewhere=elsewhere) >= 0
    with pytest.raises(type(error)) as raised:
        retry.wait_s(error, elsewhere=elsewhere)
    assert raised.value is error


@pytest.mark.parametrize("error", NEVER, ids=lambda error: type(error).__name__)
def test_nothing_else_is_repeated(error: SardonyxError) -> None:
    """An error that the same call would meet again, or that may have had an effect, is the caller's at once."""
    budget = RetryBudget(Clock())
    with pytest.raises(type(error)):
        _retry(budget=budget).wait_s(error, elsewhere=True)
    assert sum(budget.spend() for _ in range(100)) == RESERVE


def test_another_address_is_asked_at_once() -> None:
    """Where somebody else may answer, there is nothing to wait for; but a full server is given its time."""
    assert _retry().wait_s(Unavailable("gone"), elsewhere=True) == 0
    assert _retry().wait_s(Overloaded("full", 0.7), elsewhere=True) >= 0.7


@pytest.mark.parametrize("ended", [False, True])
def test_what_reached_nobody_is_no_attempt(ended: bool) -> None:
    """A call without a connection goes to every other address and keeps its attempts; one that was cut off does not."""
    retry, gone = _retry(), Unreachable("gone", "there:1", "", ended=ended)
    for _ in range(0 if ended else 3 * ATTEMPTS):
        assert retry.wait_s(gone, elsewhere=True) == 0
    for _ in range(ATTEMPTS - 1):
        retry.wait_s(gone, elsewhere=ended)
    with pytest.raises(Unreachable):
        retry.wait_s(gone, elsewhere=ended)


def test_waits_grow_up_to_a_limit() -> None:
    """Each wait is drawn from half of the backoff to all of it; the backoff doubles up to BACKOFF_S_MAX."""
    for _ in range(50):
        retry = _retry()
        for attempt in range(1, ATTEMPTS):
            backoff_s = min(BACKOFF_S * 2**attempt, BACKOFF_S_MAX)
            assert backoff_s / 2 <= retry.wait_s(Unavailable("later"), elsewhere=False) <= backoff_s


def test_a_servers_wish_is_a_floor() -> None:
    """A full server that names a time is not asked before; an absurd one is cut to BACKOFF_S_MAX."""
    assert _retry().wait_s(Overloaded("full", 1.5), elsewhere=False) >= 1.5
    assert _retry().wait_s(Overloaded("full", 3600), elsewhere=False) == BACKOFF_S_MAX


def test_nobody_waits_beyond_the_deadline() -> None:
    """Where the wait would outlast the caller's, the error is the caller's at once, and no token is spent."""
    budget = RetryBudget(Clock())
    with pytest.raises(Overloaded):
        _retry(1.0, budget).wait_s(Overloaded("full", 1.5), elsewhere=False)
    assert sum(budget.spend() for _ in range(100)) == RESERVE


def test_the_budget_has_the_last_word() -> None:
    """With an empty budget nobody is asked twice; to move on to somebody who was not asked yet is no repetition."""
    budget = RetryBudget(Clock())
    while budget.spend():
        pass
    with pytest.raises(Unavailable):
        _retry(budget=budget).wait_s(Unavailable("gone"), elsewhere=False)
    with pytest.raises(Overloaded):
        _retry(budget=budget).wait_s(Overloaded("full", 0.1), elsewhere=True)
    assert _retry(budget=budget).wait_s(Unavailable("gone"), elsewhere=True) == 0
    assert not budget.spend()
