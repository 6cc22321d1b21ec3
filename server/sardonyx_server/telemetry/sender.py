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
from sardonyx_server.telemetry.batch import BatchWriter, Chunk
from sardonyx_server.telemetry.spans import SpanWriter
from sardonyx_server.telemetry.usual_spans import UsualSpanWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sardonyx.address import Address
    from sardonyx_server.telemetry.collector import Collector
    from sardonyx_server.telemetry.record import Record
    from sardonyx_server.telemetry.sampling import Kept, Sampler
    from sardonyx_server.telemetry.usual import Usual

METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

#: What may wait: at 5,000 requests a second, a span of one row taking 750 bytes, a collector may be gone for 18 s.
BUFFER_BYTES_MAX: Final = 64 * 1024 * 1024
BATCH_SPANS: Final = 1024
#: Half of gRPC's default limit of 4 MiB. What is larger by itself goes alone: should it be refused, nothing else is.
BATCH_BYTES_MAX: Final = 2 * 1024 * 1024
#: How long spans wait for company.
DELAY_S: Final = 0.5
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
    """Writes the spans of the records that it takes, and sends them.

    Args:
        collector: where they go.
        address: where this server listens.
        sampler: which predictions get a span.
    """

    def __init__(self, collector: Collector, address: Address, sampler: Sampler) -> None:
        self.endpoint = collector.endpoint
        self.sent = 0
        self.error = ""
        self._collector = collector
        self._sampler = sampler
        self._chunks: deque[Chunk] = deque()
        # Each counter has one writer, the recorder's thread or this one's: then plain integers need no lock.
        self._refused = 0
        self._lost = 0
        self._spans_in = 0
        self._spans_out = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._writer = SpanWriter(address)
        self._usual_writer = UsualSpanWriter(address)
        self._batches = BatchWriter()
        self._wake = threading.Event()
        self._stop_at: float | None = None
        self._channel: grpc.Channel | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)

    @property
    def dropped(self) -> int:
        """How many spans were lost: there was no room, or the collector would not take them."""
        return self._refused + self._lost

    @property
    def buffered(self) -> int:
        """How many spans wait, those that are being sent among them."""
        return self._spans_in - self._spans_out

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Write spans and keep them until they are sent; where there is no room they are lost, and counted."""
        self._refused += missed
        self._keep(self._write(self._sampler.keep(records)))

    def take_usual(self, usual: Usual) -> None:
        """The same, of usual predictions."""
        kept = self._sampler.keep_rows(usual.rows["duration_ns"])
        try:
            chunks = [chunk for each in kept for chunk in self._usual_writer.write(usual, each)]
        except Exception:
            LOG.exception("telemetry: the spans of a table were lost")
            self._refused += sum(len(each.places) for each in kept)
        else:
            self._keep(chunks)

    def _keep(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            if self._bytes_in - self._bytes_out >= BUFFER_BYTES_MAX:
                self._refused += chunk.spans
            else:
                self._spans_in += chunk.spans
                self._bytes_in += len(chunk.data)
                self._chunks.append(chunk)
        if self.buffered >= BATCH_SPANS:
            self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Send what waits, for so long at most; what is left then is lost, and counted."""
        if not self._thread.is_alive():
            return
        self._stop_at = time.monotonic() + timeout_s
        self._wake.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive() and self._channel is not None:
            # What is on its way ends with it.
            self._channel.close()
            self._thread.join(1.0)
        if self.buffered:
            LOG.warning("telemetry: %d spans were not sent before the end", self.buffered)
            self._lost += self.buffered
            self._spans_out = self._spans_in
            self._chunks.clear()

    def _write(self, many: Sequence[Kept]) -> list[Chunk]:
        """Spans, serialised; one that cannot be written is lost alone."""
        if not many:
            return []
        try:
            return list(map(Chunk.of, self._writer.write(many)))
        except Exception:
            if len(many) > 1:
                return [chunk for kept in many for chunk in self._write([kept])]
            LOG.exception("telemetry: a span was lost")
            self._refused += 1
            return []

    def _run(self) -> None:
        with self._collector.channel() as channel:
            self._channel = channel
            # The bytes are written and read here: a collector's answer may be anything.
            export: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            while self._stop_at is None or self._chunks:
                if self._stop_at is None and self.buffered < BATCH_SPANS:
                    self._wake.wait(DELAY_S)
                    self._wake.clear()
                if self._chunks:
                    self._deliver(export, self._next_batch())
                if self._expired():
                    return

    def _deliver(self, export: grpc.UnaryUnaryMultiCallable[bytes, bytes], chunks: Sequence[Chunk]) -> None:
        """Send spans; each is counted as sent or as lost, whatever happens, and waits until then."""
        count, taken = sum(chunk.spans for chunk in chunks), 0
        try:
            taken = self._send(export, self._batches.write(chunks, self.dropped), count)
        except Exception:
            # Telemetry must outlive its own bugs: the next batch may fare better.
            LOG.exception("telemetry: a batch was lost")
        self._spans_out += count
        self._bytes_out += sum(len(chunk.data) for chunk in chunks)
        self._lost += count - taken
        self.sent += taken

    def _next_batch(self) -> list[Chunk]:
        """The oldest spans, up to the limits."""
        chunks: list[Chunk] = []
        spans = size = 0
        while self._chunks and spans < BATCH_SPANS:
            if chunks and size + len(self._chunks[0].data) > BATCH_BYTES_MAX:
                break
            chunks.append(self._chunks.popleft())
            spans += chunks[-1].spans
            size += len(chunks[-1].data)
        return chunks

    def _send(self, export: grpc.UnaryUnaryMultiCallable[bytes, bytes], batch: bytes, count: int) -> int:
        """Send a batch until it is taken, refused for good, or time is up; how many of its spans were taken."""
        backoff_s = BACKOFF_S
        while True:
            try:
                # And not a future, for which gRPC needs a thread: where the system has none it is never heard of again.
                answer = export(batch, timeout=self._timeout_s(), metadata=self._collector.headers)
            except ValueError:
                # stop() may have closed the channel just before.
                if self._expired():
                    return 0
                raise
            except grpc.RpcError as error:
                wait_s = _wait_s(error, backoff_s)
                self._report(f"{error.code().name}: {error.details()}")
                if wait_s is None or self._expired():
                    return 0
                self._pause(wait_s)
                backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            else:
                return count - self._rejected(answer, count)

    def _rejected(self, answer: bytes, count: int) -> int:
        """How many spans a collector has refused of those that it took; they must not be sent again."""
        try:
            partial = ExportTraceServiceResponse.FromString(answer).partial_success
        except DecodeError:
            # The call succeeded: whatever the answer is meant to say, the spans were taken.
            partial = ExportTraceServiceResponse().partial_success
        rejected = min(max(partial.rejected_spans, 0), count)
        self._report(f"{rejected} spans rejected: {partial.error_message}" if rejected else "")
        return rejected

    def _report(self, error: str) -> None:
        """Log a change, not each repetition."""
        if bool(error) != bool(self.error):
            if error:
                LOG.warning("telemetry: %s does not take spans: %s", self.endpoint, error)
            else:
                LOG.info("telemetry: %s takes spans again", self.endpoint)
        self.error = error

    def _timeout_s(self) -> float:
        timeout_s = self._collector.timeout_s
        if self._stop_at is None:
            return timeout_s
        return max(0.05, min(timeout_s, self._stop_at - time.monotonic()))

    def _expired(self) -> bool:
        return self._stop_at is not None and time.monotonic() >= self._stop_at

    def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and self._stop_at is None:
            self._wake.clear()
            # A full buffer sets the event at each slice: a short sleep keeps this from spinning.
            time.sleep(min(left, 0.05))
        if self._stop_at is not None:
            time.sleep(min(seconds, 0.05))


def _wait_s(error: grpc.RpcError, backoff_s: float) -> float | None:
    """How long to wait before the next attempt; None where there is to be none."""
    code = error.code()
    asked_s = status.retry_after_s(error.trailing_metadata() or ())
    if asked_s is not None and code in RETRYABLE | {grpc.StatusCode.RESOURCE_EXHAUSTED}:
        # A collector that says "at once" and goes on refusing would be asked thousands of times a second.
        return max(asked_s, BACKOFF_S)
    # Jitter, so that many servers do not come back to a collector at one moment.
    return backoff_s * random.uniform(0.5, 1.5) if code in RETRYABLE else None  # noqa: S311 - not a secret
