"""The port of a worker, and how calls get from there to the event loop.

A ``grpc.aio.Server`` accepts one call at a time: it asks for the next when the event loop has seen the last, and each
such turn wakes gRPC's polling thread and the loop in between. With several of them on one port, by SO_REUSEPORT, the
kernel spreads connections over them, the loop finds several calls whenever it wakes, and code that has just run for one
of them runs for the next at a tenth of the price: of a small request's 150 µs most is memory that is not in the caches.
Measured with everything on one processor, four connections and 32 calls in flight, the bare server of the benchmarks:

| on one port | µs of processor a request | wake-ups a request |
|---|---:|---:|
| 1 server | 146 | 1.0 |
| 4 servers | 117 | 0.5 |
| 16 servers | 101 | 0.25 |
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc

from sardonyx_server import wakeups
from sardonyx_server.access.tls import credentials_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_server.config import Config

#: So that a few connections hardly ever meet at one of them. Each takes 100 kB and a file descriptor.
SERVERS: Final = 16


class Port:
    """Takes calls from the network; made inside the event loop.

    Args:
        config: where to listen, and what of messages and certificates.
        handlers: who answers.
    """

    def __init__(self, config: Config, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._config = config
        options = [
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", config.message_bytes_max),
            ("grpc.max_send_message_length", -1),
        ]
        self._servers = [grpc.aio.server(options=options) for _ in range(SERVERS)]
        for server in self._servers:
            server.add_generic_rpc_handlers(handlers)

    async def open(self) -> None:
        """Begin to accept connections.

        Raises:
            OSError, RuntimeError: nobody can listen on the address; the latter is gRPC's.
            AccessFileError: the certificates cannot be used.
        """
        address = str(self._config.address)
        credentials = credentials_of(self._config)
        for server in self._servers:
            number = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
            if not number:
                raise OSError(f"cannot listen on {address}")
        await asyncio.gather(*(server.start() for server in self._servers))
        wakeups.let_the_loop_finish()

    async def close(self, grace_s: float) -> None:
        """Tell every connection to go away, and end what has not ended by then."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))
