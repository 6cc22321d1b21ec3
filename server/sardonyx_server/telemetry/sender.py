"""Sends spans to a collector from a thread of its own. Whatever happens to the collector, callers do not notice."""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sardonyx import status
from sardonyx_server.log import LOG
from sardonyx_server.telemetry.batch import BatchWriter
from sardonyx_server.telemetry.otlp import SpanWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.address import Address
    from sardonyx_server.telemetry.record import Record

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

#: What may wait: at 5,000 requests a second a collector may be gone for about 13 s. A record of one row takes 1 kB.
RECORDS_MAX: Final = 65_536
#: Rows of output that may wait: an answer of 1,024 rows with two probabilities takes about 30 kB.
ROWS_MAX: Final = 1_048_576
BATCH_RECORDS: Final = 512
#: Half of gRPC's default limit of 4 MiB: the last span may be a large one.
BATCH_BYTES_MAX: Final = 2 * 1024 * 1024
#: How long spans wait for company.
DELAY_S: Final = 0.5
TIMEOUT_S: Final = 10.0
BACKOFF_S: Final = 0.25
BACKOFF_S_MAX: Final = 5.0

#: OTLP, section "Failures": these may pass. RESOURCE_EXHAUSTED only where the collector says when.
RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class Sender:
    """Takes records, sends spans.

    Args:
        endpoint: ``host:port`` of an OTLP/gRPC collector.
        address: where this server listens.
    """

    def __init__(self, endpoint: str, address: Address) -> None:
        self.endpoint = endpoint
        self.sent = 0
        self.error = ""
        self._records: deque[Record] = deque()
        # Each counter has one writer, the event loop or the thread: then plain integers need no lock.
        self._refused = 0
        self._lost = 0
        self._rows_in = 0
        self._rows_out = 0
        self._spans = SpanWriter(address)
        self._batches = BatchWriter()
        self._wake = threading.Event()
        self._stop_at: float | None = None
        self._call: grpc.Future[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    @property
    def dropped(self) -> int:
        """How many spans were lost: there was no room, or the collector would not take them."""
        return self._refused + self._lost

    @property
    def buffered(self) -> int:
        """How many records wait."""
        return len(self._records)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def record(self, record: Record) -> None:
        """Take a record; where there is no room it is lost, and counted."""
        if len(self._records) >= RECORDS_MAX or self._rows_in - self._rows_out >= ROWS_MAX:
            self._refused += 1
            return
        self._rows_in += _kept_rows(record)
        self._records.append(record)
        if len(self._records) >= BATCH_RECORDS:
            self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Send what waits, for so long at most; what is left then is lost, and counted."""
        if not self._thread.is_alive():
            return
        self._stop_at = time.monotonic() + timeout_s
        self._wake.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._call is not None:
            self._call.cancel()
            self._thread.join(1.0)
        self._lost += len(self._records)
        if self._records:
            LOG.warning("telemetry: %d spans were not sent before the end", len(self._records))
            self._records.clear()

    def _run(self) -> None:
        with grpc.insecure_channel(self.endpoint, compression=grpc.Compression.Gzip) as channel:
            # The bytes are written and read here: a collector's answer may be anything.
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            while self._stop_at is None or self._records:
                if self._stop_at is None and len(self._records) < BATCH_RECORDS:
                    self._wake.wait(DELAY_S)
                    self._wake.clear()
                if self._records:
                    self._deliver(export, self._next_spans())
                if self._expired():
                    return

    def _deliver(self, export: grpc.UnaryUnaryMultiCallable[bytes, bytes], spans: Sequence[bytes]) -> None:
        """Send spans; each is counted as sent or as lost, whatever happens."""
        try:
            self._send(export, self._batches.write(spans, self.dropped), len(spans))
        except Exception:
            # Telemetry must outlive its own bugs: the next batch may fare better.
            LOG.exception("telemetry: a batch was lost")
            self._lost += len(spans)

    def _next_spans(self) -> list[bytes]:
        """The oldest spans, up to the limits."""
        spans: list[bytes] = []
        size = 0
        while self._records and len(spans) < BATCH_RECORDS and size < BATCH_BYTES_MAX:
            record = self._records.popleft()
            self._rows_out += _kept_rows(record)
            try:
                spans.append(self._spans.write(record))
            except Exception:
                LOG.exception("telemetry: a span was lost")
                self._lost += 1
            else:
                size += len(spans[-1])
        return spans

    def _send(self, export: grpc.UnaryUnaryMultiCallable[bytes, bytes], batch: bytes, count: int) -> None:
        """Send a batch until it is taken, refused for good, or time is up."""
        backoff_s = BACKOFF_S
        while True:
            self._call = export.future(batch, timeout=self._timeout_s())
            try:
                answer = self._call.result()
            except grpc.FutureCancelledError:
                self._lost += count
                return
            except grpc.RpcError as error:
                wait_s = _wait_s(error, backoff_s)
                self._report(f"{error.code().name}: {error.details()}")
                if wait_s is None or self._expired():
                    self._lost += count
                    return
                self._pause(wait_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            else:
                self._count(answer, count)
                return

    def _count(self, answer: bytes, count: int) -> None:
        """A collector may refuse a part; that part must not be sent again."""
        try:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
        except DecodeError:
            # The call succeeded: whatever the answer is meant to say, the spans were taken.
            partial = ExportTraceServiceResponse().partial_success
        rejected = min(max(partial.rejected_spans, 0), count)
        self.sent += count - rejected
        self._lost += rejected
        self._report(f"{rejected} spans rejected: {partial.error_message}" if rejected else "")

    def _report(self, error: str) -> None:
        """Log a change, not each repetition."""
        if bool(error) != bool(self.error):
            if error:
                LOG.warning("telemetry: %s does not take spans: %s", self.endpoint, error)
            else:
                LOG.info("telemetry: %s takes spans again", self.endpoint)
        self.error = error

    def _timeout_s(self) -> float:
        if self._stop_at is None:
            return TIMEOUT_S
        return max(0.05, min(TIMEOUT_S, self._stop_at - time.monotonic()))

    def _expired(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._stop_at is None:
            self._wake.clear()
            # A full buffer sets the event at each record: a short sleep keeps this from spinning.
            time.sleep(min(left, 0.05))
        if self._stop_at is not None:
            time.sleep(min(seconds, 0.05))


def _kept_rows(record: Record) -> int:
    return record.outputs.rows if record.outputs else 0


def _wait_s(error: grpc.RpcError, backoff_s: float) -> float | None:
    """How long to wait before the next attempt; None where there is to be none."""
    code = error.code()
    asked_s = status.retry_after_s(error.trailing_metadata() or ())
    if asked_s is not None and code in RETRYABLE | {grpc.StatusCode.RESOURCE_EXHAUSTED}:
        return asked_s
    # Jitter, so that many servers do not come back to a collector at one moment.
    return backoff_s * random.uniform(0.5, 1.5) if code in RETRYABLE else None  # noqa: S311 - not a secret
