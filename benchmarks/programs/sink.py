"""An OTLP collector that takes every span and looks at none: what it costs is not what is measured.

python benchmarks/programs/sink.py PORT
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
import uvloop


async def export(request: bytes, _: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """Take a batch: an empty answer is full success."""
    del request
    return b""


async def serve(port: int) -> None:
    """Serve until the process is ended."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
