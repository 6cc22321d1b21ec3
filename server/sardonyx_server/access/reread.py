"""What is read from files of an operator, and read again when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from sardonyx_server.access.files import AccessFileError, stamp_of
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sardonyx_server.access.files import Stamp

T = TypeVar("T")


class Reread(Generic[T]):
    """The content of some files; bad files change nothing, and are named once each time that they become so.

    Args:
        paths: of the files.
        read: reads them.
        kept: what the log says where they cannot be used, before the reason.
        told: what it says of those that were read again.

    Raises:
        AccessFileError: the files cannot be used.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[], T], kept: str, told: Callable[[T], str]) -> None:
        self._paths = paths
        self._read = read
        self._kept = kept
        self._told = told
        self.stamp: Stamp = stamp_of(paths)
        self.content = read()
        self._error = ""

    def look(self) -> None:
        """Read the files again if they have changed."""
        try:
            stamp = stamp_of(self._paths)
            if stamp != self.stamp:
                self.content = self._read()
        except AccessFileError as error:
            if str(error) != self._error:
                LOG.error("%s: %s", self._kept, error)
            self._error = str(error)
            return
        # What was wrong in between has passed: if it comes again, it is to be named again.
        self._error = ""
        if stamp != self.stamp:
            self.stamp = stamp
            LOG.info("%s", self._told(self.content))
