"""Whether memory is flat: each process's resident memory over time, by a slope that outliers do not move."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The part of a process's life that is warm-up: arenas of the allocator, caches, the first versions.
WARM_UP: Final = 0.4
#: What is left must be this long: within less, a garbage collection is a slope.
JUDGED_S_MIN: Final = 60.0
_POINTS: Final = 200
_MIB: Final = 1 << 20


class Pace(NamedTuple):
    """What a soak made its processes keep, a minute.

    Attributes:
        versions: published.
        spans: sent to the monitor.
    """

    versions: float
    spans: float


class Bound(NamedTuple):
    """How fast a kind of process may grow.

    Attributes:
        mib_per_minute: whatever happens.
        kib_per_version: for each version that is published.
        kib_per_span: for each span that is sent to the monitor.
        reason: why so much.
    """

    mib_per_minute: float
    kib_per_version: float
    kib_per_span: float
    reason: str

    def at(self, pace: Pace) -> float:
        """In MiB a minute."""
        kept_kib = self.kib_per_version * pace.versions + self.kib_per_span * pace.spans
        return self.mib_per_minute + kept_kib / 1024


BOUNDS: Final = {
    "supervisor": Bound(
        0.1,
        300,
        0,
        "the metrics of each version that ever answered stay: 180 to 300 KiB were measured",
    ),
    "worker": Bound(
        0.5,
        150,
        0,
        "its metrics of versions stay too, and sessions that come and go leave holes in the allocator's arenas",
    ),
    "monitor": Bound(
        5.0, 0, 4.0, "DuckDB keeps what it stores in its cache, about 3 KiB a span, up to 1 GiB; then it gives it back"
    ),
}


class Life(NamedTuple):
    """The memory of one process.

    Attributes:
        kind: supervisor, worker or monitor.
        pid: which.
        seconds: how long it was watched.
        first_mib, last_mib, peak_mib: resident memory; the first and last are medians of a tenth of its life.
        mib_per_minute: the slope after warm-up; None where it was watched for too short a time.
    """

    kind: str
    pid: int
    seconds: float
    first_mib: float
    last_mib: float
    peak_mib: float
    mib_per_minute: float | None


class Memory:
    """Looks at processes now and then."""

    def __init__(self) -> None:
        self._samples: defaultdict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)

    def look(self, processes: Iterable[tuple[str, int]]) -> None:
        """Note what each takes now."""
        now = time.monotonic()
        for kind, pid in processes:
            if (resident := _resident_mib(pid)) is not None:
                self._samples[kind, pid].append((now, resident))

    def lives(self) -> list[Life]:
        """Every process that was seen, by kind, the longest life first."""
        found = [_life(kind, pid, samples) for (kind, pid), samples in self._samples.items()]
        return sorted(found, key=lambda life: (list(BOUNDS).index(life.kind), -life.seconds))

    def now_mib(self) -> dict[str, float]:
        """The newest figure of each kind's newest process."""
        return {kind: samples[-1][1] for (kind, _), samples in self._samples.items()}


def slope_per_minute(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Theil and Sen's slope: the median of the slopes of all pairs, so that up to 29 % outliers do not move it."""
    step = max(1, len(seconds) // _POINTS)
    x, y = np.asarray(seconds[::step], dtype=float), np.asarray(values[::step], dtype=float)
    first, second = np.triu_indices(len(x), k=1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first]))) * 60


def _life(kind: str, pid: int, samples: Sequence[tuple[float, float]]) -> Life:
    times, values = zip(*samples, strict=True)
    lasted = times[-1] - times[0]
    judged = [(at, value) for at, value in samples if at - times[0] >= lasted * WARM_UP]
    slope = slope_per_minute(*zip(*judged, strict=True)) if lasted * (1 - WARM_UP) >= JUDGED_S_MIN else None
    tenth = max(1, len(values) // 10)
    return Life(
        kind, pid, lasted, float(np.median(values[:tenth])), float(np.median(values[-tenth:])), max(values), slope
    )


def _resident_mib(pid: int) -> float | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return pages * resource.getpagesize() / _MIB
