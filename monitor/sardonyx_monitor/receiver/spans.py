"""An ExportTraceServiceRequest as rows: every span is kept or rejected with a reason."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sardonyx import telemetry
from sardonyx_monitor.receiver.attributes import Malformed
from sardonyx_monitor.receiver.inputs import is_captured, read_inputs
from sardonyx_monitor.receiver.members import read_members
from sardonyx_monitor.receiver.predictions import OUTPUTS, read_predictions, read_request
from sardonyx_monitor.receiver.values import to_map, to_text
from sardonyx_monitor.store.rows import Batch, SenderRow, SpanRow

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope

_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8
#: The year 2262: what fits a signed 64-bit count of nanoseconds, which is what stores have; the last one is DuckDB's
#: infinity.
_NS_MAX: Final = (1 << 63) - 2

#: The names that the OpenTelemetry Collector's ClickHouse exporter writes.
_KINDS: Final = {
    Span.SPAN_KIND_UNSPECIFIED: "Unspecified",
    Span.SPAN_KIND_INTERNAL: "Internal",
    Span.SPAN_KIND_SERVER: "Server",
    Span.SPAN_KIND_CLIENT: "Client",
    Span.SPAN_KIND_PRODUCER: "Producer",
    Span.SPAN_KIND_CONSUMER: "Consumer",
}
_CODES: Final = {Status.STATUS_CODE_UNSET: "Unset", Status.STATUS_CODE_OK: "Ok", Status.STATUS_CODE_ERROR: "Error"}


@dataclass(slots=True)
class Decoded:
    """What a call brought.

    Attributes:
        batch: the spans that are kept, with what they say of predictions.
        rejections: how many spans were not kept, by reason.
        malformed: spans kept whose words about a prediction could not be read.
    """

    batch: Batch = field(default_factory=Batch)
    rejections: Counter[str] = field(default_factory=Counter)
    malformed: int = 0

    @property
    def rejected(self) -> int:
        """How many spans were not kept."""
        return self.rejections.total()

    def message(self) -> str:
        """Why, for whoever runs the sender; empty where nothing was rejected."""
        return "; ".join(f"{count} spans rejected: {reason}" for reason, count in self.rejections.most_common())


@dataclass(frozen=True, slots=True)
class _Origin:
    """What is equal for all spans of one scope."""

    service: str
    resource: str
    scope: InstrumentationScope


def decode(request: ExportTraceServiceRequest) -> Decoded:
    """Read every span of a call."""
    decoded = Decoded()
    for of_resource in request.resource_spans:
        attributes = {each.key: to_text(each.value) for each in of_resource.resource.attributes}
        service, resource = attributes.get("service.name", ""), json.dumps(attributes)
        for of_scope in of_resource.scope_spans:
            origin = _Origin(service, resource, of_scope.scope)
            for span in of_scope.spans:
                _take(decoded, span, origin)
            _read_sender(decoded.batch, attributes, of_scope.scope)
    return decoded


def _take(decoded: Decoded, span: Span, origin: _Origin) -> None:
    reason = _fault(span)
    if reason:
        decoded.rejections[reason] += 1
        return
    values = {each.key: each.value for each in span.attributes}
    row = _row(span, origin)
    kept = telemetry.PREDICTION_ID in values and _take_prediction(decoded, row, values)
    text = {key: to_text(value) for key, value in values.items() if not (kept and (key in OUTPUTS or is_captured(key)))}
    decoded.batch.spans.append(row._replace(attributes=json.dumps(text)))


def _take_prediction(decoded: Decoded, row: SpanRow, values: dict[str, AnyValue]) -> bool:
    """Whether outputs and inputs went into the batch; else they stay among the span's attributes, for a person."""
    try:
        request = read_request(row, values)
        decoded.batch.requests.append(request)
        members = read_members(request, values)
        decoded.batch.members += members.rows
        predictions, inputs = read_predictions(request, members, values), read_inputs(request, members, values)
    except Malformed:
        decoded.malformed += 1
        return False
    decoded.batch.predictions += predictions
    decoded.batch.inputs += inputs
    return True


def _fault(span: Span) -> str:
    """What makes a span unusable; empty where nothing does."""
    if len(span.trace_id) != _TRACE_ID_BYTES or not any(span.trace_id):
        return "a trace id must have 16 bytes, not all zero. Give each trace a random one."
    if len(span.span_id) != _SPAN_ID_BYTES or not any(span.span_id):
        return "a span id must have 8 bytes, not all zero. Give each span a random one."
    if len(span.parent_span_id) not in (0, _SPAN_ID_BYTES):
        return "a parent span id must be empty or have 8 bytes. Leave it out of root spans."
    if not 0 < span.start_time_unix_nano <= _NS_MAX or span.end_time_unix_nano > _NS_MAX:
        return "start and end must be nanoseconds since 1970. Set both."
    if span.end_time_unix_nano < span.start_time_unix_nano:
        return "the end lies before the start. Send a span once it has ended, and check the sender's clock."
    return ""


def _row(span: Span, origin: _Origin) -> SpanRow:
    return SpanRow(
        start_ns=span.start_time_unix_nano,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        trace_state=span.trace_state,
        name=span.name,
        kind=_KINDS.get(span.kind, "Unspecified"),
        service=origin.service,
        resource=origin.resource,
        scope_name=origin.scope.name,
        scope_version=origin.scope.version,
        attributes="{}",
        duration_ns=span.end_time_unix_nano - span.start_time_unix_nano,
        status_code=_CODES.get(span.status.code, "Unset"),
        status_message=span.status.message,
        event_ns=[min(each.time_unix_nano, _NS_MAX) for each in span.events],
        event_name=[each.name for each in span.events],
        event_attributes=[to_map(each.attributes) for each in span.events],
        link_trace_id=[each.trace_id.hex() for each in span.links],
        link_span_id=[each.span_id.hex() for each in span.links],
        link_state=[each.trace_state for each in span.links],
        link_attributes=[to_map(each.attributes) for each in span.links],
    )


def _read_sender(batch: Batch, resource: dict[str, str], scope: InstrumentationScope) -> None:
    """How many spans the sender lost before it could send them, by its own count."""
    for each in scope.attributes:
        if each.key == telemetry.SPANS_DROPPED and each.value.int_value >= 0:
            service, host = resource.get("service.name", ""), resource.get("host.name", "")
            instance = resource.get("service.instance.id") or f"{service}@{host}"
            batch.senders.append(SenderRow(instance, service, host, each.value.int_value, time.time_ns()))
