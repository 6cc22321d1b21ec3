"""Which span of time a page shows, and in which steps."""

from __future__ import annotations

import time
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sardonyx.errors import InvalidInput, Violation
from sardonyx_monitor.views.shapes import WindowView

if TYPE_CHECKING:
    from sardonyx_monitor.store.reader import Query

_S: Final = 10**9
_MINUTE: Final = 60 * _S
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR

#: What can be chosen, in nanoseconds; 0 is everything.
WINDOWS: Final = {
    "15m": 15 * _MINUTE,
    "1h": _HOUR,
    "6h": 6 * _HOUR,
    "1d": _DAY,
    "7d": 7 * _DAY,
    "30d": 30 * _DAY,
    "all": 0,
}
DEFAULT: Final = "1h"
#: Points that a chart of one page has: more would not be told apart at 390 pixels.
STEPS_MAX: Final = 60
#: Steps that a person can name.
_STEPS_NS: Final = (
    *(seconds * _S for seconds in (1, 2, 5, 10, 15, 30)),
    *(minutes * _MINUTE for minutes in (1, 2, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 3, 6, 12)),
    *(days * _DAY for days in (1, 2, 7, 30)),
)


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time up to now.

    Attributes:
        name: as in WINDOWS.
        since_ns, until_ns: from and to, ns since 1970.
        step_ns: the width of one point of a chart.
        sampled: whether some of the requests recorded in it stand for others too.
    """

    name: str
    since_ns: int
    until_ns: int
    step_ns: int
    sampled: bool = False

    @classmethod
    def parse(cls, name: str) -> Window:
        """The window of that name, ending now.

        Raises:
            InvalidInput: there is none.
        """
        if name not in WINDOWS:
            known = ", ".join(WINDOWS)
            raise InvalidInput([Violation("window", f"{name!r} is no window. Choose one of {known}.")])
        until_ns = time.time_ns()
        since_ns = until_ns - WINDOWS[name] if WINDOWS[name] else 0
        return cls(name, since_ns, until_ns, step_of(until_ns - since_ns))

    def narrowed(self, query: Query, model: str = "") -> Window:
        """From the first request on: charts of a young model use their whole width."""
        of_model = bool(model)
        first = query.row("first_request", {"since_ns": self.since_ns, "model": model}, of_model=of_model)["first_ns"]
        # A request may be from after now: clocks differ.
        if first is None or first >= self.until_ns:
            return self
        step_ns = step_of(self.until_ns - first)
        # On a whole step, so that points stay where they are from one look to the next.
        window = Window(self.name, first - first % step_ns, self.until_ns, step_ns)
        sampled = query.row("sampled", window.parameters | {"model": model}, of_model=of_model)["sampled"]
        return replace(window, sampled=sampled)

    @property
    def parameters(self) -> dict[str, int]:
        """For queries."""
        return {"since_ns": self.since_ns, "until_ns": self.until_ns, "step_ns": self.step_ns}

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.until_ns - self.since_ns) / _S

    @property
    def view(self) -> WindowView:
        """For a page."""
        return WindowView(self.name, self.since_ns, self.until_ns, self.step_ns / _S, self.sampled)

    @property
    def steps_over(self) -> int:
        """How many whole steps it has."""
        return (self.until_ns - self.since_ns) // self.step_ns

    def time_of(self, step: int) -> int:
        """The middle of a step, ns since 1970."""
        return self.since_ns + step * self.step_ns + self.step_ns // 2


def step_of(span_ns: int) -> int:
    """The smallest step that a person can name and that divides a span into no more than STEPS_MAX."""
    index = bisect_left(_STEPS_NS, span_ns / STEPS_MAX)
    return _STEPS_NS[min(index, len(_STEPS_NS) - 1)]
