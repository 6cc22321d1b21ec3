"""The OTLP door, to the letter of OTLP's specification, over real gRPC."""

from __future__ import annotations

import asyncio
import os
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from monitor.scene import EXPORT, export_of, fresh_id, key_values, prediction_of, span_of
from sardonyx import telemetry
from sardonyx.address import Address
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome, ReportOutcomesRequest
from sardonyx_monitor.receiver.admission import Admission
from sardonyx_monitor.receiver.decoder import Decoder
from sardonyx_monitor.receiver.grpc_server import GrpcServer
from sardonyx_monitor.receiver.losses import Losses
from sardonyx_monitor.receiver.outcomes import OutcomeReceiver
from sardonyx_monitor.receiver.traces import TraceReceiver
from sardonyx_monitor.store.database import Database
from sardonyx_monitor.store.writer import Writer
from server.scene import PATIENCE_S, failure_of, read_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from monitor.scene import Value, Watch

MIB = 1 << 20


def test_empty_request_succeeds(watch: Watch) -> None:
    """A request without spans is answered with success."""
    assert watch.send(ExportTraceServiceRequest()) == ExportTraceServiceResponse()
    assert watch.export() == ExportTraceServiceResponse()


def test_full_success_leaves_partial_success_unset(watch: Watch) -> None:
    """Where every span is kept, partial_success is not set."""
    answer = watch.export(span_of(), span_of())
    assert not answer.HasField("partial_success")


def test_stock_stub_is_answered(watch: Watch) -> None:
    """OpenTelemetry's own generated stub gets its answer, and the span is stored."""
    span = span_of(name="by the stock stub")
    stub = TraceServiceStub(watch.channel)  # type: ignore[no-untyped-call]
    answer: ExportTraceServiceResponse = stub.Export(export_of(span), timeout=PATIENCE_S)
    assert not answer.HasField("partial_success")
    assert [each["name"] for each in watch.trace(span.trace_id)["spans"]] == ["by the stock stub"]


def _short_trace_id(span: Span) -> None:
    span.trace_id = b"\x01" * 15


def _zero_trace_id(span: Span) -> None:
    span.trace_id = bytes(16)


def _long_span_id(span: Span) -> None:
    span.span_id = b"\x01" * 9


def _zero_span_id(span: Span) -> None:
    span.span_id = bytes(8)


def _short_parent(span: Span) -> None:
    span.parent_span_id = b"\x01"


def _no_start(span: Span) -> None:
    span.start_time_unix_nano = 0


def _beyond_int64(span: Span) -> None:
    span.end_time_unix_nano = (1 << 63) - 1


def _ends_first(span: Span) -> None:
    span.end_time_unix_nano = span.start_time_unix_nano - 1


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_short_trace_id, "trace id"),
        (_zero_trace_id, "trace id"),
        (_long_span_id, "span id"),
        (_zero_span_id, "span id"),
        (_short_parent, "parent span id"),
        (_no_start, "nanoseconds since 1970"),
        (_beyond_int64, "nanoseconds since 1970"),
        (_ends_first, "end lies before the start"),
    ],
)
def test_bad_span_among_good_ones(watch: Watch, spoil: Callable[[Span], None], reason: str) -> None:
    """A span that cannot be kept is counted with a reason, and the others of its call are stored."""
    before = watch.health()["since_start"]["spans_rejected"]
    good = [span_of() for _ in range(3)]
    bad = span_of()
    spoil(bad)
    answer = watch.export(good[0], bad, *good[1:])
    assert answer.partial_success.rejected_spans == 1
    assert reason in answer.partial_success.error_message
    for span in good:
        assert [each["span_id"] for each in watch.trace(span.trace_id)["spans"]] == [span.span_id.hex()]
    assert watch.health()["since_start"]["spans_rejected"] == before + 1
    assert watch.web.get(f"/api/traces/{bad.trace_id.hex():0>32}").status_code == 404


