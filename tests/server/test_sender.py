"""Spans reach a real collector once, whatever it does, and what does not arrive is counted."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, cast

import grpc
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from sardonyx import telemetry
from sardonyx.address import Address
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx_server.telemetry import sender as sender_module
from sardonyx_server.telemetry.collector import Collector
from sardonyx_server.telemetry.record import Batch, Outputs, Record
from sardonyx_server.telemetry.sampling import Sampler
from sardonyx_server.telemetry.sender import Sender
from sardonyx_server.telemetry.usual import TABLE_ROWS, Tables
from server.scene import (
    PATIENCE_S,
    array_of,
    classifier_request,
    failure_of,
    frame_of,
    get_server,
    infer,
    is_ready,
    regressor_request,
    wait_until,
)
from server.sink import OK, Sink, answer, attribute, fail, free_port, running
from server.spans import Version
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.usual import Usual
    from server.scene import Scene

ADDRESS = Address("127.0.0.1", 8001)


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a sender, shortened: what it does is the same."""
    monkeypatch.setattr(sender_module, "DELAY_S", 0.02)
    monkeypatch.setattr(sender_module, "BACKOFF_S", 0.02)


def sender_to(endpoint: str) -> Sender:
    """A sender of every span, that has not begun."""
    return Sender(Collector(f"http://{endpoint}"), ADDRESS, Sampler(1.0, slow_s=1.0))


@contextlib.contextmanager
def sending(endpoint: str, before: Sequence[Record] = ()) -> Iterator[Sender]:
    """A sender that has begun, with what it has taken before, and is stopped in any case."""
    sender = sender_to(endpoint)
    sender.take(before, 0)
    sender.start()
    try:
        yield sender
    finally:
        stop(sender, timeout_s=0.1)


def stop(sender: Sender, timeout_s: float) -> None:
    """Stop it; fails the test where it does not return at all."""
    stopping = threading.Thread(target=sender.stop, args=(timeout_s,), daemon=True)
    stopping.start()
    stopping.join(PATIENCE_S)
    assert not stopping.is_alive(), "stop() did not return"
    assert not sender._thread.is_alive(), "the thread goes on after stop()"


def record_of(number: int, rows: int = 0) -> Record:
    """A record whose id is its number."""
    outputs = Outputs(rows, None, None, np.zeros(rows)) if rows else None
    return Record(telemetry.SPAN_MODEL_INFER, code="OK", prediction_id=str(number), outputs=outputs)


def numbers(count: int) -> list[str]:
    """The ids of the first records."""
    return [str(number) for number in range(count)]


def test_every_span_arrives_once_in_order() -> None:
    """More records than a batch holds arrive in several batches, each once, and are counted as sent."""
    collector, count = Sink(), 3 * sender_module.BATCH_SPANS + 7
    with running(collector) as endpoint, sending(endpoint) as sender:
        for number in range(count):
            sender.take([record_of(number)], 0)
        wait_until(lambda: sender.sent == count, "all are sent")
        assert collector.ids == numbers(count)
        assert collector.calls > 3
        assert (sender.dropped, sender.buffered, sender.error) == (0, 0, "")


def test_few_records_do_not_wait_for_a_full_batch() -> None:
    """A single span is sent without company, and the next one after it too."""
    collector = Sink()
    with running(collector) as endpoint, sending(endpoint) as sender:
        for number in range(2):
            sender.take([record_of(number)], 0)
            wait_until(lambda number=number: sender.sent == number + 1, "it is sent")  # type: ignore[misc]
        assert collector.ids == numbers(2)


@pytest.mark.parametrize("code", sorted(sender_module.RETRYABLE, key=str))
def test_a_failure_that_may_pass_is_tried_again(code: grpc.StatusCode) -> None:
    """After a code that OTLP calls retryable the same spans are sent again and arrive once."""
    collector = Sink([fail(code)])
    # Before it begins: what comes later may be a batch of its own.
    before = [record_of(number) for number in range(5)]
    with running(collector) as endpoint, sending(endpoint, before) as sender:
        wait_until(lambda: sender.sent == 5, "all are sent")
        assert collector.ids == numbers(5)
        assert (collector.calls, sender.dropped, sender.error) == (2, 0, "")


