"""OTLP's TraceService.

To the letter of https://opentelemetry.io/docs/specs/otlp/: acknowledged is durable; an empty call succeeds; full
success leaves ``partial_success`` unset; spans that can never be kept are counted there, with a sentence, and must not
be sent again; a call that cannot be taken now is UNAVAILABLE with RetryInfo; one that cannot be read is
INVALID_ARGUMENT with BadRequest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sardonyx.errors import InvalidInput, Violation
from sardonyx_monitor.receiver.spans import Decoded, decode

if TYPE_CHECKING:
    from sardonyx_monitor.receiver.admission import Admission
    from sardonyx_monitor.receiver.decoder import Decoder
    from sardonyx_monitor.receiver.losses import Losses
    from sardonyx_monitor.store.writer import Writer


class TraceReceiver:
    """Takes spans in.

    Args:
        writer: where they go.
        admission: how many bytes may be under way.
        losses: where what is not kept is counted.
        decoder: reads them.
    """

    def __init__(self, writer: Writer, admission: Admission, losses: Losses, decoder: Decoder) -> None:
        self._writer = writer
        self._admission = admission
        self._losses = losses
        self._decoder = decoder

    async def export(self, data: bytes) -> ExportTraceServiceResponse:
        """Store the spans of a call; they are durable on return.

        Args:
            data: an ExportTraceServiceRequest.

        Raises:
            InvalidInput: the bytes are no such message.
            Unavailable: the call cannot be taken now.
        """
        with self._losses.counting(), self._admission.admit(len(data)):
            decoded = await self._decoder.read(_decode, data)
            if decoded.batch.spans or decoded.batch.senders:
                await asyncio.wrap_future(self._writer.submit(decoded.batch))
        return self._answer(decoded)

    def _answer(self, decoded: Decoded) -> ExportTraceServiceResponse:
        self._losses.spans_stored += len(decoded.batch.spans)
        self._losses.predictions_malformed += decoded.malformed
        response = ExportTraceServiceResponse()
        if decoded.rejected:
            self._losses.spans_rejected += decoded.rejected
            self._losses.spans_rejected_reason = next(iter(decoded.rejections))
            response.partial_success.rejected_spans = decoded.rejected
            response.partial_success.error_message = decoded.message()
        return response


def _decode(data: bytes) -> Decoded:
    try:
        request = ExportTraceServiceRequest.FromString(data)
    except DecodeError as error:
        expected = f"this is no ExportTraceServiceRequest: {error}. Send OTLP 1.x."
        raise InvalidInput([Violation("request", expected)]) from None
    return decode(request)
