"""Spans written by hand, held to OpenTelemetry's own classes."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sardonyx import __version__, telemetry
from sardonyx.oip.coalesced import Coalesced
from sardonyx.protobuf import varint
from sardonyx_server.telemetry.batch import BatchWriter, Chunk
from sardonyx_server.telemetry.otlp import padded_varints
from sardonyx_server.telemetry.record import Batch, Captured, Outputs, Record, Shadowed, TraceParent, read_parent
from sardonyx_server.telemetry.sampling import Kept, Sampler
from sardonyx_server.telemetry.span_parts import SERVER_ERRORS
from sardonyx_server.telemetry.spans import SpanWriter
from server.spans import ADDRESS, INPUTS, Version, assert_same, attributes_of, expected_attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_server.served import Served

METHODS = (telemetry.SPAN_MODEL_INFER, telemetry.SPAN_MODEL_STREAM_INFER)
CODES = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", *sorted(SERVER_ERRORS))


#: A shared processor may pause any example.
untimed = settings(deadline=None)

# Protobuf's text is UTF-8: lone surrogates cannot come from a caller.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
int64s = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
#: A stage that takes longer than two years does not fit its place.
stages = st.integers(0, 2**56 - 1)
versions = st.builds(Version, names, st.integers(1, 2**63 - 1), st.integers(1, 2**31 - 1))
parents = st.builds(
    TraceParent,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 255),
    st.one_of(st.just(""), texts),
)


def arrays(
    elements: st.SearchStrategy[Any], dtype: Any, width: int, rows: int = 0
) -> st.SearchStrategy[npt.NDArray[Any]]:
    """Arrays of 1 to 12 rows, or of as many as asked for; of one dimension where there is no width."""

    def shaped(values: list[Any]) -> npt.NDArray[Any]:
        flat = np.array(values, dtype=dtype)
        return flat.reshape(-1, width) if width else flat

    step = width or 1
    sizes = st.just(rows * step) if rows else st.integers(1, 12).map(lambda rows: rows * step)
    return sizes.flatmap(lambda size: st.lists(elements, min_size=size, max_size=size).map(shaped))


labels = st.one_of(arrays(texts, object, 0), arrays(int64s, np.int64, 0), arrays(st.booleans(), np.bool_, 0), st.none())
floats = st.floats(width=64)
outputs = st.one_of(
    st.none(),
    st.builds(
        Outputs,
        st.integers(1, telemetry.OUTPUT_ROWS_MAX),
        labels,
        st.one_of(st.none(), arrays(floats, np.float64, 2), arrays(floats, np.float64, 3)),
        st.one_of(
            st.none(),
            arrays(floats, np.float64, 0),
            arrays(st.floats(width=32), np.float32, 0),
            arrays(floats, np.float64, 2),
            arrays(int64s, np.int64, 0),
        ),
    ),
)


def batch_of(rows: int, ids: list[str]) -> Batch:
    """A run under an id of its own: two runs with one id do not occur, and only the first would be written."""
    return Batch(hashlib.blake2b(repr((rows, ids)).encode(), digest_size=8).hexdigest(), rows, ids)


batches = st.builds(batch_of, counts, st.lists(texts, max_size=40))
shadows = st.builds(Shadowed, st.integers(1, 2**31), st.floats(0, 1))
members = st.lists(texts, min_size=1, max_size=5).flatmap(
    lambda ids: st.builds(
        Coalesced,
        st.just(ids),
        st.one_of(st.none(), st.lists(st.integers(1, 2**31), min_size=len(ids), max_size=len(ids))),
    )
)


def captures(rows: int) -> st.SearchStrategy[Captured]:
    """Some rows, in the graph's types."""

    def column(name: str, kind: Any) -> st.SearchStrategy[tuple[str, Any]]:
        elements = {np.float32: st.floats(width=32), np.float64: st.integers(-(2**40), 2**40), object: texts}
        return arrays(elements.get(kind, st.booleans()), kind, 1, rows).map(lambda array: (f"t_{name}", array))

    values = st.tuples(*(column(name, kind) for name, (_, kind) in INPUTS.items())).map(dict)
    return st.builds(Captured, st.just(range(rows)), st.floats(0, 1, exclude_min=True), values)


records = st.builds(
    Record,
    method=st.sampled_from(METHODS),
    model=texts,
    served=cast("st.SearchStrategy[Served | None]", st.one_of(st.none(), versions)),
    route=st.sampled_from(["", "live", "pinned"]),
    code=st.sampled_from(CODES),
    prediction_id=texts,
    rows=counts,
    start_ns=st.integers(0, 2**63),
    duration_ns=st.integers(0, 2**62),
    stages_ns=st.tuples(stages, stages, stages, stages),
    parent=st.one_of(st.none(), parents),
    outputs=outputs,
    members=st.one_of(st.none(), members),
    batch=st.one_of(st.none(), batches),
    caller=st.one_of(st.just(""), names),
    shadowed=st.one_of(st.none(), shadows),
    captured=st.one_of(st.none(), st.integers(1, 3).flatmap(captures)),
)