def test_every_reason_is_told(watch: Watch) -> None:
    """Spans rejected for different reasons are counted together and told apart."""
    spans = [span_of() for _ in range(3)]
    _zero_span_id(spans[0])
    _zero_span_id(spans[1])
    _no_start(spans[2])
    told = watch.export(*spans).partial_success
    assert told.rejected_spans == 3
    assert "2 spans rejected: a span id" in told.error_message
    assert "1 spans rejected: start and end" in told.error_message


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_compression(watch: Watch, compression: grpc.Compression) -> None:
    """A request is read plain and gzipped."""
    span = span_of({"text": "long " * 2000})
    assert not watch.send(export_of(span), compression).HasField("partial_success")
    (stored,) = watch.trace(span.trace_id)["spans"]
    assert stored["attributes"] == {"text": "long " * 2000}


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_large_message(watch: Watch, compression: grpc.Compression) -> None:
    """A message of 10 MiB, two and a half times gRPC's usual limit, is taken."""
    trace_id = os.urandom(16)
    spans = [span_of({"payload": os.urandom(32 << 10).hex()}, trace_id=trace_id) for _ in range(160)]
    request = export_of(*spans)
    assert request.ByteSize() > 10 * MIB
    assert not watch.send(request, compression).HasField("partial_success")
    (found,) = watch.api("/traces", q=trace_id.hex())["traces"]
    assert found["spans"] == 160


@pytest.mark.parametrize("method", [EXPORT, "/sardonyx.monitor.v1.OutcomeService/ReportOutcomes"])
def test_garbage_is_refused(watch: Watch, method: str) -> None:
    """Bytes that are no message are INVALID_ARGUMENT with BadRequest, which no client sends again."""
    failure = failure_of(lambda: watch.raw(method, b"\xff\xff\xff\xffno message"))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Request" in failure.violations["request"]


def test_resend_is_stored_once(watch: Watch) -> None:
    """Spans that come again, in the same call or in others, are stored once with what they predicted."""
    prediction_id = fresh_id()
    span = prediction_of(prediction_id, ["late", "punctual"])
    before = watch.health()
    for spans in ([span, span], [span], [span, span_of(trace_id=span.trace_id)]):
        assert not watch.export(*spans).HasField("partial_success")
    trace, after = watch.trace(span.trace_id), watch.health()
    assert len(trace["spans"]) == 2
    assert [(each["row"], each["answer"]) for each in trace["predictions"]] == [(0, "late"), (1, "punctual")]
    assert after["since_start"]["spans_repeated"] == before["since_start"]["spans_repeated"] + 3
    assert after["stored"]["spans"] == before["stored"]["spans"] + 2
    assert after["stored"]["predictions"] == before["stored"]["predictions"] + 2


def test_foreign_span_is_stored_and_shown(watch: Watch) -> None:
    """A span of another program, which says nothing of sardonyx, is stored whole and shown beside ours."""
    other = os.urandom(16), os.urandom(8)
    root = span_of(
        {"text": "ü", "yes": True, "count": -3, "share": 0.5, "blob": b"\x00\xff", "list": ["a", 1, False]},
        name="GET /checkout",
        duration_ns=9_000_000,
    )
    child = prediction_of(fresh_id(), ["late"], trace_id=root.trace_id, parent=root.span_id, duration_ns=4_000_000)
    root.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="no stock"))
    root.events.add(time_unix_nano=root.start_time_unix_nano, name="retry", attributes=key_values({"try": 2}))
    root.links.add(trace_id=other[0], span_id=other[1])
    watch.export(root, child, service="shop", resource={"host.name": "a", "process.pid": 7})
    trace = watch.trace(root.trace_id)
    assert [(each["name"], each["depth"]) for each in trace["spans"]] == [
        ("GET /checkout", 0),
        (telemetry.SPAN_MODEL_INFER, 1),
    ]
    shown = trace["spans"][0]
    assert shown["attributes"] == {
        "text": "ü",
        "yes": "true",
        "count": "-3",
        "share": "0.5",
        "blob": "AP8=",
        "list": '["a", 1, false]',
    }
    assert shown["resource"] == {"service.name": "shop", "host.name": "a", "process.pid": "7"}
    assert (shown["service"], shown["kind"], shown["status"]) == ("shop", "Server", "Error")
    assert shown["status_message"] == "no stock"
    assert [(each["name"], each["attributes"]) for each in shown["events"]] == [("retry", {"try": "2"})]
    assert shown["links"] == [f"{other[0].hex()}/{other[1].hex()}"]
    assert shown["duration_ms"] == 9.0
    (found,) = watch.api("/traces", q=root.trace_id.hex())["traces"]
    assert (found["name"], found["service"], found["error"], found["spans"]) == ("GET /checkout", "shop", True, 2)
    assert "GET /checkout" in watch.web.get(f"/traces/{root.trace_id.hex()}").text


