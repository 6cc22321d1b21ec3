"""A store in a directory, where whoever may write to it may put what is no object."""

from __future__ import annotations

import os
import re
import stat
from functools import partial
from typing import TYPE_CHECKING, Final

from obstore.store import LocalStore

from sardonyx.errors import RegistryCorrupt
from sardonyx.registry.store import Store

if TYPE_CHECKING:
    from pathlib import Path

#: What obstore calls a file in a directory while it writes it.
_UNDER_WAY: Final = re.compile(r".*#\d+", re.DOTALL)


class Directory(Store):
    """A directory, read by obstore, but listed and looked at here.

    One name that obstore takes for none ends its whole listing, and a pipe ends a reading never.

    Args:
        location: how its user calls it; for messages.
        folder: where it is.
        create: make it where there is none.
    """

    def __init__(self, location: str, folder: Path, *, create: bool) -> None:
        # Anew each time: obstore follows links once, and by now a link may lead elsewhere, to the next revision.
        super().__init__(location, partial(LocalStore, folder, mkdir=create))
        # And at once: whoever cannot write there is to learn it before there is something to write.
        self._objects()
        self._folder = folder

    def get(self, path: str, size_bytes: int | None = None) -> bytes | None:
        """See ``Store.get``."""
        with self._translated(f"read {path}"):
            if not self._is_file(path):
                return None
        return super().get(path, size_bytes)

    def _names(self, prefix: str, after: str) -> list[str]:  # noqa: ARG002 - all of them: they are read anyway
        return [entry.name for entry in self._entries(prefix) if not _UNDER_WAY.fullmatch(entry.name)]

    def _folders(self, prefix: str) -> list[str]:
        return [entry.name for entry in self._entries(prefix) if _is_folder(entry)]

    def _entries(self, prefix: str) -> list[os.DirEntry[str]]:
        """What lies in a folder; nothing where there is no such folder."""
        try:
            with os.scandir(self._folder / prefix) as found:
                return list(found)
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise RegistryCorrupt(
                f"{self._folder / prefix} should be a folder, and is none. Put back what was there, or export again."
            ) from None

    def _is_file(self, path: str) -> bool:
        """Whether there is a file; raises RegistryCorrupt where something else is."""
        place = self._folder / path
        try:
            mode = place.stat().st_mode
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(mode):
            raise RegistryCorrupt(f"{place} should be a file, and is none. Put back what was there, or remove it.")
        return True


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False
