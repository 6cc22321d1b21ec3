"""Spans written by hand, held to OpenTelemetry's own classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sardonyx import __version__, telemetry
from sardonyx.address import Address
from sardonyx_server.telemetry.batch import BatchWriter
from sardonyx_server.telemetry.otlp import SERVER_ERRORS, SpanWriter, varint
from sardonyx_server.telemetry.record import Outputs, Record, TraceParent, read_parent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx_server.served import Served

ADDRESS = Address("127.0.0.1", 8001)
CODES = ("OK", "INVALID_ARGUMENT", "NOT_FOUND", "CANCELLED", *sorted(SERVER_ERRORS))


@dataclass(frozen=True)
class Version:
    """What a span says of a served version."""

    model: str
    version: int
    major: int


#: A shared processor may pause any example.
untimed = settings(deadline=None)

# Protobuf's text is UTF-8: lone surrogates cannot come from a caller.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
int64s = st.integers(-(2**63), 2**63 - 1)
counts = st.integers(0, 2**63 - 1)
versions = st.builds(Version, names, st.integers(1, 2**63 - 1), st.integers(1, 2**31 - 1))
parents = st.builds(
    TraceParent,
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 255),
    st.one_of(st.just(""), texts),
)


def arrays(elements: st.SearchStrategy[Any], dtype: Any, width: int) -> st.SearchStrategy[npt.NDArray[Any]]:
    """Arrays of 1 to 12 rows; of one dimension where there is no width."""

    def shaped(values: list[Any]) -> npt.NDArray[Any]:
        flat = np.array(values, dtype=dtype)
        return flat.reshape(-1, width) if width else flat

    step = width or 1
    sizes = st.integers(1, 12).map(lambda rows: rows * step)
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
records = st.builds(
    Record,
    model=texts,
    served=cast("st.SearchStrategy[Served | None]", st.one_of(st.none(), versions)),
    route=st.sampled_from(["", "live", "pinned"]),
    code=st.sampled_from(CODES),
    prediction_id=texts,
    rows=counts,
    start_ns=st.integers(0, 2**63),
    duration_ns=st.integers(0, 2**62),
    stages_ns=st.tuples(counts, counts, counts, counts),
    parent=st.one_of(st.none(), parents),
    outputs=outputs,
)


def read(value: AnyValue) -> object:
    """The value's own type and value."""
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [read(element) for element in value.array_value.values]
    return getattr(value, kind)


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes by name; a name that comes twice is against OTLP."""
    found: dict[str, object] = {}
    for pair in pairs:
        assert pair.key not in found, f"{pair.key} twice"
        found[pair.key] = read(pair.value)
    return found


def expected_attributes(record: Record) -> dict[str, object]:
    """What the vocabulary asks of a record."""
    want: dict[str, object] = {
        telemetry.RPC_SYSTEM: "grpc",
        telemetry.RPC_METHOD: telemetry.SPAN_MODEL_INFER,
        telemetry.SERVER_ADDRESS: ADDRESS.host,
        telemetry.SERVER_PORT: ADDRESS.port,
        telemetry.RPC_STATUS: record.code,
        telemetry.MODEL_NAME: record.served.model if record.served else record.model,
        telemetry.PREDICTION_ID: record.prediction_id,
        **dict(zip(telemetry.STAGES, record.stages_ns, strict=True)),
    }
    if record.code != "OK":
        want[telemetry.ERROR_TYPE] = record.code
    if record.served:
        want[telemetry.MODEL_VERSION] = record.served.version
        want[telemetry.INTERFACE_MAJOR] = record.served.major
        want[telemetry.ROUTE] = record.route
    if record.rows:
        want[telemetry.ROWS] = record.rows
    if record.outputs:
        want[telemetry.OUTPUT_ROWS] = record.outputs.rows
        for name, values in (
            (telemetry.OUTPUT_LABELS, record.outputs.labels),
            (telemetry.OUTPUT_PROBABILITIES, record.outputs.probabilities),
            (telemetry.OUTPUT_VALUES, record.outputs.values),
        ):
            if values is not None:
                want[name] = values.ravel().tolist()
    return want


def assert_same(found: Mapping[str, object], want: Mapping[str, object]) -> None:
    """Equal in names, types and values; NaN equals NaN."""
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert _typed(found[name]) == _typed(value), name


def _typed(value: object) -> object:
    if isinstance(value, list):
        return [_typed(element) for element in value]
    # A float by its bits: NaN and the sign of zero count.
    return type(value).__name__, value.hex() if isinstance(value, float) else value


@untimed
@given(records)
def test_a_span_parses_to_the_records_own_values(record: Record) -> None:
    """The bytes of a span, read by OpenTelemetry's classes, hold the record's values and nothing else."""
    span = Span.FromString(SpanWriter(ADDRESS).write(record))
    assert (span.name, span.kind) == (telemetry.SPAN_MODEL_INFER, Span.SPAN_KIND_SERVER)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        record.start_ns,
        record.start_ns + record.duration_ns,
    )
    assert_same(attributes_of(span.attributes), expected_attributes(record))
    assert span.status.code == (Status.STATUS_CODE_ERROR if record.code in SERVER_ERRORS else Status.STATUS_CODE_UNSET)
    assert (len(span.trace_id), len(span.span_id)) == (16, 8)
    if record.parent is None:
        assert (span.parent_span_id, span.trace_state) == (b"", "")
    else:
        assert (span.trace_id, span.parent_span_id) == (record.parent.trace_id, record.parent.span_id)
        assert span.trace_state == record.parent.state
        assert span.flags & 0xFF == record.parent.flags
        assert span.flags & 0x300 == 0x300
    # What the classes do not know would be kept aside by them, and come out again.
    known = Span()
    known.CopyFrom(span)
    known.DiscardUnknownFields()
    assert known.ByteSize() == span.ByteSize()


@untimed
@given(st.lists(records, min_size=2, max_size=5))
def test_what_is_written_once_does_not_leak_into_other_spans(many: list[Record]) -> None:
    """A writer that has written other spans writes a span as a fresh one does."""
    used = SpanWriter(ADDRESS)
    for record in [*many, *reversed(many)]:
        span = Span.FromString(used.write(record))
        assert_same(attributes_of(span.attributes), expected_attributes(record))


@untimed
@given(int64s)
def test_a_varint_is_protobufs_own(value: int) -> None:
    """Integers of 64 bits are written as protobuf writes them."""
    want = AnyValue(int_value=value).SerializeToString()
    assert b"\x18" + varint(value) == want


@untimed
@given(st.lists(records, max_size=4), counts)
def test_a_batch_parses_to_its_spans(many: list[Record], dropped: int) -> None:
    """A batch, read by OpenTelemetry's classes, holds its spans under our resource and scope, and the loss so far."""
    spans = [SpanWriter(ADDRESS).write(record) for record in many]
    (resource,) = ExportTraceServiceRequest.FromString(BatchWriter().write(spans, dropped)).resource_spans
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
    full = Record(
        "m", version, "live", "INTERNAL", "id", 1, 1, 1, (1, 1, 1, 1), None, Outputs(1, values, values, values)
    )
    span = Span.FromString(SpanWriter(ADDRESS).write(full))
    assert {attribute.key for attribute in span.attributes} == telemetry.MEANINGS.keys() - {telemetry.SPANS_DROPPED}


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
