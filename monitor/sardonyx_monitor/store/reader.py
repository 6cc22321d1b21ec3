"""Reads: a few threads, each with a connection of its own, beside the writer."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import duckdb

from sardonyx.errors import Unavailable
from sardonyx_monitor.store.sql import statement, used

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sardonyx_monitor.store.database import Database

P = ParamSpec("P")
T = TypeVar("T")

#: DuckDB uses all processors for one query: more threads would only wait for each other.
THREADS: Final = 2
#: Pages that may wait for their numbers. A query takes 5 to 100 ms at a million requests.
WAITING_MAX: Final = 64


class Query:
    """A connection that runs statements by name.

    Args:
        connection: of the thread that asks.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, name: str, parameters: dict[str, Any] | None = None, **switches: bool) -> list[dict[str, Any]]:
        """A statement's rows as dicts by column."""
        result = self._execute(name, parameters, switches)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def row(self, name: str, parameters: dict[str, Any] | None = None, **switches: bool) -> dict[str, Any]:
        """The one row of a statement that always has one."""
        return self.rows(name, parameters, **switches)[0]

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read within is of one moment: the numbers of a page agree while more is being written."""
        self._connection.begin()
        try:
            yield
        finally:
            # There is nothing to commit, and an error may have ended the transaction already.
            with suppress(duckdb.TransactionException):
                self._connection.rollback()

    def _execute(
        self, name: str, parameters: dict[str, Any] | None, switches: dict[str, bool]
    ) -> duckdb.DuckDBPyConnection:
        text = statement(name, **switches)
        return self._connection.execute(text, used(text, parameters or {}))


class Reader:
    """Runs reads off the event loop.

    Args:
        database: the store; open before the first read.
        threads: how many reads run at once.
    """

    def __init__(self, database: Database, threads: int = THREADS) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reader")
        self._local = threading.local()
        self._queries: list[Query] = []
        self._waiting = 0

    async def run(self, read: Callable[Concatenate[Query, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a read returns, given a Query of its thread; all that it reads is of one moment.

        Raises:
            Unavailable: too many wait already.
        """
        if self._waiting >= WAITING_MAX:
            raise Unavailable("Too many pages wait for the store. Load this one again.", 1.0)
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, lambda: self._read(read, *args, **kwargs))
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """Finish what runs. Safe twice."""
        self._pool.shutdown()
        while self._queries:
            self._queries.pop().close()

    def _read(self, read: Callable[Concatenate[Query, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        query = self._query()
        with query.snapshot():
            return read(query, *args, **kwargs)

    def _query(self) -> Query:
        if not hasattr(self._local, "query"):
            self._local.query = Query(self._database.cursor())
            self._queries.append(self._local.query)
        query: Query = self._local.query
        return query
