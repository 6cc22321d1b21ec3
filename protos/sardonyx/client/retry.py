"""When a call is made again: only where that is safe, only while the caller waits, and only within the budget.

A prediction changes nothing and keeps its id, and an outcome is stored once however often it is reported. So both may
be repeated where the server says that it could not take the call; to ask at an address that was not asked yet is no
repetition, and spends nothing. What reached no server is no attempt while there is such an address. Nothing else is
repeated: a deadline is the caller's own, and an invalid request stays invalid.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from sardonyx.client.unreached import Unreachable
from sardonyx.errors import DeadlineExceeded, InvalidInput, Overloaded, SardonyxError, Unavailable, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.client.budget import RetryBudget

ATTEMPTS: Final = 6
BACKOFF_S: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
#: A day: gRPC takes a deadline that is too far away for one that has passed.
TIMEOUT_S_MAX: Final = 86_400.0


class Deadline:
    """How long a caller waits, from now on.

    Attributes:
        timeout_s: how long in all.
        ends: until when, by time.monotonic().

    Raises:
        InvalidInput: it is not above 0, or endless.
    """

    __slots__ = ("ends", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = checked_timeout_s(timeout_s)
        self.ends = time.monotonic() + self.timeout_s

    @property
    def left_s(self) -> float:
        """How long the caller still waits, in seconds; a little, where that is over, so that gRPC says so."""
        return max(0.001, self.ends - time.monotonic())


class Retry:
    """The attempts of one call.

    Args:
        deadline: how long the caller waits.
        budget: what the client may repeat.
    """

    __slots__ = ("_attempt", "_budget", "deadline")

    def __init__(self, deadline: Deadline, budget: RetryBudget) -> None:
        self.deadline = deadline
        self._budget = budget
        self._attempt = 0
        budget.earn()

    def wait_s(self, error: SardonyxError, *, elsewhere: bool) -> float:
        """How long to wait before the next attempt, in seconds.

        Args:
            error: how this attempt ended.
            elsewhere: there is another address to ask, which knows nothing of what ails this one.

        Raises:
            SardonyxError: the error itself, where there is to be no other attempt.
        """
        if elsewhere and isinstance(error, Unreachable) and not error.ended:
            # However many addresses are gone, one that lives is asked.
            return 0.0
        self._attempt += 1
        if not isinstance(error, Unavailable | Overloaded) or self._attempt >= ATTEMPTS:
            raise error
        if elsewhere and isinstance(error, Unavailable):
            # Each address is asked once: where one is gone the others get the calls that are theirs now, and no more.
            return 0.0
        wait_s = self._backoff_s(error)
        if wait_s >= self.deadline.left_s or not self._budget.spend():
            raise error
        return wait_s

    def _backoff_s(self, error: Unavailable | Overloaded) -> float:
        # Jitter, so that callers who were refused together do not come back together; what a full server asks for is a
        # floor. Who has not the time for that learns at once that there is no answer.
        backoff_s = random.uniform(0.5, 1.0) * min(BACKOFF_S * (1 << self._attempt), BACKOFF_S_MAX)  # noqa: S311
        floor_s = min(error.retry_after_s, BACKOFF_S_MAX) if isinstance(error, Overloaded) else 0.0
        return max(backoff_s, floor_s)


def checked_timeout_s(timeout_s: float, name: str = "timeout_s") -> float:
    """A time to wait, in seconds; ``name`` is the argument that says it.

    Raises:
        InvalidInput: it is no number, not above 0, or endless.
    """
    try:
        # True is 1 to Python, and nobody's time to wait.
        if 0 < timeout_s <= TIMEOUT_S_MAX and timeout_s is not True:
            return timeout_s if type(timeout_s) is float else float(timeout_s)
    except (TypeError, ValueError):
        pass
    expected = f"{timeout_s!r:.100} is no time to wait. Give seconds, above 0 and up to {TIMEOUT_S_MAX:g}."
    raise InvalidInput([Violation(name, expected)])


def late(timeout_s: float, silent: Sequence[str] = ()) -> DeadlineExceeded:
    """What a caller gets whose time is up; some addresses may not even have been reached."""
    where = f"There is no connection to {', '.join(silent)}: check the address, and networks on the way. "
    cause = where if silent else ""
    return DeadlineExceeded(f"There was no answer within {timeout_s:g} s. {cause}Allow more time with timeout_s.")
