"""Records reach everyone who wants them, in order, and a request never waits for that."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from sardonyx import telemetry
from sardonyx_server.telemetry import recorder as recorder_module
from sardonyx_server.telemetry.capture import Capture
from sardonyx_server.telemetry.record import Outputs, Record
from sardonyx_server.telemetry.recorder import ENDED_MAX, SLICE_RECORDS, SLICE_ROWS, Recorder
from sardonyx_server.telemetry.usual import TABLE_ROWS
from server.scene import PATIENCE_S, wait_until
from server.spans import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.usual import Usual


class Taken:
    """Takes records, and notes how."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.ids: list[str] = []
        self.sizes: list[int] = []
        self.missed = 0
        self.threads: set[int] = set()

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Note them."""
        self.records += records
        self.sizes.append(len(records))
        self.missed += missed
        self.threads.add(threading.get_ident())

    def take_usual(self, usual: Usual) -> None:
        """Note their ids."""
        self.ids += [written_id.tobytes().decode() for written_id in usual.rows["id"]]
        self.threads.add(threading.get_ident())


class Broken:
    """Takes nothing."""

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Fail."""
        raise ValueError(f"broken: {len(records)} records after {missed} others")

    def take_usual(self, usual: Usual) -> None:
        """Fail."""
        raise ValueError(f"broken: {len(usual.rows)} predictions")


def record_of(rows: int = 0) -> Record:
    """A record with so many rows of output."""
    outputs = Outputs(rows, None, None, np.zeros(rows)) if rows else None
    return Record(telemetry.SPAN_MODEL_INFER, code="OK", rows=1, outputs=outputs)


def usual_of(number: int) -> Record:
    """A record of a usual prediction."""
    served = cast("Served", Version("delays", 3, 1))
    outputs = Outputs(1, None, None, np.zeros(1))
    return Record(telemetry.SPAN_MODEL_INFER, "delays", served, "live", "OK", f"{number:06}", 1, outputs=outputs)


def stop(recorder: Recorder) -> None:
    """Stop it; fails the test where its thread goes on."""
    recorder.stop(PATIENCE_S)
    assert not recorder._thread.is_alive()


def test_records_are_handed_on_in_order_and_in_slices_by_another_thread() -> None:
    """Each record comes once, in its order, in slices that are short, and never on the thread that left it."""
    taken, records = Taken(), [record_of() for _ in range(5 * SLICE_RECORDS + 3)]
    recorder = Recorder(Capture(0.0), [taken])
    recorder.start()
    for record in records:
        recorder.record(record)
    wait_until(lambda: len(taken.records) == len(records), "all are taken")
    assert all(one is another for one, another in zip(taken.records, records, strict=True))
    assert max(taken.sizes) <= SLICE_RECORDS
    assert threading.get_ident() not in taken.threads
    stop(recorder)


def test_the_end_hands_on_what_waits() -> None:
    """What was recorded just before stop() is taken before it returns."""
    taken = Taken()
    recorder = Recorder(Capture(0.0), [taken])
    recorder.start()
    for _ in range(1000):
        recorder.record(record_of())
    stop(recorder)
    assert len(taken.records) == 1000


def test_large_answers_make_short_slices() -> None:
    """A slice holds few records where they have many rows: its length in time is what is bounded."""
    taken, rows = Taken(), telemetry.OUTPUT_ROWS_MAX
    recorder = Recorder(Capture(0.0), [taken])
    for _ in range(20):
        recorder.record(record_of(rows))
    recorder.start()
    stop(recorder)
    assert max(taken.sizes) <= SLICE_ROWS // rows
    assert recorder._rows_in == recorder._rows_out == 20 * rows