def write(many: Sequence[Record], ratio: float = 1.0) -> list[Span]:
    """Records as spans, by OpenTelemetry's own classes."""
    return [Span.FromString(span) for span in SpanWriter(ADDRESS).write(Sampler(ratio, slow_s=1e9).keep(many))]


@untimed
@given(records)
def test_a_span_parses_to_the_records_own_values(record: Record) -> None:
    """The bytes of a span, read by OpenTelemetry's classes, hold the record's values and nothing else."""
    (span,) = write([record])
    assert (span.name, span.kind) == (record.method, Span.SPAN_KIND_SERVER)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        record.start_ns,
        record.start_ns + record.duration_ns,
    )
    assert_same(attributes_of(span.attributes), expected_attributes(record))
    assert span.status.code == (Status.STATUS_CODE_ERROR if record.code in SERVER_ERRORS else Status.STATUS_CODE_UNSET)
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    if record.parent is not None and record.parent.flags & 1:
        assert (span.trace_id, span.parent_span_id) == (record.parent.trace_id, record.parent.span_id)
        assert span.trace_state == record.parent.state
        assert span.flags & 0xFF == record.parent.flags
        assert span.flags & 0x300 == 0x300
        assert not span.links
    else:
        assert (span.parent_span_id, span.trace_state, span.flags) == (b"", "", 0x3)
        links = [TraceParent(link.trace_id, link.span_id, link.flags & 0xFF, link.trace_state) for link in span.links]
        assert links == ([record.parent] if record.parent else [])
    # What the classes do not know would be kept aside by them, and come out again.
    known = Span()
    known.CopyFrom(span)
    known.DiscardUnknownFields()
    assert known.ByteSize() == span.ByteSize()


@untimed
@given(st.lists(records, min_size=2, max_size=5))
def test_what_is_written_once_does_not_leak_into_other_spans(many: list[Record]) -> None:
    """A writer that has written other spans writes a span as a fresh one does."""
    used, sampler = SpanWriter(ADDRESS), Sampler(1.0, slow_s=1e9)
    for records in (many, many[::-1], [*many, *many]):
        for record, span in zip(records, used.write(sampler.keep(records)), strict=True):
            assert_same(attributes_of(Span.FromString(span).attributes), expected_attributes(record))


@untimed
@given(records, st.floats(1.0, 1e6))
def test_a_weight_is_said_where_a_span_stands_for_several(record: Record, weight: float) -> None:
    """The weight is written as it is, but for the weight of 1."""
    (written,) = SpanWriter(ADDRESS).write([Kept(record, bytes(16), None, (), "ot=th:c", weight)])
    span = Span.FromString(written)
    found = attributes_of(span.attributes)
    assert found.get(telemetry.WEIGHT, 1.0) == weight
    assert span.trace_state == "ot=th:c"


@untimed
@given(st.lists(stages, min_size=1, max_size=20))
def test_a_padded_varint_is_read_as_the_same_number(values: list[int]) -> None:
    """Integers of 56 bits take eight bytes each, and protobuf reads them."""
    written = padded_varints(np.array(values, dtype=np.uint64)).tobytes()
    assert len(written) == 8 * len(values)
    read_back = [AnyValue.FromString(b"\x18" + written[at : at + 8]).int_value for at in range(0, len(written), 8)]
    assert read_back == values


@untimed
@given(int64s)
def test_a_varint_is_protobufs_own(value: int) -> None:
    """Integers of 64 bits are written as protobuf writes them."""
    want = AnyValue(int_value=value).SerializeToString()
    assert b"\x18" + varint(value) == want


def test_an_environment_that_is_no_text_is_told_as_far_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are not UTF-8, in a name that the environment gives, do not keep a worker from its start."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", os.fsdecode(b"caf\xe9"))
    (resource,) = ExportTraceServiceRequest.FromString(BatchWriter().write((), 0)).resource_spans
    assert attributes_of(resource.resource.attributes)["service.name"] == "caf?"


@untimed
@given(st.lists(records, max_size=4), counts)
def test_a_batch_parses_to_its_spans(many: list[Record], dropped: int) -> None:
    """A batch, read by OpenTelemetry's classes, holds its spans under our resource and scope, and the loss so far."""
    spans = SpanWriter(ADDRESS).write(Sampler(1.0, slow_s=1e9).keep(many)) if many else []
    (resource,) = ExportTraceServiceRequest.FromString(
        BatchWriter().write(map(Chunk.of, spans), dropped)
    ).resource_spans
    about = attributes_of(resource.resource.attributes)
    assert about["service.name"] == telemetry.SERVICE_NAME_SERVER
    assert about["service.version"] == __version__
    assert about["service.instance.id"]
    (scope,) = resource.scope_spans
    assert (scope.scope.name, scope.scope.version) == (telemetry.SCOPE_NAME, __version__)
    assert attributes_of(scope.scope.attributes) == {telemetry.SPANS_DROPPED: dropped}
    assert list(scope.spans) == [Span.FromString(span) for span in spans]


