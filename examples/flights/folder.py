"""The demo's folder: made anew by each run, and never one that is somebody else's."""

from __future__ import annotations

import fcntl
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Marks a folder as the demo's, and is locked while one runs.
MARKER: Final = ".sardonyx-demo"


class FolderRefused(Exception):
    """The folder cannot be used; the message says why and what to do."""


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """The folder, empty but for its marker, and locked as long as the block runs.

    Raises:
        FolderRefused: it holds something and is not the demo's, or another demo uses it.
    """
    marker = folder / MARKER
    if folder.exists() and not marker.is_file() and any(folder.iterdir()):
        raise FolderRefused(f"{folder} holds files that are not the demo's. Choose another with --folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with marker.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderRefused(f"Another demo runs in {folder}. End it, or choose another with --folder.") from None
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != marker:
                entry.unlink()
        yield folder