@pytest.mark.parametrize(
    ("rows", "fits"),
    [
        (0, recorder_module.RECORDS_MAX),
        (telemetry.OUTPUT_ROWS_MAX, recorder_module.ROWS_MAX // telemetry.OUTPUT_ROWS_MAX),
    ],
)
def test_where_there_is_no_room_records_are_refused_and_counted(rows: int, fits: int) -> None:
    """Records beyond the room, by their number or by their rows, take no memory, and everyone learns how many."""
    taken, record = Taken(), record_of(rows)
    recorder = Recorder(Capture(0.0), [taken])
    for _ in range(fits + 3):
        recorder.record(record)
    recorder.start()
    stop(recorder)
    assert (len(taken.records), taken.missed) == (fits, 3)


def test_one_that_fails_does_not_harm_the_others() -> None:
    """A taker that raises loses its own records; the next one gets all of them, and those after them too."""
    taken = Taken()
    recorder = Recorder(Capture(0.0), [Broken(), taken])
    recorder.start()
    for number in range(3 * SLICE_RECORDS):
        recorder.record(record_of())
        recorder.record(usual_of(number))
    stop(recorder)
    assert len(taken.records) == len(taken.ids) == 3 * SLICE_RECORDS


def test_usual_predictions_are_handed_on_by_another_thread_and_at_the_end() -> None:
    """Each comes once and in its order, as a row; where a table is full, as a record."""
    taken, count = Taken(), TABLE_ROWS + 10
    recorder = Recorder(Capture(0.0), [taken])
    for number in range(count):
        recorder.record(usual_of(number))
    recorder.start()
    wait_until(lambda: len(taken.ids) == TABLE_ROWS, "all rows are taken")
    recorder.record(usual_of(count))
    stop(recorder)
    assert taken.ids == [f"{number:06}" for number in (*range(TABLE_ROWS), count)]
    assert [record.prediction_id for record in taken.records] == [f"{number:06}" for number in range(TABLE_ROWS, count)]
    assert threading.get_ident() not in taken.threads


def test_one_row_waits_for_company_and_more_rows_do_not() -> None:
    """Predictions of one row are looked at after so many, or after a while, or when all is to be settled, in order."""
    waits: list[Callable[[], None]] = []
    taken = Taken()
    recorder = Recorder(Capture(0.0), [taken], lambda seconds, work: waits.append(work) if seconds > 0 else None)

    def kept() -> int:
        return sum(table.waiting for table in recorder._tables._tables.values()) + len(recorder._records)

    for number in range(ENDED_MAX - 1):
        recorder.record(usual_of(number))
    assert (kept(), len(waits)) == (0, 1)
    recorder.record(usual_of(ENDED_MAX - 1))
    assert kept() == ENDED_MAX
    recorder.record(usual_of(ENDED_MAX))
    assert (kept(), len(waits)) == (ENDED_MAX, 1)
    waits[0]()
    assert kept() == ENDED_MAX + 1
    recorder.record(usual_of(ENDED_MAX + 1))
    large = Record(telemetry.SPAN_MODEL_INFER, rows=2, feed={"x": np.ones((2, 1))})
    recorder.record(large)
    assert (kept(), large.feed) == (ENDED_MAX + 3, None)
    recorder.record(usual_of(ENDED_MAX + 2))
    recorder.settle()
    recorder.start()
    stop(recorder)
    assert taken.ids == [f"{number:06}" for number in range(ENDED_MAX + 3)]
    assert taken.records == [large]


def test_what_was_asked_is_let_go() -> None:
    """The feed is gone once a record is left, but for captured rows, which are copies."""
    feed = {"x": np.ones((1, 2))}
    recorder = Recorder(Capture(10.0), [])
    record = Record(telemetry.SPAN_MODEL_INFER, rows=1, feed=feed)
    recorder.record(record)
    assert record.feed is None
    assert record.captured is not None
    assert record.captured.values["x"].tolist() == [[1.0, 1.0]]
    recorder = Recorder(Capture(0.0), [])
    record = Record(telemetry.SPAN_MODEL_INFER, rows=1, feed=feed)
    recorder.record(record)
    assert (record.feed, record.captured) == (None, None)
