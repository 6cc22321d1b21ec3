"""The ground truth of some answers, reported to the monitor: what it acknowledges it must have at the end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

from sardonyx import AsyncOutcomes
from sardonyx.client import OutcomeReport
from sardonyx.errors import DeadlineExceeded, Overloaded, Unavailable
from soak.models import TABLE
from soak.rules import MONITOR_AWAY, Failure

if TYPE_CHECKING:
    from soak.rules import Ask
    from soak.timeline import Windows

#: One in so many answers turns out to be true or not.
_EVERY: Final = 5
_BATCH: Final = 200
_INTERVAL_S: Final = 0.3
_PATIENCE_S: Final = 5.0
#: How long the last reports may take, once nothing disturbs the monitor any more.
_LAST_S: Final = 60.0


class Outcomes:
    """Reports, and reports again what was not acknowledged, as a job that runs every night does.

    Args:
        windows: which faults there were.

    Attributes:
        acknowledged: the prediction ids whose truth the monitor said it has.
        failures: calls that failed, by code and cause; the cause is empty where nothing allows it.
        told: the first of those without cause, in words.
    """

    def __init__(self, windows: Windows) -> None:
        self.acknowledged: list[str] = []
        self.failures: Counter[tuple[str, str]] = Counter()
        self.told: list[str] = []
        self._windows = windows
        self._offered: deque[tuple[str, str | float]] = deque()
        self._lock = threading.Lock()
        self._seen = 0

    @property
    def waiting(self) -> int:
        """Reports that are not acknowledged yet."""
        return len(self._offered)

    def offer(self, ask: Ask) -> None:
        """A request was answered; called from several threads."""
        with self._lock:
            self._seen += 1
            if self._seen % _EVERY == 0:
                self._offered.append((ask.id, "late" if ask.model == TABLE else float(ask.start)))

    async def run(self, address: str, stop: asyncio.Event) -> None:
        """Report until told to stop and nothing is left, or too long after."""
        async with AsyncOutcomes(address, timeout_s=_PATIENCE_S) as outcomes:
            while not stop.is_set():
                await self._report(outcomes)
                await asyncio.sleep(_INTERVAL_S)
            # What is left then is told by the verdicts, with all the rest.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LAST_S):
                    while self._offered:
                        await self._report(outcomes)

    async def _report(self, outcomes: AsyncOutcomes) -> None:
        batch = [self._offered.popleft() for _ in range(min(len(self._offered), _BATCH))]
        if not batch:
            return
        began = asyncio.get_running_loop().time()
        try:
            await outcomes.report_many([OutcomeReport(id_, value, source="soak") for id_, value in batch])
        except asyncio.CancelledError:
            self._offered.extendleft(reversed(batch))
            raise
        except Exception as error:  # whatever a client raises is judged
            self._failed(error, began)
            self._offered.extendleft(reversed(batch))
        else:
            self.acknowledged.extend(id_ for id_, _ in batch)

    def _failed(self, error: Exception, since: float) -> None:
        failure = Failure.of(error)
        allowed = isinstance(error, Unavailable | DeadlineExceeded | Overloaded)
        cause = MONITOR_AWAY if allowed and self._windows.during(MONITOR_AWAY, since) else ""
        self.failures[failure.code, cause] += 1
        if not cause:
            self.told.append(f"not allowed: {failure.code} for a report of outcomes: {failure.message}")
