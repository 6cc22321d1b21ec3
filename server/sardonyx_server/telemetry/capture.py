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


class Capture:
    """Keeps each row with a probability that follows from when and how many rows came before, never from what they say.

    With the budget b and the rows λ of about the last second, each of n rows that arrive is kept with probability
    p = min(1, b / (λ + n + 1)). The budget is charged n · p, what is kept on average and not by chance, and grows by
    the rate. So b stays above 0: every row can be captured. And over any T seconds, bursts too, at most (T + 1) · rate
    rows are kept on average. Each row kept stands for 1 / p rows.

    Not for several threads. A call takes about 0.8 µs where no row is kept.

    Args:
        rows_per_s: how many rows to keep; 0: none.
        seed: for tests; None: unpredictable.
    """

    def __init__(self, rows_per_s: float, seed: int | None = None) -> None:
        self._rate = rows_per_s
        self._budget = rows_per_s
        self._recent = 0.0
        self._last_s = time.monotonic()
        self._random = random.Random(seed).random  # noqa: S311 - a fair coin, not a secret

    def take(self, feed: Mapping[str, Array], rows: int, now_s: float) -> Captured | None:
        """Some rows of a request; None where the coins kept none.

        Args:
            feed: arrays by graph tensor, shape [rows, width]; not changed, and not kept.
            rows: how many rows.
            now_s: the time by a clock that never goes back.
        """
        if not self._rate:
            return None
        probability = self._probability(rows, now_s)
        chosen = self._choose(rows, probability)
        if not chosen or sum(array.shape[1] for array in feed.values()) > ROW_VALUES_MAX:
            return None
        return Captured(chosen, probability, {name: array[chosen] for name, array in feed.items()})

    def _probability(self, rows: int, now_s: float) -> float:
        """With which each of the rows that came now is kept; what it will cost is charged."""
        passed_s = max(0.0, now_s - self._last_s)
        self._last_s = now_s
        self._budget = min(self._rate, self._budget + self._rate * passed_s)
        self._recent = self._recent * math.exp(-passed_s / _MEMORY_S) + rows
        probability = min(1.0, self._budget / (self._recent + 1.0))
        self._budget -= rows * probability
        return probability

    def _choose(self, rows: int, probability: float) -> Sequence[int]:
        """The rows whose coins fell so. The gaps between them are geometric: a coin a row would cost a million."""
        if probability >= 1.0:
            return range(rows)
        per_log = 1.0 / math.log1p(-probability)
        chosen = []
        # 1 - random() is above 0, and its logarithm exists.
        row = int(math.log(1.0 - self._random()) * per_log)
        while row < rows:
            chosen.append(row)
            row += 1 + int(math.log(1.0 - self._random()) * per_log)
        return chosen
