"""Every request is entered before it is sent, and resolved once: right, wrong, or failed with or without excuse."""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter, defaultdict
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from soak.models import TOLERANCE
from soak.rules import Ask, Circumstances, Failure, cause_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soak.models import Array, Model
    from soak.timeline import Timeline, Windows

#: Violations that are kept in words; all are counted.
_KEPT: Final = 20


class End(IntEnum):
    """How a request ended."""

    UNDER_WAY = 0
    ANSWERED = 1
    FAILED = 2


class Given(NamedTuple):
    """An answer, of whatever client.

    Attributes:
        version: the version that it says answered.
        route: why that one; empty where the client does not tell.
        values: the output that is compared.
    """

    version: int
    route: str
    values: Array


class Totals(NamedTuple):
    """What callers have seen so far."""

    answers: int
    failures: Counter[tuple[str, str]]


class Ledger:
    """Enters, judges and counts; used by an event loop and by threads.

    Args:
        seed: part of prediction ids, so that two soaks never share any.
        models: what is asked, by name.
        timeline: where routes led.
        windows: which faults there were.

    Attributes:
        ends: how each request ended, by number.
        versions: the version that answered it, by number; 0 where none did.
        ended_at: when, in seconds since 1970, by number.
        answers: by model, version and route.
        failures: by caller, code and cause; the cause is empty where nothing allows it.
        latencies_ms: of answers, by caller and model.
        wrong, forbidden, twice: how many answers were wrong, failures without excuse, requests resolved twice.
        told: the first of these, in words.
    """

    def __init__(self, seed: int, models: Mapping[str, Model], timeline: Timeline, windows: Windows) -> None:
        self.ends = bytearray()
        self.versions = array("l")
        self.ended_at = array("d")
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.failures: Counter[tuple[str, str, str]] = Counter()
        self.latencies_ms: defaultdict[tuple[str, str], array[float]] = defaultdict(lambda: array("f"))
        self.wrong = self.forbidden = self.twice = 0
        self.told: list[str] = []
        self._prefix = f"soak-{seed}-"
        self._models = models
        self._timeline = timeline
        self._windows = windows
        self._under_way: dict[int, Ask] = {}
        self._lock = threading.Lock()

    def enter(
        self,
        caller: str,
        model: str,
        start: int,
        stop: int,
        *,
        version: int = 0,
        expects: str = "",
        patience_s: float,
        hurried: bool = False,
        repeats: bool = False,
    ) -> Ask:
        """A request that is about to be sent."""
        with self._lock:
            number = len(self.ends)
            self.ends.append(End.UNDER_WAY)
            self.versions.append(0)
            self.ended_at.append(0.0)
            ask = Ask(
                number,
                f"{self._prefix}{number}",
                caller,
                model,
                start,
                stop,
                version,
                expects,
                patience_s,
                hurried,
                repeats,
            )
            ask.sent = time.monotonic()
            self._under_way[number] = ask
        return ask

    def answered(self, ask: Ask, given: Given) -> None:
        """It was answered."""
        now = time.monotonic()
        flaw = self._flaw(ask, given)
        with self._lock:
            if not self._resolve(ask, End.ANSWERED):
                return
            self.versions[ask.number] = given.version
            self.answers[ask.model, given.version, given.route] += 1
            self.latencies_ms[ask.caller, ask.model].append((now - ask.sent) * 1000)
            if flaw:
                self.wrong += 1
                self._tell(f"wrong: {ask.id} of {ask.caller} to {ask.model}: {flaw}")

    def failed(self, ask: Ask, failure: Failure) -> None:
        """It failed."""
        cause = cause_of(ask, failure, Circumstances(self._timeline, self._windows, time.monotonic()))
        with self._lock:
            if not self._resolve(ask, End.FAILED):
                return
            self.failures[ask.caller, failure.code, cause] += 1
            if not cause:
                self.forbidden += 1
                took_s = time.monotonic() - ask.sent
                asked = f"version {ask.version}" if ask.version else "what is live"
                self._tell(
                    f"not allowed: {failure.code} after {took_s:.2f} of {ask.patience_s:g} s for {ask.id} of"
                    f" {ask.caller} to {ask.model}, {asked}: {failure.message}"
                )

    def saw(self, model: str, version: int, route: str) -> int:
        """How many answers a version gave on a route."""
        with self._lock:
            return self.answers[model, version, route]

    def totals(self) -> Totals:
        """What callers have seen so far."""
        with self._lock:
            failures: Counter[tuple[str, str]] = Counter()
            for (_, code, cause), count in self.failures.items():
                failures[code, cause] += count
            return Totals(self.answers.total(), failures)

    @property
    def unresolved(self) -> list[Ask]:
        """The requests that have no end."""
        with self._lock:
            return list(self._under_way.values())

    def _flaw(self, ask: Ask, given: Given) -> str:
        """What is wrong with an answer; empty: nothing."""
        truth = self._models[ask.model].truths.get(given.version)
        if ask.expects:
            return f"it should have been refused with {ask.expects}"
        if truth is None:
            return f"version {given.version} answered, which is broken or unknown"
        if ask.version and ask.version != given.version:
            return f"version {given.version} answered instead of {ask.version}"
        if not ask.version and not self._timeline.ever(ask.model, given.version, ask.sent):
            return f"version {given.version} answered, which no route leads to any more"
        wanted = truth[ask.start : ask.stop]
        if given.values.size != wanted.size:
            return f"{given.values.size} values, {wanted.size} expected"
        off = float(np.abs(given.values.reshape(wanted.shape) - wanted).max())
        return "" if off <= TOLERANCE else f"{off:.1e} away from what version {given.version} says"

    def _resolve(self, ask: Ask, end: End) -> bool:
        if self._under_way.pop(ask.number, None) is None:
            self.twice += 1
            self._tell(f"resolved twice: {ask.id} of {ask.caller}")
            return False
        self.ends[ask.number] = end
        self.ended_at[ask.number] = time.time()
        return True

    def _tell(self, what: str) -> None:
        if len(self.told) < _KEPT:
            self.told.append(what)
