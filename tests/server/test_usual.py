"""Usual predictions are kept as rows of tables, and are counted, logged and written as their records would be."""

from __future__ import annotations

import copy
import dataclasses
import logging
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from sardonyx import telemetry
from sardonyx.oip.coalesced import Coalesced
from sardonyx_server.telemetry import usual as usual_module
from sardonyx_server.telemetry.metrics.counting import Metrics
from sardonyx_server.telemetry.record import Batch, Captured, Outputs, Record, Shadowed, TraceParent
from sardonyx_server.telemetry.requestlog import RequestLog
from sardonyx_server.telemetry.sampling import Sampler
from sardonyx_server.telemetry.spans import SpanWriter
from sardonyx_server.telemetry.usual import IDLE_NS, ROW_BYTES_MAX, TABLE_ROWS, TABLES_MAX, Tables, Usual
from sardonyx_server.telemetry.usual_spans import UsualSpanWriter
from server.scene import PATIENCE_S
from server.spans import ADDRESS, Version, assert_same, attributes_of, expected_attributes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.batch import Chunk

VERSION: Final = cast("Served", Version("delays", 3, 1))
untimed = settings(deadline=None)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FLOATS = st.floats()


def outputs_of(label: Any = None, probabilities: Any = None, values: Any = None, dtype: Any = np.float64) -> Outputs:
    """An answer of one row."""
    labels = None if label is None else np.array([label], object if isinstance(label, str) else None)
    return Outputs(
        1,
        labels,
        None if probabilities is None else np.array([probabilities], dtype),
        None if values is None else np.array([values], dtype),
    )


def record_of(prediction_id: str = "a", outputs: Outputs | None = None, **fields: Any) -> Record:
    """A usual prediction."""
    usual: dict[str, Any] = {"model": VERSION.model, "served": VERSION, "route": "live", "code": "OK", "rows": 1}
    outputs = outputs or outputs_of(1, [0.25, 0.75])
    return Record(
        telemetry.SPAN_MODEL_INFER, prediction_id=prediction_id, outputs=outputs, **cast("Any", usual | fields)
    )


ANSWERS: Final = st.one_of(
    st.builds(outputs_of, st.sampled_from(["on time", "late", "日本"]), st.tuples(FLOATS, FLOATS, FLOATS)),
    st.builds(outputs_of, st.integers(-3, 3), st.tuples(st.floats(width=32)), dtype=st.just(np.float32)),
    st.builds(outputs_of, st.booleans()),
    st.builds(outputs_of, values=FLOATS),
    st.builds(outputs_of, values=st.tuples(FLOATS, FLOATS)),
)
TIMES: Final = st.integers(0, 2**50)
RUNS: Final = [
    Batch.of(2, ["a", "b"]),
    Batch.of(2, ["c", "d"]),
    Batch.of(3, ["a", "é-1"]),
    Batch.of(90, [f"{number}" for number in range(80)]),
]
RECORDS: Final = st.builds(
    record_of,
    TEXTS,
    ANSWERS,
    route=st.sampled_from(["live", "canary"]),
    caller=st.sampled_from(["", "checkout"]),
    start_ns=st.integers(0, 2**62),
    duration_ns=TIMES,
    stages_ns=st.tuples(TIMES, TIMES, TIMES, TIMES),
    batch=st.one_of(st.none(), st.sampled_from(RUNS)),
)


def of_one_answer(records: list[Record]) -> list[Record]:
    """Of a version, all answers have the same outputs: as the first one's."""
    shapes = [_shape(record) for record in records]
    return [record for record, shape in zip(records, shapes, strict=True) if shape == shapes[0]]


def _shape(record: Record) -> list[object]:
    assert record.outputs is not None
    _, *arrays = record.outputs
    return [None if array is None else (array.dtype, array.shape) for array in arrays]


def tabled(records: Iterable[Record]) -> list[Usual]:
    """Records in tables."""
    tables = Tables()
    for record in records:
        assert tables.add(record)
    return tables.take()


def spans_of(chunk: Chunk) -> Sequence[Span]:
    """Spans, by OpenTelemetry's own classes."""
    return ScopeSpans.FromString(chunk.data).spans


def write(usual: Usual, sampler: Sampler) -> list[Span]:
    """The spans of usual predictions."""
    writer = UsualSpanWriter(ADDRESS)
    return [
        span
        for kept in sampler.keep_rows(usual.rows["duration_ns"])
        for chunk in writer.write(usual, kept)
        for span in spans_of(chunk)
    ]


