"""What the demo says while it runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flights.data import Flight
    from flights.replay import Tally

#: Where the flights leave.
NEW_YORK: Final = ZoneInfo("America/New_York")
#: Where there is no terminal, lines are as long as they need.
WIDTH: Final = 120
#: How often a plain line says how far a replay is.
LINE_S: Final = 5.0


class Screen:
    """Where the demo writes, and how long it has been running."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.console = Console(highlight=False)
        if not self.console.is_terminal:
            self.console = Console(highlight=False, width=WIDTH)

    @property
    def elapsed_s(self) -> float:
        """How long the demo has been running."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """One line, after the seconds since the start."""
        self.console.print(f"[dim]{self.elapsed_s:4.0f} s[/dim]  {text}", soft_wrap=True)

    def note(self, text: str) -> None:
        """A line that belongs to the one before."""
        self.console.print(f"        {text}", soft_wrap=True)

    def fail(self, text: str) -> None:
        """What went wrong; the text may hold anything."""
        self.console.print(f"[bold red]Failed:[/bold red] {escape(text)}", soft_wrap=True)

    @contextmanager
    def working(self, text: str) -> Iterator[None]:
        """One line, and something that moves while the block runs."""
        self.say(text)
        with self.console.status("", spinner="dots"):
            yield

    @contextmanager
    def replaying(self, total: int, tally: Tally) -> Iterator[Follower]:
        """Shows how far a replay is while the block runs."""
        columns = (TextColumn("       "), BarColumn(24), TextColumn("{task.fields[state]}"))
        quiet = not self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=quiet, refresh_per_second=5) as bars:
            yield Follower(self, bars, total, tally)


class Follower:
    """Told of each flight; writes now and then."""

    def __init__(self, screen: Screen, bars: Progress, total: int, tally: Tally) -> None:
        self._screen = screen
        self._bars = bars
        self._tally = tally
        self._before = tally.requests
        self._total = total
        self._started = time.monotonic()
        self._line_at = self._started + LINE_S
        self._task = bars.add_task("", total=total, state="")

    def __call__(self, flight: Flight) -> None:
        """One flight more."""
        done = self._tally.requests - self._before
        if self._bars.disable:
            if time.monotonic() >= self._line_at:
                self._line_at += LINE_S
                self._screen.note(self._state(done, flight))
        elif done % 50 == 0 or done == self._total:
            self._bars.update(self._task, completed=done, state=self._state(done, flight))

    def _state(self, done: int, flight: Flight) -> str:
        date = datetime.fromtimestamp(flight.departs, UTC).astimezone(NEW_YORK)
        rate = done / max(time.monotonic() - self._started, 1e-9)
        failed = f", [red]{self._tally.failed:,} failed[/red]" if self._tally.failed else ""
        return f"{date:%d %b %H:%M} · {done:,} of {self._total:,} · {rate:,.0f} requests/s{failed}"