@pytest.mark.parametrize(
    ("code", "retry_after_s"),
    [(grpc.StatusCode.RESOURCE_EXHAUSTED, 0.01), (grpc.StatusCode.UNAVAILABLE, 0.01)],
)
def test_a_collector_that_says_when_is_asked_again(code: grpc.StatusCode, retry_after_s: float) -> None:
    """A refusal with RetryInfo is tried again, RESOURCE_EXHAUSTED among them."""
    collector = Sink([fail(code, retry_after_s), fail(code, retry_after_s)])
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        wait_until(lambda: sender.sent == 1, "it is sent")
        assert (collector.ids, collector.calls, sender.dropped) == (numbers(1), 3, 0)


def test_a_collector_that_asks_for_no_pause_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that refuses and says "at once" is not asked again and again without a rest."""
    monkeypatch.setattr(sender_module, "BACKOFF_S", 3600.0)
    collector = Sink([fail(grpc.StatusCode.UNAVAILABLE, 0.0)] * 1000)
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        wait_until(lambda: bool(sender.error), "it was refused")
        time.sleep(0.2)
        assert collector.calls == 1


@pytest.mark.parametrize(
    "code",
    [
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    ],
)
def test_a_failure_for_good_is_counted_and_the_next_batch_goes(code: grpc.StatusCode) -> None:
    """Spans that a collector refuses for good are dropped and counted; those after them arrive, and say the loss."""
    collector = Sink([fail(code)])
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        wait_until(lambda: sender.dropped == 1, "it is dropped")
        assert code.name in sender.error
        sender.take([record_of(1)], 0)
        wait_until(lambda: sender.sent == 1, "the next is sent")
        assert collector.ids == ["1"]
        scope = collector.taken[0].resource_spans[0].scope_spans[0].scope
        assert [(each.key, each.value.int_value) for each in scope.attributes] == [(telemetry.SPANS_DROPPED, 1)]
        assert sender.error == ""


def test_a_partial_success_counts_what_was_rejected_and_sends_nothing_again() -> None:
    """Of a batch that a collector takes in part, the rest is dropped, counted and not sent again, as OTLP asks."""
    partial = ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
    collector = Sink([answer(ExportTraceServiceResponse(partial_success=partial).SerializeToString())])
    with running(collector) as endpoint:
        sender = sender_to(endpoint)
        for number in range(5):
            sender.take([record_of(number)], 0)
        sender.start()
        wait_until(lambda: sender.sent == 3, "the batch is counted")
        wait_until(lambda: sender.dropped == 2, "the rejected are counted")
        assert "too old" in sender.error
        stop(sender, timeout_s=1.0)
        assert (collector.calls, collector.ids) == (1, numbers(5))


def test_an_answer_that_is_none_loses_no_count() -> None:
    """A collector that answers OK with bytes that are no answer does not stop the sender, and every span is counted."""
    collector = Sink([answer(b"\xff\xff\xff")])
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        wait_until(lambda: collector.calls == 1, "the first was sent")
        sender.take([record_of(1)], 0)
        wait_until(lambda: collector.calls == 2, "the second was sent")
        wait_until(lambda: sender.sent + sender.dropped == 2, "both are counted")


def test_an_absent_collector_costs_the_spans_and_a_bounded_stop() -> None:
    """Where nobody listens, records are kept, stop() returns, and all of them are counted as dropped."""
    with sending(f"127.0.0.1:{free_port()}") as sender:
        for number in range(10):
            sender.take([record_of(number)], 0)
        wait_until(lambda: "UNAVAILABLE" in sender.error, "the sender noticed")
        sender.take([record_of(10)], 0)
        assert (sender.sent, sender.dropped) == (0, 0)
        stop(sender, timeout_s=0.5)
        assert (sender.sent, sender.dropped, sender.buffered) == (0, 11, 0)


def test_a_collector_that_comes_later_gets_what_waited() -> None:
    """Spans from before a collector's start arrive once it is there."""
    port, collector = free_port(), Sink()
    with sending(f"127.0.0.1:{port}") as sender:
        for number in range(10):
            sender.take([record_of(number)], 0)
        wait_until(lambda: bool(sender.error), "the sender noticed")
        with running(collector, port):
            wait_until(lambda: sender.sent == 10, "all are sent")
            assert (collector.ids, sender.dropped, sender.error) == (numbers(10), 0, "")


def test_stop_sends_what_waits() -> None:
    """What was recorded just before the end arrives, in as many batches as it takes."""
    collector, count = Sink(), 2 * sender_module.BATCH_SPANS + 1
    with running(collector) as endpoint, sending(endpoint) as sender:
        for number in range(count):
            sender.take([record_of(number)], 0)
        stop(sender, timeout_s=PATIENCE_S)
        assert collector.ids == numbers(count)
        assert (sender.sent, sender.dropped) == (count, 0)


