"""How often a client may ask twice: a share of its calls, so that a fleet of clients cannot hold a server down."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: What each call adds: in the long run one call in five is made twice. Six attempts by everybody would multiply the
#: load of a server that is already short of time by six.
TOKENS_A_CALL: Final = 0.2
#: How long that is kept: it fades by this time constant. So a client has saved for what it has in flight when a server
#: dies (64 callers of 2,000 calls a second lost 27 calls with a reserve alone), and no more after a quiet day.
KEPT_S: Final = 10.0
#: What time adds to a reserve: so that a client of few calls can ask again too.
TOKENS_A_SECOND: Final = 1.0
#: The most that the reserve holds, and what a new client starts with: all five repetitions of four calls.
RESERVE: Final = 20.0


class RetryBudget:
    """Tokens that calls and time add, and of which each repetition takes one. May be used by several threads.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._earned = 0.0
        self._reserve = RESERVE
        self._settled = clock()
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call is made for the first time."""
        with self._lock:
            self._settle()
            self._earned += TOKENS_A_CALL

    def spend(self) -> bool:
        """Whether a call may be made once more."""
        with self._lock:
            self._settle()
            if self._earned + self._reserve < 1:
                return False
            # What fades goes first.
            of_earned = min(self._earned, 1.0)
            self._earned -= of_earned
            self._reserve -= 1.0 - of_earned
            return True

    def _settle(self) -> None:
        """What has faded, and what time has added, until now."""
        now = self._clock()
        passed_s = now - self._settled
        self._settled = now
        self._earned *= math.exp(-passed_s / KEPT_S)
        self._reserve = min(RESERVE, self._reserve + passed_s * TOKENS_A_SECOND)
