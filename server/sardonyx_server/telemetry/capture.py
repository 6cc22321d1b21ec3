"""Which input rows are kept beside an answer: few, by fair coins, so that figures from them are right on average."""

from __future__ import annotations

import math
import random
import time
from typing import TYPE_CHECKING, Any, Final

import numpy.typing as npt

from sardonyx_server.telemetry.record import Captured

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = npt.NDArray[Any]

#: Rows with more values are not captured: one of 1,024 numbers takes 11 kB of its span, and spans share 4 MiB.
ROW_VALUES_MAX: Final = 1024
#: Over how long the rate of rows is remembered.
_MEMORY_S: Final = 1.0
#: How long a probability holds at most, and for which share of the rows of the last second.
_HOLDS_S: Final = 0.05
_HOLDS_FOR: Final = 1 / 16


class Capture:
    """Keeps each row with a probability that follows from when and how many rows came before, never from what they say.

    The probability holds for a while: with the budget b and the rows λ of about the last second, each of the n rows of
    a request and of the next m = λ / 16 is kept with p = min(1, b / (λ + n + m + 1)). The budget is charged p for each
    row that came, what is kept on average and not by chance, and grows by the rate. So b stays above 0: every row can
    be captured. And over any T seconds, bursts too, at most (T + 1) · rate rows are kept on average. Each row kept
    stands for 1 / p rows.

    Coins are not thrown row by row: the gap between two rows that are kept is drawn, which is geometric, and most
    requests fall into it. When the probability changes the gap is drawn anew, as it may be: it has no memory.

    Not for several threads.

    Args:
        rows_per_s: how many rows to keep; 0: none.
        seed: for tests; None: unpredictable.

    Attributes:
        probability: with which the rows of the last request were kept, each.
    """

    def __init__(self, rows_per_s: float, seed: int | None = None) -> None:
        self._rate = rows_per_s
        self._budget = rows_per_s
        self._recent = 0.0
        self._last_s = time.perf_counter()
        self._random = random.Random(seed).random  # noqa: S311 - a fair coin, not a secret
        self.probability = 1.0
        #: Rows that came under this probability, rows that still may, and until when.
        self._used = 0
        self._left = 0
        self._until_s = 0.0
        #: Rows before the next one that is kept.
        self._gap = 0

    def take(self, feed: Mapping[str, Array], rows: int, now_s: float) -> Captured | None:
        """Some rows of a request; None where the coins kept none.

        Args:
            feed: arrays by graph tensor, shape [rows, width]; not changed, and not kept.
            rows: how many rows.
            now_s: the time, by time.perf_counter().
        """
        if not self._rate:
            return None
        if rows > self._left or now_s >= self._until_s:
            self._begin(rows, now_s)
        self._left -= rows
        self._used += rows
        if rows <= self._gap:
            self._gap -= rows
            return None
        chosen = self._choose(rows)
        if sum(array.shape[1] for array in feed.values()) > ROW_VALUES_MAX:
            return None
        return Captured(chosen, self.probability, {name: array[chosen] for name, array in feed.items()})

    def _begin(self, rows: int, now_s: float) -> None:
        """Settle what came under the last probability, and set the next one."""
        passed_s = max(0.0, now_s - self._last_s)
        self._last_s = now_s
        self._budget = min(self._rate, self._budget - self._used * self.probability + self._rate * passed_s)
        self._recent = (self._recent + self._used) * math.exp(-passed_s / _MEMORY_S)
        self._used = 0
        more = int(self._recent * _HOLDS_FOR)
        self.probability = min(1.0, self._budget / (self._recent + rows + more + 1.0))
        self._left = rows + more
        self._until_s = now_s + _HOLDS_S
        self._gap = self._draw()

    def _choose(self, rows: int) -> Sequence[int]:
        """The rows whose coins fell so."""
        chosen = []
        row = self._gap
        while row < rows:
            chosen.append(row)
            row += 1 + self._draw()
        self._gap = row - rows
        return chosen

    def _draw(self) -> int:
        """How many rows are passed over before the next one that is kept."""
        if self.probability >= 1.0:
            return 0
        # 1 - random() is above 0, and its logarithm exists.
        return int(math.log(1.0 - self._random()) / math.log1p(-self.probability))
