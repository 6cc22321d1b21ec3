"""Many spans as one ExportTraceServiceRequest."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk import resources

from sardonyx import __version__, telemetry
from sardonyx.protobuf import delimited, varint

if TYPE_CHECKING:
    from collections.abc import Iterable

# ExportTraceServiceRequest.resource_spans, ResourceSpans.resource and .scope_spans, ScopeSpans.scope and .spans.
_FIRST: Final = b"\x0a"
_SECOND: Final = b"\x12"
#: The tag of a span within the message.
SPAN: Final = _SECOND


class Chunk(NamedTuple):
    """Some spans as they stand in the message.

    Attributes:
        spans: how many.
        data: their bytes, each under its tag.
    """

    spans: int
    data: bytes

    @classmethod
    def of(cls, span: bytes) -> Chunk:
        """One serialised span."""
        return cls(1, delimited(SPAN, span))


class BatchWriter:
    """Puts spans under this process's resource.

    The resource is the SDK's, so OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME are honoured.
    """

    def __init__(self) -> None:
        described = resources.Resource(
            {
                resources.SERVICE_NAME: telemetry.SERVICE_NAME_SERVER,
                resources.SERVICE_VERSION: __version__,
                resources.SERVICE_INSTANCE_ID: str(uuid.uuid4()),
                resources.PROCESS_PID: os.getpid(),
                resources.HOST_NAME: os.uname().nodename,
            }
        ).merge(resources.OTELResourceDetector().detect())
        attributes = [KeyValue(key=key, value=_any(value)) for key, value in described.attributes.items()]
        self._resource = delimited(_FIRST, Resource(attributes=attributes).SerializeToString())

    def write(self, chunks: Iterable[Chunk], dropped: int) -> bytes:
        """The request's bytes.

        Args:
            chunks: the spans.
            dropped: how many spans this process has lost so far; whoever counts spans then knows the gap.
        """
        scope = InstrumentationScope(name=telemetry.SCOPE_NAME, version=__version__)
        scope.attributes.add(key=telemetry.SPANS_DROPPED).value.int_value = dropped
        parts = [delimited(_FIRST, scope.SerializeToString()), *(chunk.data for chunk in chunks)]
        # The lengths of what is around the spans come first, and half a megabyte is put together once.
        in_scope = _SECOND + varint(sum(map(len, parts)))
        around = self._resource + in_scope
        return b"".join([_FIRST, varint(len(around) + sum(map(len, parts))), around, *parts])


def _any(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    # The environment may hold bytes that are no text.
    return AnyValue(string_value=str(value).encode(errors="replace").decode())
