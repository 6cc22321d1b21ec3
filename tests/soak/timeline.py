"""What happened when: which versions routes led to, and which faults there were."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Workers poll the registry, load, prove and warm up: on a busy machine of two processors within this time.
FOLLOW_S: Final = 15.0
#: What a fault did may reach a caller this much after its end.
GRACE_S: Final = 1.0


class _State(NamedTuple):
    """From a moment on: the versions that routes surely led to, and those that they may have led to."""

    since: float
    surely: frozenset[int]
    perhaps: frozenset[int]


_NOTHING: Final = _State(float("-inf"), frozenset(), frozenset())


class Timeline:
    """The versions that routes of each model led to."""

    def __init__(self) -> None:
        self._states: dict[str, list[_State]] = {}

    @contextmanager
    def moving(self, model: str, after: frozenset[int]) -> Iterator[None]:
        """Routes lead to other versions within this block, and to them alone from its end on."""
        states = self._states.setdefault(model, [_NOTHING])
        before = states[-1]
        states.append(_State(time.monotonic(), before.surely & after, before.perhaps | after))
        yield
        states.append(_State(time.monotonic(), after, after))

    def always(self, model: str, version: int, since: float) -> bool:
        """Whether routes led to a version all the time since then, workers' time to follow included."""
        return all(version in state.surely for state in self._during(model, since - FOLLOW_S))

    def ever(self, model: str, version: int, since: float) -> bool:
        """Whether they may have done so at some time."""
        return any(version in state.perhaps for state in self._during(model, since - FOLLOW_S))

    def _during(self, model: str, since: float) -> list[_State]:
        """The states since then, and the one that held at that moment."""
        states = self._states.get(model, [_NOTHING])
        later = [state for state in states if state.since > since]
        return [*states[len(states) - len(later) - 1 : len(states) - len(later)], *later]


@dataclass(slots=True)
class _Span:
    effect: str
    began: float
    ended: float = float("inf")


class Windows:
    """When which faults had their effects; asked from several threads."""

    def __init__(self) -> None:
        self._spans: list[_Span] = []
        self._lock = threading.Lock()

    @contextmanager
    def open(self, effect: str) -> Iterator[None]:
        """The effect may show from here to the end of the block, and GRACE_S beyond."""
        span = _Span(effect, time.monotonic())
        with self._lock:
            self._spans.append(span)
        try:
            yield
        finally:
            span.ended = time.monotonic()

    def during(self, effect: str, since: float) -> bool:
        """Whether the effect may have shown at some time since then."""
        with self._lock:
            return any(span.effect == effect and span.ended + GRACE_S >= since for span in self._spans)

    def spans(self, effect: str) -> list[tuple[float, float]]:
        """All of them, in seconds of time.monotonic()."""
        with self._lock:
            return [(span.began, span.ended) for span in self._spans if span.effect == effect]
