"""When a call is made again: only where that is safe, and only while the caller waits.

A prediction changes nothing and keeps its id, and an outcome is stored once however often it is reported. So both may
be repeated where the server says that it could not take the call. Nothing else is repeated: a deadline is the caller's
own, and an invalid request stays invalid.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Final

from sardonyx.errors import DeadlineExceeded, InvalidInput, Overloaded, SardonyxError, Unavailable, Violation

ATTEMPTS: Final = 6
BACKOFF_S: Final = 0.05
BACKOFF_S_MAX: Final = 2.0
#: A day: gRPC takes a deadline that is too far away for one that has passed.
TIMEOUT_S_MAX: Final = 86_400.0


@dataclass(slots=True)
class Retry:
    """The attempts of one call.

    Args:
        timeout_s: how long the caller waits in all.
    """

    timeout_s: float
    _attempt: int = 0
    _started: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        """Refuse a time that is none.

        Raises:
            InvalidInput: it is not above 0, or endless.
        """
        if not 0 < self.timeout_s <= TIMEOUT_S_MAX:
            expected = f"{self.timeout_s!r} is no time to wait. Give seconds, above 0 and up to {TIMEOUT_S_MAX:g}."
            raise InvalidInput([Violation("timeout_s", expected)])

    @property
    def left_s(self) -> float:
        """How long the caller still waits, in seconds; a little, where that is over, so that gRPC says so."""
        return max(0.001, self.timeout_s - (time.monotonic() - self._started))

    def wait_s(self, error: SardonyxError) -> float:
        """How long to wait before the next attempt, in seconds.

        Raises:
            SardonyxError: the error itself, where there is to be no other attempt.
        """
        self._attempt += 1
        if not isinstance(error, Unavailable | Overloaded) or self._attempt >= ATTEMPTS:
            raise error
        # Full jitter, so that callers who were refused together do not come back together; a wish of the server's is a
        # floor only where the caller has the time for it.
        backoff_s = random.uniform(0.5, 1.0) * min(BACKOFF_S * (1 << self._attempt), BACKOFF_S_MAX)  # noqa: S311
        floor_s = min(error.retry_after_s, BACKOFF_S_MAX) if isinstance(error, Overloaded) else 0.0
        wait_s = max(backoff_s, floor_s)
        if wait_s >= self.left_s:
            raise error
        return wait_s


def late(timeout_s: float) -> DeadlineExceeded:
    """What a caller gets whose time is up."""
    return DeadlineExceeded(f"There was no answer within {timeout_s:g} s. Allow more time with timeout_s.")
