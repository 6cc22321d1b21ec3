"""How long a version's runs take: timed while it is loaded, and so that its first caller meets warm caches."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx_server.life import golden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]

#: Runs of one size: the first fill caches, and the quickest is what a run takes where nothing disturbs it.
RUNS: Final = 20
#: A few dozen golden rows often take as long as one. What so many rows take tells what one row takes.
TIMED_ROWS: Final = 1024
#: Where the golden rows take longer, their time tells enough, and so many rows would hold the start up.
TIMED_S_MAX: Final = 0.001
#: How far a timing reaches: of more rows than sixteen times those that were timed nobody can say that they are quick.
ROWS_MAX: Final = 16 * TIMED_ROWS


@dataclass(frozen=True, slots=True)
class Cost:
    """How long a run takes: fixed + per_row · rows, in seconds."""

    fixed_s: float
    per_row_s: float

    def of(self, rows: int) -> float:
        """The estimate for a number of rows, in seconds."""
        return self.fixed_s + self.per_row_s * rows

    def rows_within(self, seconds: float) -> int:
        """How many rows a run of that time has at most; ROWS_MAX where it could have more."""
        if self.of(ROWS_MAX) <= seconds:
            return ROWS_MAX
        if self.of(1) > seconds:
            return 0
        return int((seconds - self.fixed_s) / self.per_row_s)


def measure(manifest: Manifest, session: Session) -> Cost:
    """Run one row and many of the golden rows."""
    feed = golden.feed_of(manifest)
    rows = golden.rows_of(manifest)
    one_s, many_s = _time(session, _repeated(feed, 1)), _time(session, feed)
    if many_s <= TIMED_S_MAX and rows < TIMED_ROWS:
        rows = TIMED_ROWS
        many_s = _time(session, _repeated(feed, rows))
    per_row_s = max(0.0, many_s - one_s) / (rows - 1) if rows > 1 else one_s
    return Cost(max(0.0, one_s - per_row_s), per_row_s)


def _time(session: Session, feed: Mapping[str, Array]) -> float:
    """How long the quickest run takes, in seconds."""
    quickest_s = float("inf")
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(feed)
        quickest_s = min(quickest_s, time.perf_counter() - started)
    return quickest_s


def _repeated(feed: Mapping[str, Array], rows: int) -> Mapping[str, Array]:
    """So many rows, the same ones over and over where there are fewer."""
    return {name: np.resize(values, (rows, *values.shape[1:])) for name, values in feed.items()}