def test_span_without_anything(watch: Watch) -> None:
    """A span without resource, scope, name, attributes, events or links is stored."""
    now_ns = time.time_ns()
    span = Span(trace_id=os.urandom(16), span_id=os.urandom(8), start_time_unix_nano=now_ns, end_time_unix_nano=now_ns)
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.append(span)
    assert watch.send(request) == ExportTraceServiceResponse()
    (shown,) = watch.trace(span.trace_id)["spans"]
    assert (shown["kind"], shown["status"], shown["service"]) == ("Unspecified", "Unset", "")
    assert watch.web.get(f"/traces/{span.trace_id.hex()}").status_code == 200


def test_malformed_prediction_is_kept_as_a_span(watch: Watch) -> None:
    """A span whose outputs do not add up is stored and shown with them, and counted."""
    before = watch.health()["since_start"]["predictions_malformed"]
    span = prediction_of(fresh_id(), ["late"], more={telemetry.OUTPUT_ROWS: 2})
    assert not watch.export(span).HasField("partial_success")
    trace = watch.trace(span.trace_id)
    assert trace["predictions"] == []
    assert trace["spans"][0]["attributes"][telemetry.OUTPUT_LABELS] == '["late"]'
    assert watch.health()["since_start"]["predictions_malformed"] == before + 1


@pytest.mark.parametrize("name", [telemetry.ROWS, telemetry.INTERFACE_MAJOR, telemetry.MODEL_VERSION])
@pytest.mark.parametrize("count", [2**31, 2**63 - 1, -1])
def test_an_absurd_count_harms_nobody_else(watch: Watch, name: str, count: int) -> None:
    """A count that nobody can have is malformed: its neighbours are stored, and the pages go on."""
    absurd, sound = prediction_of(fresh_id(), ["late"], more={name: count}), prediction_of(fresh_id(), ["late"])
    assert not watch.export(absurd, sound).HasField("partial_success")
    assert watch.trace(absurd.trace_id)["predictions"] == []
    assert len(watch.trace(sound.trace_id)["predictions"]) == 1
    for path in ("/", "/models/by-hand", "/traces"):
        assert watch.web.get(path, params={"window": "all"}).status_code == 200


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308])
def test_an_answer_that_is_no_number_spoils_no_figure(watch: Watch, value: float) -> None:
    """Probabilities and values that are no numbers leave the pages as they are."""
    spans = [
        prediction_of(fresh_id(), ["late"], probabilities=[value, value], model="odd"),
        prediction_of(fresh_id(), values=[value], model="odd"),
    ]
    assert not watch.export(*spans).HasField("partial_success")
    for path in ("/", "/models/odd", "/api/models/odd", f"/traces/{spans[1].trace_id.hex()}"):
        assert watch.web.get(path, params={"window": "all"}).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (telemetry.WEIGHT, 0.5),
        (telemetry.WEIGHT, -1.0),
        (telemetry.WEIGHT, float("nan")),
        (telemetry.WEIGHT, float("inf")),
        (telemetry.WEIGHT, 1e18),
        (telemetry.WEIGHT, "2"),
        (telemetry.CALLER, 7),
        (telemetry.BATCH_ROWS, "many"),
        (telemetry.BATCH_ID, [1]),
        (telemetry.SHADOW_AGREEMENT, 1.5),
        (telemetry.SHADOW_AGREEMENT, -0.1),
        (telemetry.SHADOW_LIVE_VERSION, -1),
    ],
)
def test_what_cannot_be_counted_is_malformed(watch: Watch, name: str, value: Value) -> None:
    """A weight, a share or a count that cannot be one spoils no figure: the span is kept, and no request is counted."""
    before, model = watch.health()["since_start"]["predictions_malformed"], fresh_id("model")
    odd, sound = (prediction_of(fresh_id(), ["late"], model=model, more=more) for more in ({name: value}, {}))
    assert not watch.export(odd, sound).HasField("partial_success")
    assert watch.health()["since_start"]["predictions_malformed"] == before + 1
    assert watch.api(f"/models/{model}")["model"]["total"]["requests"] == 1
    (span,) = watch.trace(odd.trace_id)["spans"]
    assert name in span["attributes"]
    assert span["attributes"][telemetry.OUTPUT_LABELS] == '["late"]'
    assert span["request"] is None


