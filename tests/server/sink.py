"""An OTLP collector for tests, over a real socket: it answers as it is told, and keeps what it took."""

from __future__ import annotations

import contextlib
import secrets
import socket
from concurrent import futures
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from sardonyx import status, telemetry
from sardonyx_server.telemetry import sender
from server.scene import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    Behaviour = Callable[[grpc.ServicerContext], bytes]

OK = ExportTraceServiceResponse().SerializeToString()
#: Below it are the ports of programs that people know.
FREE_FROM = 10_000


@dataclass
class Sink:
    """What a collector does, and what came.

    Attributes:
        behave: what each call does, in order; those after the last are taken.
        taken: the requests that were answered with OK.
        calls: how many there were.
        metadata: what came with the last of them.
    """

    behave: list[Behaviour] = field(default_factory=list)
    taken: list[ExportTraceServiceRequest] = field(default_factory=list)
    calls: int = 0
    metadata: dict[str, Any] = field(default_factory=dict)

    def export(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        """TraceService/Export."""
        self.calls += 1
        self.metadata = dict(context.invocation_metadata())
        answer = self.behave.pop(0)(context) if self.behave else OK
        self.taken.append(ExportTraceServiceRequest.FromString(request))
        return answer

    @property
    def spans(self) -> list[Span]:
        """All spans that were taken."""
        return [
            span
            for request in self.taken
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def ids(self) -> list[str]:
        """Their prediction ids."""
        return [attribute(span, telemetry.PREDICTION_ID).string_value for span in self.spans]


def attribute(span: Span, name: str) -> Any:
    """An attribute's value."""
    (value,) = [each.value for each in span.attributes if each.key == name]
    return value


@contextlib.contextmanager
def running(sink: Sink, port: int = 0, credentials: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """The collector on a port of its own; its address."""
    server = grpc.server(futures.ThreadPoolExecutor(4))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(sink.export)
    service, _, method = sender.METHOD.strip("/").rpartition("/")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    address = f"127.0.0.1:{port}"
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait(PATIENCE_S)


def fail(code: grpc.StatusCode, retry_after_s: float | None = None) -> Behaviour:
    """A behaviour: refuse, and say when to come back."""

    def behave(context: grpc.ServicerContext) -> bytes:
        if retry_after_s is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromTimedelta(timedelta(seconds=retry_after_s))
            rich = status_pb2.Status(code=code.value[0], message="later")
            rich.details.add().Pack(retry)
            context.set_trailing_metadata(((status.DETAILS_KEY, rich.SerializeToString()),))
        context.abort(code, "later")

    return behave


def answer(data: bytes) -> Behaviour:
    """A behaviour: take it and answer with these bytes."""
    return lambda _context: data


def free_port() -> int:
    """A port where nobody listens, of those that the kernel gives nobody: tests beside this one ask it for theirs."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        # Not of the generator that hypothesis seeds: every worker would begin with the same one.
        port = FREE_FROM + secrets.randbelow(first - FREE_FROM) if first > FREE_FROM else 0
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
