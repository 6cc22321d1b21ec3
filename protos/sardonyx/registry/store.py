"""Bytes by path, in a directory or a bucket: obstore, with sardonyx's errors."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from sardonyx.errors import RegistryCorrupt, RegistryError, RegistryMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from obstore.store import ObjectStore


_FILE: Final = "file://"
#: What obstore calls a file in a directory while it writes it.
_UNDER_WAY: Final = re.compile(r".*#\d+", re.DOTALL)


class Store:
    """A place of objects that are created once and never changed.

    A directory is listed and looked at here, and read by obstore: whoever may write to it may put into it what is no
    object, and one name that obstore takes for none ends its whole listing, as a pipe ends a reading never.

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
        self._folder: Path | None = None
        if "://" in location and not location.startswith(_FILE):
            self._objects = _bucket(location)
            return
        with self._translated("open"):
            self._folder = folder = _folder(location)
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
            RegistryCorrupt: there are more or fewer, or it is no file. Nothing is read then.
        """
        with self._translated(f"read {path}"):
            if self._folder:
                _check_file(self._folder, path)
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
        """The names of the objects right below a prefix, sorted; only those behind ``after``, if given.

        Those that begin with a dot are nobody's: programs that copy files call them so until they are whole.
        """
        offset = f"{prefix}/{after}" if after else None
        with self._translated(f"list {prefix}"):
            if self._folder:
                names = [entry.name for entry in _entries(self._folder, prefix) if not _UNDER_WAY.fullmatch(entry.name)]
            else:
                found = obstore.list(self._objects, prefix, offset=offset).collect()
                names = [entry["path"].removeprefix(f"{prefix}/") for entry in found]
        return sorted(name for name in names if name > (after or "") and not name.startswith("."))

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix, sorted."""
        with self._translated(f"list {prefix}"):
            if self._folder:
                return sorted(entry.name for entry in _entries(self._folder, prefix) if _is_folder(entry))
            found = obstore.list_with_delimiter(self._objects, prefix)["common_prefixes"]
        return sorted(entry.removeprefix(f"{prefix}/") for entry in found)

    @contextmanager
    def _translated(self, act: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            cause = str(error).split("\n", 1)[0]
            raise RegistryError(f"Registry {self.location!r}: could not {act}: {cause}") from error


def _entries(folder: Path, prefix: str) -> list[os.DirEntry[str]]:
    """What lies in a folder of a directory; nothing where there is no such folder."""
    try:
        with os.scandir(folder / prefix) as found:
            return list(found)
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise RegistryCorrupt(
            f"{folder / prefix} should be a folder, and is none. Put back what was there, or export again."
        ) from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link that leads to itself.
        return False


def _check_file(folder: Path, path: str) -> None:
    """A pipe is never read to its end, and a folder has no bytes.

    Raises:
        RegistryCorrupt: it is such a thing.
    """
    try:
        mode = (folder / path).stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise RegistryCorrupt(f"{folder / path} should be a file, and is none. Put back what was there, or remove it.")


def _bucket(location: str) -> ObjectStore:
    try:
        return from_url(location)
    except (BaseError, OSError, ValueError) as error:
        cause = str(error).split("\n", 1)[0]
        raise RegistryError(
            f"The registry's location {location!r} cannot be opened: {cause}. Give a directory, or a URL such as"
            " s3://bucket/models, gs://bucket/models or az://container/models."
        ) from error


def _folder(location: str) -> Path:
    if location.startswith(_FILE):
        url = urlsplit(location)
        if url.netloc or not url.path:
            raise RegistryError(
                f"The registry's location {location!r} names no directory of this host. Write {_FILE}/path/to/it, or"
                " the path alone."
            )
        return Path(url2pathname(url.path))
    try:
        return Path(location).expanduser()
    except RuntimeError:
        raise RegistryError(
            f"The registry's location {location!r} begins with the home of a user who is not."
        ) from None
