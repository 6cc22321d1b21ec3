"""How long calls take: quantiles of any number of them, in the same small room."""

from __future__ import annotations

import math
from collections import Counter
from typing import Final

#: Each bucket is one percent wider than the one before: so exact is what is read from them.
GROWTH: Final = math.log(1.01)


class Latency:
    """Counts durations in buckets that grow with them."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one."""
        self._buckets[math.floor(math.log(max(seconds, 1e-9)) / GROWTH)] += 1

    def quantile_ms(self, share: float) -> float | None:
        """What this share of the durations stayed below, in ms; None where there are none."""
        wanted = share * self._buckets.total()
        for bucket in sorted(self._buckets):
            wanted -= self._buckets[bucket]
            if wanted <= 0:
                return math.exp((bucket + 0.5) * GROWTH) * 1e3
        return None