@untimed
@given(st.lists(RECORDS, min_size=1, max_size=20).map(of_one_answer))
def test_spans_are_those_of_the_records(records: list[Record]) -> None:
    """Each prediction has one span, with all that its record says and nothing else, in a trace of its own."""
    spans = [span for usual in tabled(records) for span in write(usual, Sampler(1.0, slow_s=1e9))]
    assert len({span.trace_id for span in spans}) == len({span.span_id for span in spans}) == len(records)
    assert all((len(span.trace_id), len(span.span_id), span.flags) == (16, 8, 0x3) for span in spans)
    by_record = [Span.FromString(span) for span in SpanWriter(ADDRESS).write(Sampler(1.0, slow_s=1e9).keep(records))]
    assert sorted(map(_comparable, spans)) == sorted(map(_comparable, by_record))


def _comparable(span: Span) -> str:
    """All of a span but its ids, attributes by name; NaN as text equals NaN."""
    plain = Span()
    plain.CopyFrom(span)
    del plain.attributes[:]
    plain.trace_id = plain.span_id = b""
    return f"{plain.SerializeToString().hex()} {sorted(map(str, span.attributes))}"


def test_a_span_holds_what_the_vocabulary_asks() -> None:
    """Read by OpenTelemetry's classes, the attributes are the record's, each in its type."""
    record = record_of("é-1", caller="checkout", start_ns=5, duration_ns=7, stages_ns=(1, 2, 3, 4))
    (usual,) = tabled([record])
    (span,) = write(usual, Sampler(1.0, slow_s=1e9))
    assert_same(attributes_of(span.attributes), expected_attributes(record))
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (5, 12)


