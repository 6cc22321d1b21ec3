"""Bytes by path, in a bucket or a directory: obstore, with sardonyx's errors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from sardonyx.errors import RegistryCorrupt, RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from obstore.store import ObjectStore


class Store:
    """A place of objects that are created once and never changed.

    Args:
        location: how its user calls it; for messages.
        objects: opens the place, as obstore knows it; called each time that it is read or written.
        hint: what may be wrong with it; for messages, where it cannot be reached.
    """

    def __init__(self, location: str, objects: Callable[[], ObjectStore], hint: str = "") -> None:
        self.location = location
        self._objects = objects
        self._hint = hint

    def get(self, path: str, size_bytes: int | None = None) -> bytes | None:
        """The object's bytes, or None where there is none.

        Args:
            path: where it is.
            size_bytes: how many there should be; None: however many there are.

        Raises:
            RegistryCorrupt: there are more or fewer, or it is no file. Nothing is read then.
        """
        with self._translated(f"read {path}"):
            try:
                found = obstore.get(self._objects(), path)
            except FileNotFoundError:
                return None
            if size_bytes is not None and found.meta["size"] != size_bytes:
                raise RegistryCorrupt(
                    f"{path} has {found.meta['size']} bytes and should have {size_bytes}: it was changed. Export the"
                    " version again."
                )
            return bytes(found.bytes())

    def create(self, path: str, data: bytes) -> bool:
        """Write an object whole, unless there is one already; says whether it did."""
        with self._translated(f"write {path}"):
            try:
                obstore.put(self._objects(), path, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def names(self, prefix: str, after: str = "") -> list[str]:
        """The names of the objects right below a prefix, sorted; only those behind ``after``.

        Those that begin with a dot are nobody's: programs that copy files call them so until they are whole.
        """
        with self._translated(f"list {prefix}"):
            return sorted(name for name in self._names(prefix, after) if name > after and not name.startswith("."))

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix, sorted."""
        with self._translated(f"list {prefix}"):
            return sorted(self._folders(prefix))

    def _names(self, prefix: str, after: str) -> list[str]:
        """The objects right below a prefix; may leave out what is not behind ``after``."""
        found = obstore.list(self._objects(), prefix, offset=f"{prefix}/{after}" if after else None).collect()
        folder = f"{prefix}/"
        # An object that is called as the folder itself is its marker: consoles put one where they make a folder.
        return [entry["path"].removeprefix(folder) for entry in found if entry["path"].startswith(folder)]

    def _folders(self, prefix: str) -> list[str]:
        """The folders right below a prefix."""
        found = obstore.list_with_delimiter(self._objects(), prefix)["common_prefixes"]
        return [entry.removeprefix(f"{prefix}/") for entry in found]

    def _translated(self, act: str) -> AbstractContextManager[None]:
        return translated(self.location, act, self._hint)


@contextmanager
def translated(location: str, act: str, hint: str = "") -> Iterator[None]:
    """Raise what obstore and the system do as a RegistryError that says what could not be done."""
    try:
        yield
    except (BaseError, OSError, ValueError) as error:
        cause = str(error).split("\n", 1)[0]
        told = f"{cause.rstrip('.')}. {hint}" if hint else cause
        raise RegistryError(f"Registry {location!r}: could not {act}: {told}") from error