def test_stop_retries_while_there_is_time() -> None:
    """A failure that may pass is tried again within stop() too."""
    collector = Sink([fail(grpc.StatusCode.UNAVAILABLE), fail(grpc.StatusCode.UNAVAILABLE)])
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        stop(sender, timeout_s=PATIENCE_S)
        assert (collector.ids, sender.sent, sender.dropped) == (numbers(1), 1, 0)


def test_stop_does_not_wait_for_a_collector_that_never_answers() -> None:
    """A collector that holds the call cannot hold the end: stop() returns, and the spans count as dropped."""
    release = threading.Event()

    def hold(_context: grpc.ServicerContext) -> bytes:
        release.wait(PATIENCE_S)
        return OK

    collector = Sink([hold])
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        sender.take([record_of(1)], 0)
        try:
            stop(sender, timeout_s=0.3)
            assert (sender.sent, sender.dropped) == (0, 2)
        finally:
            release.set()


def test_a_held_call_does_not_hold_the_end() -> None:
    """Where the call was held before the end began, stop() still returns and every span is counted."""
    release = threading.Event()

    def hold(_context: grpc.ServicerContext) -> bytes:
        release.wait(PATIENCE_S)
        return OK

    collector = Sink([hold])
    with running(collector) as endpoint:
        sender = sender_to(endpoint)
        sender.start()
        sender.take([record_of(0)], 0)
        wait_until(lambda: collector.calls == 1, "the call is held")
        sender.take([record_of(1)], 0)
        try:
            stopping = threading.Thread(target=sender.stop, args=(0.3,), daemon=True)
            stopping.start()
            stopping.join(PATIENCE_S)
            assert not stopping.is_alive(), "stop() did not return"
            assert sender.sent + sender.dropped == 2
        finally:
            release.set()
            sender._thread.join(PATIENCE_S)


def test_a_full_buffer_refuses_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans beyond the buffer's room are dropped and counted, and so is what was lost before it came here."""
    monkeypatch.setattr(sender_module, "BUFFER_BYTES_MAX", 10_000)
    sender = sender_to(f"127.0.0.1:{free_port()}")
    sender.take([record_of(number) for number in range(100)], 7)
    assert 10 < sender.buffered < 30
    assert sender.buffered + sender.dropped == 107


def test_usual_predictions_arrive_once_in_order_and_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a table are sent together; beyond the buffer's room all of them are dropped, and counted."""
    collector, count = Sink(), 3 * sender_module.BATCH_SPANS
    with running(collector) as endpoint, sending(endpoint) as sender:
        for start in range(0, count, TABLE_ROWS):
            sender.take_usual(usual_of(range(start, start + TABLE_ROWS)))
        wait_until(lambda: sender.sent == count, "all are sent")
        assert collector.ids == [f"{number:06}" for number in range(count)]
        assert (sender.dropped, sender.buffered) == (0, 0)
        monkeypatch.setattr(sender_module, "BUFFER_BYTES_MAX", 0)
        sender.take_usual(usual_of(range(7)))
        assert (sender.dropped, sender.buffered) == (7, 0)


def usual_of(numbers: range) -> Usual:
    """Usual predictions whose ids are their numbers."""
    tables, served, outputs = Tables(), cast("Served", Version("delays", 3, 1)), Outputs(1, None, None, np.zeros(1))
    for number in numbers:
        record = Record(telemetry.SPAN_MODEL_INFER, "delays", served, "live", "OK", f"{number:06}", 1, outputs=outputs)
        assert tables.add(record)
    (usual,) = tables.take()
    return usual


def test_large_spans_stay_below_grpcs_limit() -> None:
    """Batches of the largest spans pass a collector with gRPC's default limit of 4 MiB, and make room as they go."""
    collector, count = Sink(), 300
    with running(collector) as endpoint, sending(endpoint) as sender:
        for number in range(count):
            sender.take([record_of(number, rows=telemetry.OUTPUT_ROWS_MAX)], 0)
        wait_until(lambda: sender.sent + sender.dropped == count, "all are counted")
        assert (collector.ids, sender.dropped) == (numbers(count), 0)
        assert sender._bytes_in == sender._bytes_out


def test_a_span_that_is_too_large_is_lost_alone() -> None:
    """Those beside one that a collector does not take arrive, before it and behind it."""
    collector = Sink()
    with running(collector) as endpoint:
        sender = sender_to(endpoint)
        sender.take([record_of(0), record_of(1, rows=500_000), record_of(2)], 0)
        sender.start()
        wait_until(lambda: sender.sent + sender.dropped == 3, "all are counted")
        stop(sender, timeout_s=1.0)
        assert (collector.ids, sender.dropped) == (["0", "2"], 1)