PARENT: Final = TraceParent(bytes(16), bytes(8), 1, "")


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": 2},
        {"code": "INTERNAL"},
        {"served": None},
        {"outputs": None},
        {"parent": PARENT},
        {"members": Coalesced(["a"])},
        {"shadowed": Shadowed(1, 1.0)},
        {"captured": Captured([0], 1.0, {})},
        {"outputs": outputs_of(values=1, dtype=np.int64)},
        {"prediction_id": "𐍈" * 60},
        {"outputs": outputs_of(1, [0.01] * 100)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_is_not_usual_keeps_its_record(changed: dict[str, Any]) -> None:
    """Whatever a row cannot hold is no row."""
    tables = Tables()
    assert not tables.add(dataclasses.replace(record_of(), **changed))
    assert tables.take() == []


@given(st.lists(st.integers(0, TABLE_ROWS), max_size=8))
def test_rows_are_taken_once_and_in_their_order(added: list[int]) -> None:
    """However many come between two looks, each is taken once; what finds no room is told at once."""
    tables, taken, expected = Tables(), list[str](), list[str]()
    number = 0
    for count in added:
        for _ in range(count):
            assert tables.add(record_of(f"{number:09}"))
            expected.append(f"{number:09}")
            number += 1
        if count == TABLE_ROWS:
            assert not tables.add(record_of("too-many!"))
        taken += [id_.tobytes().decode() for usual in tables.take() for id_ in usual.rows["id"]]
    assert taken == expected


def test_a_thread_takes_what_another_adds() -> None:
    """Nothing is lost, doubled or torn between the two: the numbers of each row belong together."""
    tables, count, refused = Tables(), 20_000, 0
    taken: list[int] = []
    done = threading.Event()

    def take() -> None:
        ending = False
        while not ending:
            ending = done.is_set()
            for usual in tables.take():
                starts = usual.rows["start_ns"]
                assert (usual.rows["duration_ns"] == starts).all()
                assert (usual.rows["stages_ns"] == starts[:, None]).all()
                assert [int(id_.tobytes()) for id_ in usual.rows["id"]] == starts.tolist()
                assert [batch.rows for batch in usual.batches if batch] == starts.tolist()
                taken.extend(starts.tolist())

    taker = threading.Thread(target=take)
    taker.start()
    added = []
    for number in range(count):
        batch = Batch("a", number, [])
        record = record_of(f"{number:09}", start_ns=number, duration_ns=number, stages_ns=(number,) * 4, batch=batch)
        if tables.add(record):
            added.append(number)
        else:
            refused += 1
    done.set()
    taker.join(PATIENCE_S)
    assert not taker.is_alive()
    assert taken == added
    assert len(added) + refused == count


def test_tables_make_room_when_they_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are never more than TABLES_MAX; one that nothing came to for long gives its place to another kind."""
    monkeypatch.setattr(usual_module, "TABLE_ROWS", 4)
    tables = Tables()
    for number in range(TABLES_MAX):
        assert tables.add(record_of(caller=f"caller{number}", start_ns=1))
    assert not tables.add(record_of(caller="late", start_ns=2))
    # Long afterwards, but nobody has taken what they hold.
    assert not tables.add(record_of(caller="late", start_ns=3 * IDLE_NS))
    assert len(tables.take()) == TABLES_MAX
    assert tables.add(record_of(caller="late", start_ns=5 * IDLE_NS))
    assert [usual.kind.caller for usual in tables.take()] == ["late"]


def test_tables_take_little_memory() -> None:
    """Whatever ids callers give, and however many numbers models answer, all tables together have a few megabytes."""
    tables = Tables()
    for length in range(1, 1024):
        tables.add(record_of("x" * length))
        tables.add(record_of("x", outputs_of(1, [0.5] * length), caller=f"of {length}"))
    assert all(table._size <= ROW_BYTES_MAX for table in tables._tables.values())
    sizes = [len(table._buffer) for table in tables._tables.values()]
    assert len(sizes) == TABLES_MAX
    assert sum(sizes) <= 8 << 20


def test_a_table_lets_go_of_the_runs_that_were_taken() -> None:
    """A shared run holds the ids of all its requests: once its rows were taken, no table keeps it."""

    class Kept(str):
        __slots__ = ("__weakref__",)

    tables, kept = Tables(), Kept("a")
    gone = weakref.ref(kept)
    assert tables.add(record_of(batch=Batch("a", 2, [kept, "b"])))
    (usual,) = tables.take()
    del kept, usual
    assert gone() is None


def test_a_table_holds_no_more_labels_than_a_byte() -> None:
    """A label beyond is kept as a record; those that are known go on."""
    tables = Tables()
    for number in range(300):
        assert tables.add(record_of(outputs=outputs_of(number))) == (number < 256)
        if number % 100 == 0:
            tables.take()
    assert tables.add(record_of(outputs=outputs_of(7)))


@untimed
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=200),
    st.sampled_from([1.0, 0.5, 0.01, 1e-9]),
)
def test_spans_are_drawn_by_the_samplers_rule(seconds: list[int], ratio: float) -> None:
    """Slow ones are certain; others are kept where their trace's randomness reaches the threshold, with its weight."""
    records = [record_of(f"{index:04}", duration_ns=int(s * 1e9)) for index, s in enumerate(seconds)]
    (usual,) = tabled(records)
    spans = write(usual, Sampler(ratio, slow_s=2.0))
    ids = [attributes_of(span.attributes)[telemetry.PREDICTION_ID] for span in spans]
    assert len(set(ids)) == len(ids)
    slow = [record.prediction_id for record in records if record.duration_ns >= 2e9]
    assert set(slow) <= set(ids)
    if ratio == 1.0:
        assert len(ids) == len(records)
        return
    threshold = min(round((1 - ratio) * 2**56), 2**56 - 1)
    for span in spans:
        attributes = attributes_of(span.attributes)
        if attributes[telemetry.PREDICTION_ID] in slow:
            assert span.trace_state == "ot=th:0"
            assert telemetry.WEIGHT not in attributes
        else:
            assert int.from_bytes(span.trace_id[-7:], "big") >= threshold
            assert attributes[telemetry.WEIGHT] == pytest.approx(2**56 / (2**56 - threshold))
            assert span.trace_state.startswith("ot=th:")


def test_as_many_are_drawn_as_were_asked_for() -> None:
    """A quarter of 25,600 is kept, within six standard deviations."""
    sampler, kept = Sampler(0.25, slow_s=1e9), 0
    (usual,) = tabled(record_of(f"{number:04}") for number in range(TABLE_ROWS))
    for _ in range(100):
        kept += sum(len(each.places) for each in sampler.keep_rows(usual.rows["duration_ns"]))
    expected = 25 * TABLE_ROWS
    assert abs(kept - expected) < 6 * (expected * 0.75) ** 0.5


@untimed
@given(st.lists(RECORDS, min_size=1, max_size=20).map(of_one_answer))
def test_they_count_as_their_records_do(records: list[Record]) -> None:
    """Counts and buckets are equal; sums of times are, but for the order of their additions."""
    by_record, by_row = Metrics({VERSION.model}), Metrics({VERSION.model})
    # Each has runs of its own: a run that is counted is counted.
    by_record.take(copy.deepcopy(records), missed=0)
    for usual in tabled(copy.deepcopy(records)):
        by_row.take_usual(usual)
    expected, found = by_record.take_counted(), by_row.take_counted()
    assert found.numbers == expected.numbers
    assert found.distributions.keys() == expected.distributions.keys()
    for name, distributions in expected.distributions.items():
        assert found.distributions[name].keys() == distributions.keys()
        for labels, each in distributions.items():
            assert found.distributions[name][labels].counts == each.counts
            assert found.distributions[name][labels].total == pytest.approx(each.total)


def test_they_are_logged_as_their_records_are(caplog: pytest.LogCaptureFixture) -> None:
    """A line says the same whichever way it came."""
    record = record_of("é-1", caller="checkout", duration_ns=1_234_567)
    log = RequestLog()
    with caplog.at_level(logging.INFO):
        log.take([record], missed=0)
        for usual in tabled([record]):
            log.take_usual(usual)
    by_record, by_row = (cast("Any", line).fields for line in caplog.records)
    assert by_row == by_record
    assert by_row["ms"] == 1.235
