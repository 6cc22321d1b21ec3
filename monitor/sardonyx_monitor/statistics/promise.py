"""Whether a version does in practice what its hold-out promised, and whether one does better than another."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeGuard

from sardonyx_monitor.statistics.quality import HIGHER_IS_BETTER

if TYPE_CHECKING:
    from typing import Protocol

    from sardonyx.registry.v1.manifest_pb2 import Metric
    from sardonyx_monitor.statistics.quality import Figure

    class HasInterval(Protocol):
        """What a figure is compared with."""

        @property
        def low(self) -> float:
            """Its lower end."""

        @property
        def high(self) -> float:
            """Its upper end."""


#: Below this the interval of a share spans a third of the scale: nothing is said.
ROWS_MIN: Final = 30


class Verdict(StrEnum):
    """How practice stands to a promise, or one version to another."""

    OPEN = "open"  # too little is known
    KEPT = "kept"  # the intervals meet
    WORSE = "worse"  # the first is worse, and chance does not explain it
    BETTER = "better"  # the first is better, and chance does not explain it


def judge(practice: Figure | None, promise: Metric | None) -> Verdict:
    """Compare practice with the promise."""
    if not _says_something(practice) or promise is None:
        return Verdict.OPEN
    return _compare(practice, promise, higher_is_better=promise.higher_is_better)


def contest(challenger: Figure | None, champion: Figure | None) -> Verdict:
    """Compare one metric of two versions."""
    if not _says_something(challenger) or not _says_something(champion):
        return Verdict.OPEN
    return _compare(challenger, champion, higher_is_better=challenger.name in HIGHER_IS_BETTER)


def _says_something(figure: Figure | None) -> TypeGuard[Figure]:
    return figure is not None and figure.effective_rows >= ROWS_MIN and not math.isnan(figure.low)


def _compare(one: HasInterval, other: HasInterval, *, higher_is_better: bool) -> Verdict:
    """Compare intervals: only where they do not meet is a difference called one.

    Two 95 % intervals that do not meet differ at less than the 1 % level, which suits a page that is looked at often.
    """
    if one.low <= other.high and other.low <= one.high:
        return Verdict.KEPT
    return Verdict.BETTER if (one.low > other.high) == higher_is_better else Verdict.WORSE