def test_usual_predictions_with_long_ids_stay_below_grpcs_limit() -> None:
    """A table whose shared runs have the longest ids passes a collector with gRPC's default limit, and in order."""
    collector, tables, names = Sink(), Tables(), []
    outputs = Outputs(1, None, None, np.zeros(1))
    for number in range(TABLE_ROWS):
        own, others = f"{number:06}", [f"{number:0{ID_LENGTH_MAX}}"] * (telemetry.BATCH_IDS_MAX - 1)
        record = record_of(number)
        record.model, record.served, record.route, record.rows = (
            "delays",
            cast("Served", Version("delays", 3, 1)),
            "live",
            1,
        )
        record.prediction_id, record.outputs = own, outputs
        record.batch = Batch.of(telemetry.BATCH_IDS_MAX, [own, *others])
        assert tables.add(record)
        names.append(own)
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take_usual(*tables.take())
        wait_until(lambda: sender.sent + sender.dropped == TABLE_ROWS, "all are counted")
        assert (collector.ids, sender.dropped) == (names, 0)


# In the server


@contextlib.contextmanager
def server_with(scene: Scene, endpoint: str, *arguments: str) -> Iterator[tuple[Program, grpc.Channel]]:
    """A server of one worker that sends to a collector."""
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", "1", "--drain-grace-s", "0")
    program = Program.start("sardonyx_server", *fixed, "--otlp-endpoint", f"http://{endpoint}", *arguments)
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            wait_until(lambda: is_ready(channel), "every model answers")
            yield program, channel
    finally:
        assert program.stop() == 0, "".join(program.lines)


@pytest.mark.parametrize("rows", [1, 3])
def test_each_prediction_is_a_span_and_the_end_loses_none(scene: Scene, rows: int) -> None:
    """Predictions that ended just before SIGTERM, answered or refused, arrive once, with version, rows and outputs."""
    collector = Sink()
    frame = frame_of(62, rows=rows)
    with running(collector) as endpoint, server_with(scene, endpoint) as (program, channel):
        for number in range(20):
            request = classifier_request(frame)
            request.id = f"right-{number}"
            infer(channel, request)
        wrong = classifier_request(frame)
        wrong.id = "wrong"
        wrong.inputs[0].datatype = "FP32"
        failure_of(lambda: infer(channel, wrong))
        assert program.stop() == 0, "".join(program.lines)
        spans = {attribute(span, telemetry.PREDICTION_ID).string_value: span for span in collector.spans}
        assert spans.keys() == {*(f"right-{number}" for number in range(20)), "wrong"}
        assert len(collector.ids) == len(set(collector.ids))
        right = spans["right-0"]
        assert attribute(right, telemetry.RPC_STATUS).string_value == "OK"
        assert attribute(right, telemetry.MODEL_VERSION).int_value == 1
        assert attribute(right, telemetry.ROWS).int_value == rows
        labels = attribute(right, telemetry.OUTPUT_LABELS).array_value.values
        assert [each.string_value for each in labels] == scene.classifier.predict(frame).tolist()
        probabilities = attribute(right, telemetry.OUTPUT_PROBABILITIES).array_value.values
        np.testing.assert_allclose(
            [each.double_value for each in probabilities],
            scene.classifier.predict_proba(frame).ravel(),
            rtol=1e-5,
            atol=1e-6,
        )
        assert attribute(spans["wrong"], telemetry.RPC_STATUS).string_value == "INVALID_ARGUMENT"
        assert attribute(spans["wrong"], telemetry.MODEL_VERSION).int_value == 1


def test_an_absent_collector_is_told_in_model_service_and_fails_no_call(scene: Scene) -> None:
    """With nobody at the endpoint calls are answered, ModelService says what is wrong, and the end comes in time."""
    with server_with(scene, f"127.0.0.1:{free_port()}", "--drain-timeout-s", "2") as (_, channel):
        for _ in range(100):
            infer(channel, regressor_request(array_of(63, rows=1)))
        wait_until(lambda: "UNAVAILABLE" in get_server(channel).telemetry.error, "the server noticed")
        wait_until(lambda: get_server(channel).telemetry.spans_buffered >= 100, "the spans wait")
        assert get_server(channel).telemetry.spans_sent == 0
