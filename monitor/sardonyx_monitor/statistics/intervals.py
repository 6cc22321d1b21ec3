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


def effective_size(weight: float, square: float) -> float:
    """As how many observations of equal weight those of a sample count: (sum of weights)² / sum of squared weights.

    No more than were seen, and exactly as many where all weights are equal. Source: L. Kish, Survey Sampling (1965),
    section 11.7; L. Kish, Weighting for unequal Pi (1992).

    Args:
        weight: the sum of the weights.
        square: the sum of their squares.
    """
    return weight * weight / square if square else 0.0


def of_share(successes: float, trials: float, effective: float | None = None) -> Interval:
    """Wilson's score interval for a share: holds what it says for small numbers and near 0 and 1 too.

    Sources: E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927). With weights,
    the effective size takes the place of the number of trials: C. Franco and others, Comparative study of confidence
    intervals for proportions in complex sample surveys (2019).

    Args:
        successes: how many there were, or the sum of their weights.
        trials: the same of all.
        effective: as how many trials they count, by effective_size; None for trials without weights.
    """
    if trials == 0:
        return UNKNOWN
    size = trials if effective is None else effective
    share, spread = successes / trials, Z * Z / size
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / size + spread / (4 * size))
    # The ends are exact where every trial went one way; arithmetic leaves 1e-17.
    return Interval(
        max(0.0, centre - half) if successes else 0.0, min(1.0, centre + half) if successes < trials else 1.0
    )


def of_mean(total: float, square_total: float, count: float, effective: float | None = None) -> Interval:
    """The normal interval for a mean.

    Args:
        total: the sum of the values, each times its weight where there are weights.
        square_total: the same of their squares.
        count: how many values, or the sum of their weights.
        effective: as how many values they count, by effective_size; None for values without weights.
    """
    size = count if effective is None else effective
    if size < 2:
        return UNKNOWN
    mean = total / count
    spread = square_total - count * mean * mean
    if not math.isfinite(spread):
        # Beyond what doubles hold. NaN is no width of 0, which would be certainty.
        return UNKNOWN
    half = Z * math.sqrt(max(0.0, spread) * (size / count) / (size - 1) / size)
    return Interval(mean - half, mean + half)
