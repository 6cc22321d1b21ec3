"""Confidence intervals: how far a figure may be from the truth, given how little was seen."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

CONFIDENCE: Final = 0.95
#: The normal distribution's quantile for CONFIDENCE, two-sided.
Z: Final = 1.959963984540054


class Interval(NamedTuple):
    """Where a figure lies with CONFIDENCE; both ends are NaN where nothing can be said."""

    low: float
    high: float


UNKNOWN: Final = Interval(math.nan, math.nan)


def of_share(successes: int, trials: int) -> Interval:
    """Wilson's score interval for a share: holds what it says for small numbers and near 0 and 1 too.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if trials == 0:
        return UNKNOWN
    share, spread = successes / trials, Z * Z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    # The ends are exact where every trial went one way; arithmetic leaves 1e-17.
    return Interval(
        max(0.0, centre - half) if successes else 0.0, min(1.0, centre + half) if successes < trials else 1.0
    )


def of_mean(total: float, square_total: float, count: int) -> Interval:
    """The normal interval for a mean, from the sums of the values and of their squares."""
    if count < 2:
        return UNKNOWN
    mean = total / count
    variance = max(0.0, square_total - count * mean * mean) / (count - 1)
    half = Z * math.sqrt(variance / count)
    return Interval(mean - half, mean + half)