def test_request_of_a_span(watch: Watch) -> None:
    """Route, weight, caller and the run that was shared are told of the request of a span; absent ones are as usual."""
    prediction_id, run = fresh_id(), os.urandom(8).hex()
    more: dict[str, Value] = {
        telemetry.ROUTE: "canary",
        telemetry.WEIGHT: 12.5,
        telemetry.CALLER: "billing",
        telemetry.BATCH_ID: run,
        telemetry.BATCH_ROWS: 9,
        telemetry.BATCH_REQUESTS: 3,
        telemetry.BATCH_PREDICTION_IDS: [prediction_id, "other"],
    }
    span, plain = prediction_of(prediction_id, ["late"], more=more), prediction_of(fresh_id(), ["late"])
    watch.export(span, plain)
    request = watch.trace(span.trace_id)["spans"][0]["request"]
    expected = {"route": "canary", "weight": 12.5, "caller": "billing", "prediction_id": prediction_id}
    expected |= {"batch_id": run, "batch_rows": 9, "batch_requests": 3, "batch_members": [prediction_id, "other"]}
    assert {name: request[name] for name in expected} == expected
    request = watch.trace(plain.trace_id)["spans"][0]["request"]
    expected = {"route": "", "weight": 1, "caller": "", "batch_id": "", "batch_members": [], "inputs": []}
    assert {name: request[name] for name in expected} == expected


def test_callers_that_share_a_request(watch: Watch) -> None:
    """Where callers share a request, each row is known by its caller's prediction id: truths and searches find it."""
    model, ids = fresh_id("model"), [fresh_id(name) for name in ("one", "two", "three")]
    labels = ["late", "late", "punctual", "late", "punctual", "late"]
    more: dict[str, Value] = {
        telemetry.PREDICTION_IDS: ids,
        telemetry.PREDICTION_ROWS: [2, 3, 1],
        telemetry.INPUT_ROWS: [1, 4],
        f"{telemetry.INPUT_VALUE_PREFIX}x": [1.0, 4.0],
    }
    wire = fresh_id("wire")
    span = prediction_of(wire, labels, model=model, more=more)
    orphans = watch.health()["orphan_outcomes"]
    watch.export(span)
    places = [(ids[0], 0), (ids[0], 1), (ids[1], 0), (ids[1], 1), (ids[1], 2), (ids[2], 0)]
    watch.report(*(Outcome(prediction_id=each, row=row, label="late") for each, row in places))
    trace = watch.trace(span.trace_id)
    found = [(each["prediction_id"], each["row"], each["answer"], each["right"]) for each in trace["predictions"]]
    assert found == [(*place, label, label == "late") for place, label in zip(places, labels, strict=True)]
    request = trace["spans"][0]["request"]
    assert (request["members"], request["prediction_id"]) == (ids, wire)
    assert [(each["prediction_id"], each["row"], each["request_row"]) for each in request["inputs"]] == [
        (ids[0], 1, 1),
        (ids[1], 2, 4),
    ]
    quality = watch.api(f"/models/{model}")["model"]["versions"][0]["quality"]
    assert (quality["labelled"], quality["comparisons"][0]["practice"]["value"]) == (6, pytest.approx(4 / 6))
    assert watch.health()["orphan_outcomes"] == orphans
    for each in (wire, *ids):
        assert [trace["trace_id"] for trace in watch.api("/traces", q=each)["traces"]] == [span.trace_id.hex()]


def test_callers_of_one_row_each(watch: Watch) -> None:
    """Without a word about rows each prediction of a shared request has one; the same id twice loses no answer."""
    model, twice = fresh_id("model"), fresh_id()
    span = prediction_of(fresh_id(), ["late"] * 3, model=model, more={telemetry.PREDICTION_IDS: [twice, "x", twice]})
    watch.export(span, span)
    found = [(each["prediction_id"], each["row"]) for each in watch.trace(span.trace_id)["predictions"]]
    assert found == [(twice, 0), ("x", 0), (twice, 0)]


