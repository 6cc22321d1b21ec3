"""The file: who may open it, and which schema it has."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Final

import duckdb

from sardonyx_monitor.log import LOG
from sardonyx_monitor.store.sql import migration, schema

if TYPE_CHECKING:
    from pathlib import Path

#: Raised with each change of schema.sql, with migrations/<version>.sql beside it. A store of an earlier release is
#: brought up to it; one of a later release is refused, never guessed at.
SCHEMA_VERSION: Final = 2
FILE_NAME: Final = "monitor.duckdb"
#: What DuckDB may hold; beyond it goes to disk. Its default is four fifths of the machine.
MEMORY_MAX: Final = "1GiB"
#: Left free: a checkpoint writes what the log holds, 16 MiB by DuckDB's default, a second time, and its blocks whole.
FREE_BYTES_MIN: Final = 64 * 1024 * 1024


class StoreRefused(Exception):
    """The store cannot be used; the message says why and what to do."""


class Database:
    """One DuckDB file. DuckDB lets one process open it, so one monitor owns it.

    Args:
        folder: where the file is; made where it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._connection: duckdb.DuckDBPyConnection | None = None

    def open(self) -> None:
        """Open the file, make the tables where it is new, bring them up to date where an earlier release made them.

        Raises:
            StoreRefused: another process has it, it is no store, or a later release made it.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = duckdb.connect(str(self.path))
            # Times are UTC, whatever the machine's zone is.
            self._connection.execute("set timezone = 'UTC'")
            self._connection.execute(f"set memory_limit = '{MEMORY_MAX}'")
        except (OSError, duckdb.Error) as error:
            raise StoreRefused(_explained(self.path, error)) from error
        try:
            self._prepare(self._connection)
        except BaseException:
            self.close()
            raise

    @property
    def is_full(self) -> bool:
        """Whether the disk has too little room to write: DuckDB does not survive a disk that is full.

        Raises:
            OSError: the file is not there any more. DuckDB does not notice, and what it commits is lost.
        """
        return shutil.disk_usage(self.path).free < FREE_BYTES_MIN

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A connection of its own to the same file, for one thread."""
        if self._connection is None:
            raise RuntimeError("The store is not open. This is a bug.")
        return self._connection.cursor()

    def close(self) -> None:
        """Write everything into the file and let go of it. Safe twice, and before open."""
        if self._connection is not None:
            # Where that fails, what is committed lies in the write-ahead log, and is read at the next start.
            with contextlib.suppress(duckdb.Error):
                self._connection.close()
            self._connection = None

    def _prepare(self, connection: duckdb.DuckDBPyConnection) -> None:
        tables = connection.execute("select count(*) from information_schema.tables").fetchone()
        if tables == (0,):
            connection.begin()
            connection.execute(schema())
            connection.execute("insert into schema_version values ($1)", [SCHEMA_VERSION])
            connection.commit()
            return
        try:
            found = connection.execute("select version from schema_version").fetchone()
        except duckdb.Error:
            found = None
        if found is None or not 0 < found[0] <= SCHEMA_VERSION:
            holds = f"schema version {found[0]}" if found else "no sardonyx store"
            raise StoreRefused(
                f"{self.path} holds {holds}; this monitor reads version {SCHEMA_VERSION}. "
                "Give another --data folder, or run the release that wrote this one."
            )
        if found[0] < SCHEMA_VERSION:
            self._migrate(connection, found[0])

    def _migrate(self, connection: duckdb.DuckDBPyConnection, found: int) -> None:
        """Bring the tables up to date, whole or not at all: the release before can read them no longer."""
        connection.begin()
        try:
            for version in range(found + 1, SCHEMA_VERSION + 1):
                connection.execute(migration(version))
            connection.execute("update schema_version set version = $1", [SCHEMA_VERSION])
            connection.commit()
        except duckdb.Error as error:
            raise StoreRefused(
                f"{self.path} has schema version {found}, and could not be brought to version {SCHEMA_VERSION}: "
                f"{str(error).split(chr(10), 1)[0]}. It is left as it was. Make room on its disk, and start again."
            ) from error
        LOG.info("%s was brought from schema version %d to %d", self.path, found, SCHEMA_VERSION)


def _explained(path: Path, error: Exception) -> str:
    text = str(error).split("\n", 1)[0]
    if "lock" in text.lower():
        return (
            f"{path} is in use by another process: one monitor owns a store. Stop the other one, or give another "
            f"--data folder. ({text})"
        )
    return f"{path} cannot be opened: {text}. Give a --data folder that this user may write to."
