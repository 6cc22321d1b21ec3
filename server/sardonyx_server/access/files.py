"""Files of an operator that may change while the server runs: certificates and tokens."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Some 50,000 tokens; more is another kind of file, and would be in every worker's memory.
BYTES_MAX: Final = 16 << 20
#: What tells one state of some files from the next. The inode is part of it: secrets that Kubernetes mounts, and files
#: that are replaced by a rename, change it.
Stamp = tuple[tuple[int, int, int], ...]


class AccessFileError(Exception):
    """A file of certificates or tokens cannot be used; the text is for the operator."""


def stamp_of(paths: Sequence[str]) -> Stamp:
    """The state of some files, at the price of a system call for each.

    Raises:
        AccessFileError: one is missing, or may not be seen.
    """
    found: list[tuple[int, int, int]] = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - a Path for each connection would cost more than the call
        except OSError as error:
            raise _unreadable(path, error) from None
        found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def read_bytes(path: str) -> bytes:
    """A file's content.

    Raises:
        AccessFileError: it cannot be read, or is none that has an end: a pipe, a device, a directory.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise AccessFileError(f"{path!r} is no regular file. Name one: it is read again when it changes.")
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > BYTES_MAX:
        raise AccessFileError(f"{path!r} has more than {BYTES_MAX >> 20} MiB. Name a file of certificates or tokens.")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; a pipe, too, although nobody writes to it yet."""
    return os.open(path, flags | os.O_NONBLOCK)


def others_may_write(path: str) -> bool:
    """Whether users who are neither the file's owner nor of its group may change it."""
    return bool(Path(path).stat().st_mode & stat.S_IWOTH)


def others_may_read(path: str) -> bool:
    """Whether users who are neither the file's owner nor of its group may see what it holds."""
    return bool(Path(path).stat().st_mode & stat.S_IROTH)


def _unreadable(path: str, error: OSError) -> AccessFileError:
    return AccessFileError(f"{path!r} cannot be read: {error.strerror}. Name a file that this user may read.")
