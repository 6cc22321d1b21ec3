"""How often a client may ask twice: a share of its calls, so that a fleet of clients cannot hold a server down."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: What each call adds: in the long run one call in five is made twice. Six attempts by everybody would multiply the
#: load of a server that is already short of time by six.
TOKENS_A_CALL: Final = 0.2
#: What time adds: so that a client of few calls can ask again too.
TOKENS_A_SECOND: Final = 1.0
#: What a new client starts with, and the most that is saved: all five repetitions of four calls, as after a restart.
TOKENS_MAX: Final = 20.0


class RetryBudget:
    """A bucket of tokens: calls and time fill it, each repetition takes one. May be used by several threads.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = TOKENS_MAX
        self._filled = clock()
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call is made for the first time."""
        with self._lock:
            self._tokens = min(TOKENS_MAX, self._tokens + TOKENS_A_CALL)

    def spend(self) -> bool:
        """Whether a call may be made once more."""
        with self._lock:
            now = self._clock()
            self._tokens = min(TOKENS_MAX, self._tokens + (now - self._filled) * TOKENS_A_SECOND)
            self._filled = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True
