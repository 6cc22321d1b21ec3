"""Whether a version does in practice what its hold-out promised."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sardonyx.registry.v1.manifest_pb2 import Metric
    from sardonyx_monitor.statistics.quality import Figure

#: Below this the interval of a share spans a third of the scale: nothing is said.
ROWS_MIN: Final = 30


class Verdict(StrEnum):
    """How practice and promise stand to each other."""

    OPEN = "open"  # too little is known
    KEPT = "kept"  # the intervals meet
    WORSE = "worse"  # practice is worse, and chance does not explain it
    BETTER = "better"  # practice is better, and chance does not explain it


def judge(practice: Figure | None, promise: Metric | None) -> Verdict:
    """Compare intervals: only where they do not meet is a difference called one.

    Two 95 % intervals that do not meet differ at less than the 1 % level, which suits a page that is looked at often.
    """
    if practice is None or promise is None or practice.rows < ROWS_MIN or math.isnan(practice.low):
        return Verdict.OPEN
    if practice.low <= promise.high and promise.low <= practice.high:
        return Verdict.KEPT
    above = practice.low > promise.high
    return Verdict.BETTER if above == promise.higher_is_better else Verdict.WORSE
