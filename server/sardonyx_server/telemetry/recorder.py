"""Takes a record of each prediction from the event loop, and gives it to whoever wants it from a thread of its own."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from sardonyx_server.log import LOG
from sardonyx_server.telemetry.usual import TABLE_ROWS, Tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sardonyx_server.telemetry.capture import Capture
    from sardonyx_server.telemetry.record import Record
    from sardonyx_server.telemetry.usual import Usual

#: What may wait: the thread falls behind only where the machine stands still. A record of one row takes 1 kB.
RECORDS_MAX: Final = 65_536
#: Rows of output that may wait: an answer of 1,024 rows with two probabilities takes about 30 kB.
ROWS_MAX: Final = 1_048_576

#: How long records wait for company. The thread looks by itself: to be woken would cost the event loop 5 µs a time. At
#: 7,000 requests a second it finds 140 of them, 200 kB; with the 500 kB of 50 ms they push the requests' own memory out
#: of the caches, which cost each request 4 µs more.
INTERVAL_S: Final = 0.02
#: Records of one row that are looked at together, 1 µs each. One alone took 5, and its caller waited for that: gRPC
#: sends an answer when the event loop has nothing else to do.
ENDED_MAX: Final = 32
#: Rows of usual predictions wait where the next ones come to, and cost nothing meanwhile: so many looks at most.
LOOKS_MAX: Final = 5
#: The thread holds the interpreter's lock for one slice at a time, about 0.3 ms, and then lets requests pass. Without
#: slices, a request waits for the lock up to 5 ms (sys.getswitchinterval).
SLICE_RECORDS: Final = 64
SLICE_ROWS: Final = 2048
PAUSE_S: Final = 0.0002


class Taker(Protocol):
    """Somebody who wants every prediction."""

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Take records, in the order in which their requests ended; never on the event loop.

        Args:
            records: at most SLICE_RECORDS.
            missed: how many were lost before them, since the last call.
        """

    def take_usual(self, usual: Usual) -> None:
        """Take usual predictions, which have no records; never on the event loop."""


class Recorder:
    """Takes records, whatever becomes of them: a request never waits for telemetry.

    Args:
        capture: takes input rows from what was asked.
        takers: who wants the records.
        later: calls what it is given after so many seconds, in the same thread, as an event loop's ``call_later`` does;
            by default at once.
    """

    def __init__(
        self,
        capture: Capture,
        takers: Sequence[Taker],
        later: Callable[[float, Callable[[], None]], object] = lambda _seconds, work: work(),
    ) -> None:
        self._capture = capture
        self._takers = takers
        self._later = later
        #: Those that were not looked at yet, and whether that is to happen by itself.
        self._ended: list[Record] = []
        self._due = False
        self._tables = Tables()
        self._records: deque[Record] = deque()
        # Each counter has one writer, the event loop or the thread: then plain integers need no lock.
        self.refused = 0
        self._refused_told = 0
        self._rows_in = 0
        self._rows_out = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Begin to hand records on."""
        self._thread.start()

    def record(self, record: Record) -> None:
        """Take a record, on the event loop; where there is no room it is lost, and counted.

        It is looked at with the next ones: that takes a third of the time, and most requests wait for none of it.
        """
        self._ended.append(record)
        if record.rows != 1 or len(self._ended) >= ENDED_MAX:
            # What more rows were asked with may be large, and is let go.
            self.settle()
        elif not self._due:
            self._due = True
            self._later(INTERVAL_S, self._be_due)

    def _be_due(self) -> None:
        self._due = False
        self.settle()

    def settle(self) -> None:
        """Look at what has ended so far, on the event loop."""
        now_s = time.perf_counter()
        ended, self._ended = self._ended, []
        for record in ended:
            self._keep(record, now_s)

    def _keep(self, record: Record, now_s: float) -> None:
        """Keep what is wanted of a record. What was asked is let go but for captured rows: it may be large."""
        if record.feed is not None:
            record.captured = self._capture.take(record.feed, record.rows, now_s)
            record.feed = None
        if self._tables.add(record):
            return
        if len(self._records) >= RECORDS_MAX or self._rows_in - self._rows_out >= ROWS_MAX:
            self.refused += 1
            return
        self._rows_in += _kept_rows(record)
        self._records.append(record)

    def stop(self, timeout_s: float) -> None:
        """Hand on what waits, for so long at most."""
        if self._thread.is_alive():
            self._ending.set()
            self._thread.join(timeout_s)

    def _run(self) -> None:
        ending, looks = False, 0
        while not ending:
            ending = self._ending.wait(INTERVAL_S)
            looks += 1
            patient = looks % LOOKS_MAX and not ending
            for usual in self._tables.take(TABLE_ROWS // 2 if patient else 1):
                self._hand_on_usual(usual)
            # Only those that have come until now: what comes meanwhile waits for company, one at a time each would cost
            # as much as a whole slice.
            left = len(self._records)
            while left > 0 or self.refused > self._refused_told:
                records = self._next_slice()
                left -= len(records)
                self._hand_on(records)

    def _next_slice(self) -> list[Record]:
        """The oldest records, up to the limits."""
        records: list[Record] = []
        rows = 0
        while self._records and len(records) < SLICE_RECORDS and rows < SLICE_ROWS:
            record = self._records.popleft()
            rows += _kept_rows(record)
            records.append(record)
        self._rows_out += rows
        return records

    def _hand_on(self, records: Sequence[Record]) -> None:
        missed = self.refused - self._refused_told
        self._refused_told += missed
        self._tell(lambda taker: taker.take(records, missed), len(records))

    def _hand_on_usual(self, usual: Usual) -> None:
        self._tell(lambda taker: taker.take_usual(usual), len(usual.rows))

    def _tell(self, tell: Callable[[Taker], None], count: int) -> None:
        """Tell every taker, and let requests pass."""
        for taker in self._takers:
            try:
                tell(taker)
            except Exception:
                # Telemetry must outlive its own bugs, and one taker those of another.
                LOG.exception("telemetry: %d records were lost", count)
        if not self._ending.is_set():
            # Not sleep(0): the lock would be taken again before a waiting request has woken up.
            time.sleep(PAUSE_S)


def _kept_rows(record: Record) -> int:
    return record.outputs.rows if record.outputs else 0
