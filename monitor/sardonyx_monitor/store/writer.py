"""The one thread that writes. What it says is stored is durable.

Calls that arrive while a commit runs share the next one: a commit waits for the disk once, whatever it holds.
"""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb

from sardonyx.errors import Unavailable
from sardonyx_monitor.log import LOG
from sardonyx_monitor.store.database import FREE_BYTES_MIN
from sardonyx_monitor.store.inserts import Inserts
from sardonyx_monitor.store.rows import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sardonyx_monitor.store.database import Database


#: Calls that may wait for the writer: a call of 512 spans takes it about 15 ms, so the last would wait for 4 s.
JOBS_MAX: Final = 256
#: Calls in one commit: enough to share the waiting for the disk, few enough to keep it short.
GROUP_JOBS_MAX: Final = 32
RETRY_AFTER_S: Final = 0.5
DISK_FULL: Final = f"The monitor's disk has less than {FREE_BYTES_MIN >> 20} MiB free. Make room."
SWEEP_INTERVAL_S: Final = 3600.0
_DAY_NS: Final = 86_400 * 10**9


class _Job(NamedTuple):
    batch: Batch
    done: Future[None]


class Writer:
    """Stores batches, each whole or not at all.

    Args:
        database: the store; open before start.
        keep_days: what is older is deleted, once an hour; 0 keeps everything.
        failed: called from the writer's thread where the store is beyond use until it is opened anew.
    """

    def __init__(self, database: Database, keep_days: float = 0.0, failed: Callable[[], None] | None = None) -> None:
        self._database = database
        self._failed = failed
        self._keep_days = keep_days
        self._jobs: queue.Queue[_Job | None] = queue.Queue(maxsize=JOBS_MAX)
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._closed = False
        #: Spans that came again since the start and were stored already.
        self.repeated = 0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return self._jobs.qsize()

    @property
    def disk_full(self) -> bool:
        """Whether it refuses everything until there is room."""
        return self._database.is_full

    @property
    def alive(self) -> bool:
        """Whether it writes."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def submit(self, batch: Batch) -> Future[None]:
        """Take a batch; the future ends once it is durable. One that is cancelled before its turn is cleared.

        Raises:
            Unavailable: too many wait already, or the monitor is stopping. The same call may succeed later.
        """
        job = _Job(batch, Future())
        # The queue keeps a call that was given up until its turn, and no budget counts that.
        job.done.add_done_callback(lambda done: batch.clear() if done.cancelled() else None)
        if self._closed:
            raise Unavailable("The monitor is stopping. Send the call again once it is back.", RETRY_AFTER_S)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise Unavailable("The monitor's writer is behind. Send the call again later.", RETRY_AFTER_S) from None
        return job.done

    def stop(self) -> None:
        """Write what was taken, then end. Safe twice, and before start."""
        self._closed = True
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        inserts = Inserts(self._database.cursor())
        sweep_at_s = 0.0
        more = True
        while more:
            if self._keep_days and time.monotonic() >= sweep_at_s:
                self._sweep(inserts)
                sweep_at_s = time.monotonic() + SWEEP_INTERVAL_S
            taken, more = self._next_group()
            # From here on a call that its caller gives up cannot be cancelled: half of a group cannot leave a commit.
            group = [job for job in taken if job.done.set_running_or_notify_cancel()]
            if group:
                self._take(inserts, group)
        inserts.close()

    def _take(self, inserts: Inserts, group: Sequence[_Job]) -> None:
        try:
            full = self._database.is_full
        except OSError as error:
            self._give_up(group, error)
            return
        if full:
            _refuse(group, Unavailable(DISK_FULL, RETRY_AFTER_S))
        else:
            self._store(inserts, group)
            self.repeated = inserts.repeated

    def _next_group(self) -> tuple[list[_Job], bool]:
        """The calls that wait, oldest first; False once there will be no more."""
        group: list[_Job] = []
        try:
            job = self._jobs.get(timeout=SWEEP_INTERVAL_S)
            while job is not None:
                group.append(job)
                if len(group) == GROUP_JOBS_MAX:
                    return group, True
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, True
        return group, False

    def _store(self, inserts: Inserts, group: Sequence[_Job]) -> None:
        try:
            inserts.store(Batch.merged(job.batch for job in group))
        except duckdb.FatalException as error:
            self._give_up(group, error)
            return
        except Exception as error:
            if len(group) == 1:
                LOG.exception("a batch could not be stored")
                group[0].done.set_exception(_refusal(error))
                return
            # One of them may be at fault: the others must not share its fate.
            for job in group:
                self._store(inserts, [job])
            return
        for job in group:
            job.done.set_result(None)

    def _give_up(self, group: Sequence[_Job], error: duckdb.Error | OSError) -> None:
        """The file is gone, or DuckDB takes nothing more, and answers nothing more, until another process opens it."""
        LOG.critical("the store failed: %s", str(error).split("\n", 1)[0])
        self._closed = True
        if self._failed is not None:
            self._failed()
        _refuse(group, Unavailable("The monitor's store failed. Send the call again once it is back.", RETRY_AFTER_S))

    def _sweep(self, inserts: Inserts) -> None:
        # However many days are kept, nothing is older than the clock.
        before_ns = int(max(0.0, time.time_ns() - self._keep_days * _DAY_NS))
        try:
            if self._database.is_full:
                LOG.warning("old data is not deleted: that needs room too. %s", DISK_FULL)
                return
            inserts.sweep(before_ns)
        except (OSError, duckdb.FatalException) as error:
            self._give_up([], error)
        except duckdb.Error:
            LOG.exception("old data could not be deleted; the next attempt is in an hour")


def _refuse(group: Sequence[_Job], error: Unavailable) -> None:
    for job in group:
        job.done.set_exception(error)


def _refusal(error: Exception) -> Exception:
    """What the caller is told: a full disk or memory may pass, a bug does not."""
    if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException | duckdb.TransactionException):
        return Unavailable("The monitor's store cannot take data now. Its log says why.", RETRY_AFTER_S)
    return error