@pytest.mark.parametrize(
    "more",
    [
        {telemetry.PREDICTION_IDS: ["a", "b"]},
        {telemetry.PREDICTION_IDS: ["a", ""]},
        {telemetry.PREDICTION_IDS: ["a", 7, "b"]},
        {telemetry.PREDICTION_IDS: ["a", "b"], telemetry.PREDICTION_ROWS: [3]},
        {telemetry.PREDICTION_IDS: ["a", "b"], telemetry.PREDICTION_ROWS: [3, 0]},
        {telemetry.PREDICTION_IDS: ["a", "b"], telemetry.PREDICTION_ROWS: [2, 2]},
        {telemetry.PREDICTION_ROWS: [3]},
        # Beyond what the store holds; the request itself does not say how many rows it has.
        {telemetry.PREDICTION_IDS: ["a", "b"], telemetry.PREDICTION_ROWS: [2**31, 1], telemetry.ROWS: 0},
        {telemetry.PREDICTION_IDS: ["a", "b", "c"], telemetry.PREDICTION_ROWS: [2**62] * 3, telemetry.ROWS: 0},
    ],
)
def test_rows_that_are_nobodys(watch: Watch, more: dict[str, Value]) -> None:
    """Ids and rows of a shared request that do not fit together are malformed, and no answer gets a wrong id."""
    span = prediction_of(fresh_id(), ["late"] * 3, more=more)
    before = watch.health()["since_start"]["predictions_malformed"]
    watch.export(span)
    assert watch.health()["since_start"]["predictions_malformed"] == before + 1
    assert watch.trace(span.trace_id)["predictions"] == []


def test_stream_messages_are_predictions(watch: Watch) -> None:
    """A message of a stream is counted as a prediction of its own, whatever its span is called."""
    model = fresh_id("model")
    spans = [prediction_of(fresh_id(), ["late"], model=model) for _ in range(3)]
    for span in spans:
        span.name = telemetry.SPAN_MODEL_STREAM_INFER
    watch.export(*spans)
    assert watch.api(f"/models/{model}")["model"]["total"]["requests"] == 3


ids = st.binary(min_size=16, max_size=16).filter(any)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
plain = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=6))
ours = st.sampled_from(
    [
        telemetry.PREDICTION_ID,
        telemetry.MODEL_NAME,
        telemetry.MODEL_VERSION,
        telemetry.INTERFACE_MAJOR,
        telemetry.RPC_STATUS,
        telemetry.ROWS,
        telemetry.OUTPUT_ROWS,
        telemetry.OUTPUT_LABELS,
        telemetry.OUTPUT_PROBABILITIES,
        telemetry.OUTPUT_VALUES,
        telemetry.STAGE_RUN_NS,
        telemetry.ROUTE,
        telemetry.PREDICTION_IDS,
        telemetry.PREDICTION_ROWS,
        telemetry.WEIGHT,
        telemetry.CALLER,
        telemetry.BATCH_ID,
        telemetry.BATCH_ROWS,
        telemetry.BATCH_PREDICTION_IDS,
        telemetry.SHADOW_AGREEMENT,
        telemetry.INPUT_ROWS,
        telemetry.INPUT_PROBABILITY,
        f"{telemetry.INPUT_VALUE_PREFIX}distance",
    ]
)
attributes = st.dictionaries(st.one_of(texts, ours), st.one_of(plain, st.lists(plain, max_size=3)), max_size=6)


# The monitor is one for the whole session, as it would be in practice.
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trace_id=ids, attributes=attributes, name=texts, start_ns=st.integers(1, 2**63 - 2), said=texts)
def test_any_span_is_stored(
    watch: Watch, trace_id: bytes, attributes: dict[str, str], name: str, start_ns: int, said: str
) -> None:
    """Whatever a valid span says of itself, of ours or not, it is stored and both its views are shown."""
    span = span_of(
        attributes, trace_id=trace_id, name=name, start_ns=start_ns, duration_ns=min(7, 2**63 - 2 - start_ns)
    )
    span.trace_state = span.status.message = said
    span.events.add(name=name, time_unix_nano=start_ns, attributes=key_values(attributes))
    assert not watch.export(span, service=name).HasField("partial_success")
    shown = watch.trace(trace_id)["spans"]
    assert span.span_id.hex() in {each["span_id"] for each in shown}
    assert watch.web.get(f"/traces/{trace_id.hex()}").status_code == 200
    assert watch.web.get("/api/models", params={"window": "all"}).status_code == 200


@pytest.mark.parametrize("name", [telemetry.OUTPUT_PROBABILITIES, telemetry.OUTPUT_VALUES])
def test_numbers_of_another_type_are_malformed(watch: Watch, name: str) -> None:
    """Whole numbers where doubles are due are not read as zeros: what was answered stays for a person to see."""
    span = prediction_of(fresh_id(), ["late"], more={name: [1.0, 2]})
    watch.export(span)
    assert watch.trace(span.trace_id)["predictions"] == []
    (shown,) = watch.trace(span.trace_id)["spans"]
    assert shown["attributes"][name] == "[1.0, 2]"


