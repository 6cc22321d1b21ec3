"""The writer: what it says is stored, and whom it outlives."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from sardonyx.errors import Unavailable
from sardonyx_monitor.store.database import FILE_NAME, Database
from sardonyx_monitor.store.rows import Batch, SenderRow
from sardonyx_monitor.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """An empty store."""
    database = Database(tmp_path)
    database.open()
    yield database
    database.close()


def test_a_full_disk_is_refused_until_there_is_room(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room every call is Unavailable, nothing is written, and it goes on by itself once there is room."""
    writer = Writer(database)
    writer.start()
    with monkeypatch.context() as patch:
        patch.setattr("sardonyx_monitor.store.database.FREE_BYTES_MIN", 1 << 62)
        assert writer.disk_full
        with pytest.raises(Unavailable, match="Make room"):
            writer.submit(_batch("refused")).result(timeout=30)
    writer.submit(_batch("taken")).result(timeout=30)
    writer.stop()
    assert database.cursor().execute("select instance from senders").fetchall() == [("taken",)]


@pytest.mark.parametrize("gone", [".", FILE_NAME])
def test_a_store_that_was_removed_is_given_up(database: Database, gone: str) -> None:
    """Where the folder or the file is gone calls are refused, and its owner hears of it: what is committed is lost."""
    failed = threading.Event()
    writer = Writer(database, failed=failed.set)
    writer.start()
    writer.submit(_batch("kept")).result(timeout=30)
    removed = database.path.parent / gone
    removed.rename(removed.with_name("elsewhere"))
    with pytest.raises(Unavailable, match="store failed"):
        writer.submit(_batch("lost")).result(timeout=30)
    assert failed.wait(30)
    writer.stop()


@pytest.mark.parametrize("days", [1e6, 1e300])
def test_whoever_keeps_data_for_ages_keeps_it(
    database: Database, days: float, caplog: pytest.LogCaptureFixture
) -> None:
    """Beyond what times can say nothing is deleted, nothing fails, and what comes is stored."""
    writer = Writer(database, keep_days=days)
    writer.start()
    writer.submit(_batch("kept")).result(timeout=30)
    writer.stop()
    assert database.cursor().execute("select instance from senders").fetchall() == [("kept",)]
    assert not caplog.records


def _batch(instance: str) -> Batch:
    return Batch(senders=[SenderRow(instance, "service", "host", 0, 1)])


def test_a_caller_that_gives_up_does_not_end_the_writer(database: Database) -> None:
    """Whenever a call is cancelled, before, in or after its commit, later calls are stored."""
    writer = Writer(database)
    early = writer.submit(_batch("early"))
    assert early.cancel()
    writer.start()
    given_up = [writer.submit(_batch(f"caller {number}")) for number in range(100)]
    for future in given_up:
        future.cancel()
    writer.submit(_batch("last")).result(timeout=30)
    assert writer.alive
    writer.stop()
    stored = {row[0] for row in database.cursor().execute("select instance from senders").fetchall()}
    assert "last" in stored
    assert "early" not in stored
    assert {f"caller {number}" for number, future in enumerate(given_up) if not future.cancelled()} <= stored
