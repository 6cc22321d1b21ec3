"""What an export is doing, for whoever waits for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


class Progress(Protocol):
    """Told of each step as it begins."""

    def __call__(self, step: str) -> None:
        """Take the name of the step that begins."""


def silent(step: str) -> None:
    """For notebooks and scripts: nothing is said."""
    del step


@contextmanager
def on_console(console: Console) -> Iterator[Progress]:
    """A line that changes on a terminal; nothing elsewhere."""
    with console.status("starting") as status:
        yield lambda step: status.update(f"{step} …")