def test_the_resource_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are honoured, as operators expect."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "my-server")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=flights")
    (resource,) = ExportTraceServiceRequest.FromString(BatchWriter().write([], 0)).resource_spans
    about = attributes_of(resource.resource.attributes)
    assert (about["service.name"], about["deployment.environment.name"], about["team"]) == (
        "my-server",
        "test",
        "flights",
    )


def test_every_attribute_has_its_meaning_in_the_vocabulary() -> None:
    """What a span can hold is what the vocabulary explains, but for the attribute of the scope."""
    version = cast("Served", Version("m", 1, 1))
    values = np.array([1.0])
    columns = {f"t_{name}": np.zeros((1, 1), dtype=kind) for name, (_, kind) in INPUTS.items()}
    full = Record(
        METHODS[0],
        code="INTERNAL",
        prediction_id="id",
        rows=1,
        served=version,
        route="shadow",
        outputs=Outputs(1, values, values, values),
        members=Coalesced(["a"], [1]),
        batch=Batch("0" * 16, 1, ["a"]),
        caller="c",
        shadowed=Shadowed(1, 1.0),
        captured=Captured([0], 0.5, columns),
    )
    (written,) = SpanWriter(ADDRESS).write([Kept(full, bytes(16), None, (), "", 2.0)])
    found = {attribute.key for attribute in Span.FromString(written).attributes}
    inputs = {telemetry.INPUT_VALUE_PREFIX + name for name in INPUTS}
    assert inputs < found
    assert found - inputs | {telemetry.INPUT_VALUE_PREFIX + "<name>", telemetry.SPANS_DROPPED} == set(
        telemetry.MEANINGS
    )


def test_a_shared_request_links_to_each_callers_span() -> None:
    """A request of several callers is no child of any: it links to all of their spans, and keeps none twice."""
    callers = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    members = Coalesced(["a", "b", "c"], None, [callers[0], "", callers[1]])
    (span,) = write([Record(METHODS[0], code="OK", prediction_id="message", members=members)])
    assert [int.from_bytes(link.trace_id, "big") for link in span.links] == [1, 2]
    assert span.parent_span_id == b""
    assert int.from_bytes(span.trace_id, "big") > 2


def test_a_run_is_said_whatever_the_lengths_of_its_ids() -> None:
    """Runs are written from a form: no length, count or id is taken for a part of it, per cent signs neither."""
    for number in range(300):
        ids = ["%" * number, "é" * (number // 2), *("%b", "")[: number % 3]]
        batch = Batch(f"{number:016x}", number, ids)
        (span,) = write([Record(METHODS[0], code="OK", batch=batch)])
        found = attributes_of(span.attributes)
        assert found[telemetry.BATCH_ID] == batch.id
        assert found[telemetry.BATCH_ROWS] == number
        assert found[telemetry.BATCH_REQUESTS] == len(ids)
        assert found[telemetry.BATCH_PREDICTION_IDS] == ids


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("metadata", "want"),
    [
        ([("traceparent", f"00-{TRACE}-{PARENT}-01")], (1, "")),
        ([("traceparent", f"00-{TRACE}-{PARENT}-00"), ("tracestate", "a=1")], (0, "a=1")),
        ([("tracestate", "a=1"), ("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "b=2")], (1, "a=1,b=2")),
        # A later version may be longer, and is read by what is known of it.
        ([("traceparent", f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be")], (1, "")),
        ([("traceparent", f"00-{TRACE}-{PARENT}-ff")], (255, "")),
        (None, None),
        ([], None),
        ([("tracestate", "a=1")], None),
        ([("traceparent", "")], None),
        ([("traceparent", b"bytes")], None),
        ([("traceparent", f"ff-{TRACE}-{PARENT}-01")], None),
        ([("traceparent", f"00-{'0' * 32}-{PARENT}-01")], None),
        ([("traceparent", f"00-{TRACE}-{'0' * 16}-01")], None),
        ([("traceparent", f"00-{TRACE.upper()}-{PARENT}-01")], None),
        ([("traceparent", f"00-{TRACE}-{PARENT}-1")], None),
        ([("traceparent", f"00-{TRACE}-{PARENT}-01-more")], None),
        ([("traceparent", f" 00-{TRACE}-{PARENT}-01\n")], None),
    ],
)
def test_the_callers_trace_is_read_by_the_letter(
    metadata: list[tuple[str, str | bytes]] | None, want: tuple[int, str] | None
) -> None:
    """W3C Trace Context: what is well formed is honoured, and what is not is as good as absent."""
    parent = read_parent(metadata)
    if want is None:
        assert parent is None
    else:
        assert parent == TraceParent(bytes.fromhex(TRACE), bytes.fromhex(PARENT), *want)