def test_sender_losses_are_shown(watch: Watch) -> None:
    """What a sender says it lost is shown under its instance, the highest word of it."""
    instance = fresh_id("server")
    for dropped in (3, 17):
        watch.export(span_of(), resource={"service.instance.id": instance, "host.name": "h"}, dropped=dropped)
    (sender,) = [each for each in watch.health()["senders"] if each["instance"] == instance]
    assert (sender["spans_dropped"], sender["host"], sender["service"]) == (17, "h", "tests")


def test_health_protocol(watch: Watch) -> None:
    """grpc.health.v1 says SERVING of the whole and of both services."""
    stub = health_pb2_grpc.HealthStub(watch.channel)
    for service in ("", EXPORT.split("/")[1], "sardonyx.monitor.v1.OutcomeService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_busy_monitor_says_when_to_come_back(tmp_path: Path) -> None:
    """A call beyond what may be under way is UNAVAILABLE with RetryInfo, and counted; a smaller one is taken."""
    database, losses, admission = Database(tmp_path), Losses(), Admission(bytes_max=1000)
    database.open()
    writer = Writer(database)
    writer.start()
    decoder = Decoder()
    takes = (writer, admission, losses, decoder)
    server = GrpcServer(TraceReceiver(*takes), OutcomeReceiver(*takes))
    port = await server.start(Address("127.0.0.1", 0))
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(EXPORT)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(export_of(span_of({"text": "x" * 1000})).SerializeToString())
            await call(export_of(span_of()).SerializeToString())
        failure = read_failure(refused.value)
        assert failure.code is grpc.StatusCode.UNAVAILABLE
        assert failure.retry_after_s > 0
        assert (losses.calls_refused, losses.spans_stored) == (1, 1)
    finally:
        await server.stop()
        decoder.stop()
        writer.stop()
        database.close()


async def test_calls_that_were_given_up_keep_no_memory(tmp_path: Path) -> None:
    """While decoder and writer are held up, calls that come and leave hold nothing: the budget is the bound it says."""
    database, held = Database(tmp_path), threading.Event()
    database.open()
    writer, decoder, size = Writer(database), Decoder(), 1 << 20
    traces = TraceReceiver(writer, Admission(4 * size), Losses(), decoder)
    message = export_of(*[span_of({"text": "x" * 1000}) for _ in range(size // 1200)]).SerializeToString()
    tracemalloc.start()
    try:
        # They are read, and wait for a writer that has not begun.
        for number in range(20):
            call = asyncio.create_task(traces.export(bytes(bytearray(message))))
            while writer.waiting <= number:  # noqa: ASYNC110 - the writer tells nobody of what waits
                await asyncio.sleep(0.001)
            call.cancel()
            await asyncio.wait([call])
        # They wait for the decoder.
        holding = asyncio.create_task(decoder.read(lambda _data: held.wait(PATIENCE_S), b""))
        for _ in range(20):
            call = asyncio.create_task(traces.export(bytes(bytearray(message))))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        del call
        assert tracemalloc.get_traced_memory()[0] < 8 * len(message)
    finally:
        tracemalloc.stop()
        held.set()
    assert await holding
    decoder.stop()
    writer.start()
    writer.stop()
    assert database.cursor().execute("select count(*) from otel_traces").fetchone() == (0,)
    database.close()


async def test_a_large_report_leaves_the_event_loop_free(tmp_path: Path) -> None:
    """Outcomes wait for the decoder as spans do, and the loop turns meanwhile."""
    database, held, decoder = Database(tmp_path), threading.Event(), Decoder()
    database.open()
    writer = Writer(database)
    writer.start()
    outcomes = OutcomeReceiver(writer, Admission(), Losses(), decoder)
    holding = asyncio.create_task(decoder.read(lambda _data: held.wait(PATIENCE_S), b""))
    report = ReportOutcomesRequest(outcomes=[Outcome(prediction_id="a", label="late")]).SerializeToString()
    call = asyncio.create_task(outcomes.report(report))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not call.done()
    held.set()
    assert await holding
    assert (await call).accepted == 1
    decoder.stop()
    writer.stop()
    database.close()
