"""Bytes by path, in a directory or a bucket: obstore, with sardonyx's errors."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from sardonyx.errors import RegistryCorrupt, RegistryError, RegistryMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


class Store:
    """A place of objects that are created once and never changed.

    Args:
        location: a directory, or a URL that obstore knows: ``s3://bucket/prefix``, ``gs://…``, ``az://…``.
        create: make the directory where there is none.

    Raises:
        RegistryMissing: there is no such directory.
        RegistryError: the location is no directory, or cannot be opened.
    """

    def __init__(self, location: str | PathLike[str], *, create: bool = False) -> None:
        self.location = location = str(location)
        if not location.strip():
            raise RegistryError(
                "The registry's location is empty. Give a directory, or a URL such as s3://bucket/models."
            )
        if "://" in location:
            with self._translated("open"):
                self._objects = from_url(location)
            return
        with self._translated("open"):
            folder = _folder(location)
            if not folder.is_dir() and folder.exists():
                raise RegistryError(f"The registry's location {location!r} is a file. Give a directory.")
            if not folder.is_dir() and not create:
                raise RegistryMissing(
                    f"There is no registry at {location!r}: no such directory. Export a model to it first."
                )
            self._objects = LocalStore(folder, mkdir=create)

    def get(self, path: str, size_bytes: int | None = None) -> bytes | None:
        """The object's bytes, or None where there is none.

        Args:
            path: where it is.
            size_bytes: how many there should be; None: however many there are.

        Raises:
            RegistryCorrupt: there are more or fewer. Nothing is read then.
        """
        with self._translated(f"read {path}"):
            try:
                found = obstore.get(self._objects, path)
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
                obstore.put(self._objects, path, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    def names(self, prefix: str, after: str | None = None) -> list[str]:
        """The names of the objects right below a prefix, sorted; only those behind ``after``, if given."""
        offset = f"{prefix}/{after}" if after else None
        with self._translated(f"list {prefix}"):
            found = obstore.list(self._objects, prefix, offset=offset).collect()
        return sorted(entry["path"].removeprefix(f"{prefix}/") for entry in found)

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix, sorted."""
        with self._translated(f"list {prefix}"):
            found = obstore.list_with_delimiter(self._objects, prefix)["common_prefixes"]
        return sorted(entry.removeprefix(f"{prefix}/") for entry in found)

    @contextmanager
    def _translated(self, act: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            cause = str(error).split("\n", 1)[0]
            raise RegistryError(f"Registry {self.location!r}: could not {act}: {cause}") from error


def _folder(location: str) -> Path:
    try:
        return Path(location).expanduser()
    except RuntimeError:
        raise RegistryError(
            f"The registry's location {location!r} begins with the home of a user who is not."
        ) from None
