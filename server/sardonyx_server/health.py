"""``sardonyx-server health``: asks the server on this host whether it serves, as a container's health check does."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sardonyx.address import Address

if TYPE_CHECKING:
    from sardonyx_server.config import Config

TIMEOUT_S: Final = 2.0
_ALPN: Final = "h2"
#: Where a server that listens on every address of a host is called from the host itself.
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound there
_SAY_IT_ALIKE: Final = "Give --tls-cert and --tls-client-ca here as the server has them: both, one, or none."
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING


class Unhealthy(Exception):
    """The server does not serve, or cannot be asked; the text is for the operator."""


def ask(config: Config) -> str:
    """What is known of a server of this configuration, once it is found to be well.

    Its certificate is not judged: it is for the names that callers know. Where callers must show one, a handshake is
    all that is asked: this host has none to show.

    Args:
        config: the server's.

    Raises:
        Unhealthy: it is not.
    """
    if config.port == 0:
        raise Unhealthy("At port 0 nobody listens: the server took a free one, and says which. Give it with --listen.")
    address = Address(_ANY.get(config.host, config.host), config.port)
    try:
        return asyncio.run(asyncio.wait_for(_ask(config, address), TIMEOUT_S))
    except TimeoutError:
        raise Unhealthy(f"{address} does not answer within {TIMEOUT_S:g} s.") from None
    except ConnectionRefusedError:
        raise Unhealthy(f"{address} cannot be reached: nothing listens there.") from None
    except ssl.SSLError:
        raise Unhealthy(f"{address} does not speak TLS. {_SAY_IT_ALIKE}") from None
    except OSError as error:
        raise Unhealthy(f"{address} cannot be reached: {error.strerror or error}.") from None
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise Unhealthy(f"{address} ends the connection without an answer. {_SAY_IT_ALIKE}") from None
        raise Unhealthy(f"{address} has no answer: {error.code().name}: {error.details()}") from None


async def _ask(config: Config, address: Address) -> str:
    tls = _unjudging() if config.tls_cert else None
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=tls)
    with contextlib.closing(writer):
        if tls is not None and writer.get_extra_info("ssl_object").selected_alpn_protocol() != _ALPN:
            raise Unhealthy(f"{address} speaks TLS, and not gRPC.")
        if config.tls_client_ca:
            return f"{address} shakes hands, and asks for a certificate"
        status = await _status(reader, writer)
    if status != _SERVING:
        raise Unhealthy(f"{address} says {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}.")
    return f"{address} is SERVING"


def _unjudging() -> ssl.SSLContext:
    """For a client that takes any certificate, which gRPC has none of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([_ALPN])
    return context


async def _status(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> health_pb2.HealthCheckResponse.ServingStatus:
    """Health's answer over a connection that stands already: gRPC reaches it by a port of this process."""
    copies: list[asyncio.Task[None]] = []

    def join(near_reader: asyncio.StreamReader, near_writer: asyncio.StreamWriter) -> None:
        copies.append(asyncio.create_task(_copy(near_reader, writer)))
        copies.append(asyncio.create_task(_copy(reader, near_writer)))

    tunnel = await asyncio.start_server(join, "127.0.0.1", 0)
    host, port = tunnel.sockets[0].getsockname()
    try:
        async with grpc.aio.insecure_channel(f"{host}:{port}", [("grpc.enable_http_proxy", 0)]) as channel:
            return (await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())).status
    finally:
        tunnel.close()
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until one side has gone."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
