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

from sardonyx_server.access.tls import Certificates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_server.config import Config

#: So that a few connections hardly ever meet at one of them. Each takes 100 kB and a file descriptor.
SERVERS: Final = 16
#: What a caller may send on a stream before anybody reads there. gRPC would measure how much is on its way, and allow
#: twice that: beside a busy event loop the measure takes long, and it allowed gigabytes to streams that nobody read. A
#: request up to this size arrives at once; one of 2.4 MB took 25 ms over a line of 10 ms there and back, 14 with 4 MiB,
#: and 46 with HTTP/2's own 64 kB. With 256 KiB a fifth of the rows a second was lost on loopback, with 1 MiB none.
UNREAD_BYTES_MAX: Final = 1024 * 1024
#: How long who connects may say nothing: gRPC's own callers give up then, and its own servers wait for 120 s.
HANDSHAKE_MS: Final = 20_000


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
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", UNREAD_BYTES_MAX),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ]
        self._servers = [grpc.aio.server(options=options) for _ in range(SERVERS)]
        for server in self._servers:
            server.add_generic_rpc_handlers(handlers)

    async def open(self) -> None:
        """Begin to accept connections.

        Raises:
            RuntimeError: nobody can listen on the address.
            AccessFileError: the certificates cannot be used.
        """
        address = str(self._config.address)
        certificates = Certificates(self._config) if self._config.tls_cert else None
        for server in self._servers:
            if certificates is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, certificates.credentials())
        await asyncio.gather(*(server.start() for server in self._servers))

    def close(self, grace_s: float) -> asyncio.Future[list[None]]:
        """Tell every connection to go away, in the next turn of the loop; done when all that was asked has ended.

        Args:
            grace_s: what has not ended by then is ended.
        """
        return asyncio.gather(*(server.stop(grace_s) for server in self._servers))
