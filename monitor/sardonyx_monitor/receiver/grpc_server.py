"""The gRPC door: TraceService, OutcomeService and health on one port.

Messages come as bytes, so that one which cannot be read is answered as OTLP asks, not as gRPC's own error.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sardonyx.guard import guarded
from sardonyx_monitor.listening import probe
from sardonyx_monitor.log import LOG
from sardonyx_monitor.receiver.admission import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from sardonyx.address import Address
    from sardonyx_monitor.receiver.outcomes import OutcomeReceiver
    from sardonyx_monitor.receiver.traces import TraceReceiver

    Context = grpc.aio.ServicerContext[Any, Any]

TRACE_SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
OUTCOME_SERVICE: Final = "sardonyx.monitor.v1.OutcomeService"
#: Calls under way get so long to end when the monitor stops.
GRACE_S: Final = 2.0


class GrpcServer:
    """Serves until it is stopped.

    Args:
        traces: takes spans.
        outcomes: takes outcomes.
    """

    def __init__(self, traces: TraceReceiver, outcomes: OutcomeReceiver) -> None:
        self._methods = {
            TRACE_SERVICE: {"Export": _method(traces.export)},
            OUTCOME_SERVICE: {"ReportOutcomes": _method(outcomes.report)},
        }
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    async def start(self, address: Address) -> int:
        """Begin to serve; the port.

        Raises:
            AddressRefused, RuntimeError: the address cannot be had.
        """
        probe(address, "--otlp")
        options = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)]
        server = self._server = grpc.aio.server(options=options)
        for service, methods in self._methods.items():
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        port = server.add_insecure_port(str(address))
        await server.start()
        for service in ("", TRACE_SERVICE, OUTCOME_SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self) -> None:
        """Say NOT_SERVING, finish what runs. Safe twice, and before start."""
        if self._server is not None:
            # A watcher that does not take what it is told keeps the library's lock.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._health.enter_graceful_shutdown(), GRACE_S)
            await self._server.stop(GRACE_S)
            self._server = None


def _method(handle: Callable[[bytes], Awaitable[Message]]) -> grpc.RpcMethodHandler[bytes, bytes]:
    async def answer(data: bytes, _context: Context) -> bytes:
        return (await handle(data)).SerializeToString()

    return grpc.unary_unary_rpc_method_handler(guarded(answer, LOG))
