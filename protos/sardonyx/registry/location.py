"""Where a registry is: a directory of this host, or a bucket."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import MemoryStore, from_url

from sardonyx.errors import RegistryError, RegistryMissing
from sardonyx.registry.directory import Directory
from sardonyx.registry.store import Store, translated

_FILE: Final = "file://"
#: A request to a bucket that is not answered is given up after 30 s, obstore's own limit, and is not begun again then:
#: otherwise it would be for three minutes.
_RETRIES_END_AFTER: Final = timedelta(seconds=10)
_HINT: Final = (
    "Check that the bucket can be reached from here, and that the environment has its credentials, such as"
    " AWS_ACCESS_KEY_ID."
)


def open_store(location: str, *, create: bool = False) -> Store:
    """The store at a location.

    Args:
        location: a directory, or a URL that obstore knows: ``s3://bucket/prefix``, ``gs://…``, ``az://…``.
        create: make the directory where there is none.

    Raises:
        RegistryMissing: there is no such directory.
        RegistryError: the location is no directory, or cannot be opened.
    """
    if not location.strip():
        raise RegistryError("The registry's location is empty. Give a directory, or a URL such as s3://bucket/models.")
    if "://" in location and not location.startswith(_FILE):
        return _bucket(location)
    with translated(location, "open"):
        return _directory(location, create=create)


def _bucket(location: str) -> Store:
    try:
        objects = from_url(location, retry_config={"retry_timeout": _RETRIES_END_AFTER})
    except (BaseError, OSError, ValueError) as error:
        cause = str(error).split("\n", 1)[0]
        raise RegistryError(
            f"The registry's location {location!r} cannot be opened: {cause}. Give a directory, or a URL such as"
            " s3://bucket/models, gs://bucket/models or az://container/models."
        ) from error
    if isinstance(objects, MemoryStore):
        raise RegistryError(
            f"The registry's location {location!r} ends with this process. Give a directory or a bucket."
        )
    return Store(location, lambda: objects, _HINT)


def _directory(location: str, *, create: bool) -> Directory:
    folder = _folder(location)
    if folder.is_symlink() and not folder.exists():
        raise RegistryMissing(
            f"The registry's location {location!r} is a link to nothing. Make what it leads to first."
        )
    if not folder.is_dir() and folder.exists():
        raise RegistryError(f"The registry's location {location!r} is a file. Give a directory.")
    if not folder.is_dir() and not create:
        raise RegistryMissing(f"There is no registry at {location!r}: no such directory. Export a model to it first.")
    return Directory(location, folder, create=create)


def _folder(location: str) -> Path:
    """The directory that a path or a URL names."""
    if location.startswith(_FILE):
        url = urlsplit(location)
        if url.netloc or not url.path:
            raise RegistryError(
                f"The registry's location {location!r} names no directory of this host. Write {_FILE}/path/to/it, or"
                " the path alone."
            )
        return Path(unquote(url.path))
    try:
        return Path(location).expanduser()
    except RuntimeError:
        raise RegistryError(
            f"The registry's location {location!r} begins with the home of a user who is not."
        ) from None
