"""What a caller is told who cannot be answered: where the call went, what is probably wrong, and what to do."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client, Tls
from sardonyx.client import Unreachable
from sardonyx.errors import DeadlineExceeded, InvalidInput, SardonyxError, Unavailable
from sardonyx.status import code_of
from server.sink import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AUTHORITY, STRANGER = trustme.CA(), trustme.CA()
SERVER = AUTHORITY.issue_cert("127.0.0.1")


def _expired(name: str) -> trustme.LeafCert:
    last_year = datetime.now(UTC) - timedelta(days=365)
    return AUTHORITY.issue_cert(name, not_before=last_year, not_after=last_year + timedelta(days=90))


def _pair(issued: trustme.LeafCert) -> tuple[bytes, bytes]:
    return b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()


def _as(issued: trustme.LeafCert) -> Tls:
    """A caller with a certificate."""
    cert, key = _pair(issued)
    return Tls(ca=AUTHORITY.cert_pem.bytes(), cert=cert, key=key)


def _with(issued: trustme.LeafCert, *, asks: bool = False) -> grpc.ServerCredentials:
    """A server with a certificate, which may ask for its callers'."""
    cert, key = _pair(issued)
    return grpc.ssl_server_credentials([(key, cert)], AUTHORITY.cert_pem.bytes() if asks else None, asks)


def _block(address: str | list[str], **options: Any) -> SardonyxError:
    with Client(address, **options) as client, pytest.raises(SardonyxError) as raised:
        client.predict(MODEL, {"x": 1.0})
    return raised.value


def _run(address: str | list[str], **options: Any) -> SardonyxError:
    async def ask() -> SardonyxError:
        async with AsyncClient(address, **options) as client:
            with pytest.raises(SardonyxError) as raised:
                await client.predict(MODEL, {"x": 1.0})
            return raised.value

    return asyncio.run(ask())


both = pytest.mark.parametrize("failure", [_block, _run])

TRUSTING = Tls(ca=AUTHORITY.cert_pem.bytes())


@both
@pytest.mark.parametrize(
    ("server", "tls", "said"),
    [
        (_with(SERVER), None, "probably speaks TLS: then give tls=Tls"),
        (None, TRUSTING, "does not speak TLS. Leave tls out"),
        (_with(SERVER), Tls(ca=STRANGER.cert_pem.bytes()), "no authority that this client trusts"),
        (_with(SERVER), Tls(), "no authority that this client trusts"),
        (_with(AUTHORITY.issue_cert("models.example")), TRUSTING, "certificate is for other names"),
        (_with(_expired("127.0.0.1")), TRUSTING, "certificate has expired"),
        (_with(SERVER, asks=True), TRUSTING, "probably asks for this client's certificate: give tls=Tls"),
        (_with(SERVER, asks=True), _as(STRANGER.issue_cert("me")), "does not accept the certificate in tls"),
        (_with(SERVER, asks=True), _as(_expired("me")), "does not accept the certificate in"),
        (_with(SERVER, asks=True), Tls(cert=_pair(SERVER)[0], key=_pair(AUTHORITY.issue_cert("me"))[1]), "own"),
    ],
)
def test_a_mistake_with_tls_is_said(
    failure: Callable[..., SardonyxError], server: grpc.ServerCredentials | None, tls: Tls | None, said: str
) -> None:
    """With the address, the likely cause and a cure; gRPC's own text is beside it, and its code stays."""
    with plain.running(Plain(), tls=server) as address:
        error = failure(address, tls=tls, timeout_s=1.0)
    assert isinstance(error, Unreachable)
    assert error.message.startswith(f"{address} cannot be reached: ")
    assert said in error.message
    assert error.details not in error.message
    assert error.address == address
    assert vars(copy.copy(error)) == vars(error)
    assert code_of(error) is grpc.StatusCode.UNAVAILABLE


@contextlib.contextmanager
def _page() -> Iterator[str]:
    """A server of HTTP/1.1."""
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@both
def test_what_is_not_there_is_said(failure: Callable[..., SardonyxError]) -> None:
    """A port where nobody listens, a host that nobody knows, a socket that is none, and a page."""
    with _page() as page:
        for address, said in (
            (f"127.0.0.1:{free_port()}", "nothing listens there. Check that the server runs"),
            ("nowhere.invalid:8001", "its host is not found. Check how it is written"),
            ("unix:/nowhere/models", "there is no such socket"),
            (page, "what listens there is no gRPC server"),
        ):
            error = failure(address, timeout_s=1.0)
            assert isinstance(error, Unavailable)
            assert error.message.startswith(f"{address} cannot be reached: ")
            assert said in error.message


@both
def test_a_name_of_several_addresses_is_said(failure: Callable[..., SardonyxError]) -> None:
    """Of the addresses that a name stands for gRPC tells of one: which it is is said, and how to hear of the others."""
    port = free_port()
    message = failure(f"localhost:{port}", timeout_s=1.0).message
    assert message.startswith(f"localhost:{port} cannot be reached: nothing listens at ")
    assert any(
        f" at {host}:{port}, the last of its addresses to be tried." in message for host in ("127.0.0.1", "[::1]")
    )
    assert f"call one by its number, such as 127.0.0.1:{port}" in message


@both
def test_a_server_behind_a_name_is_not_said_to_be_missing(failure: Callable[..., SardonyxError]) -> None:
    """Where localhost's other address refuses, whoever listens at one of them is not denied for it."""
    with plain.running(Plain(), tls=_with(AUTHORITY.issue_cert("localhost"))) as address:
        name = f"localhost:{address.rpartition(':')[2]}"
        for tls, said in ((Tls(ca=STRANGER.cert_pem.bytes()), "no authority that this client trusts"), (None, "TLS")):
            for _ in range(2):
                message = failure(name, tls=tls, timeout_s=1.0).message
                assert "nothing listens there" not in message
                assert said in message or "call one by its number, such as 127.0.0.1:" in message


@both
def test_all_that_are_not_there_are_said(failure: Callable[..., SardonyxError]) -> None:
    """Each address of the client is in the message, once."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    message = failure(addresses).message
    assert [message.count(address) for address in addresses] == [1, 1, 1]


@both
def test_who_says_nothing_is_said(failure: Callable[..., SardonyxError]) -> None:
    """Where something listens and never speaks, the time is up; that there was no connection is told with it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        error = failure(address, timeout_s=7.0)
    assert isinstance(error, DeadlineExceeded)
    assert f"There is no connection to {address}: check" in error.message


@contextlib.contextmanager
def _ending() -> Iterator[str]:
    """A server that takes connections of HTTP/2, and ends each at its first call."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        # Settings: all as they are by default.
                        connection.sendall(bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
                        said = b""
                        while b"ModelMetadata" not in said and (more := connection.recv(4096)):
                            said += more

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@both
def test_a_connection_that_ends_is_said(failure: Callable[..., SardonyxError]) -> None:
    """Who goes away under a call is named, and so is what the caller can do."""
    with _ending() as address:
        error = failure(address, connections=1)
    assert isinstance(error, Unreachable)
    assert error.message.startswith(f"The connection to {address} ended before there was an answer.")


def test_what_a_server_says_itself_is_left_alone() -> None:
    """A foreign server's own words are the message, word for word."""
    with plain.running(Plain(refusal=grpc.StatusCode.UNAVAILABLE)) as address:
        error = _block(address)
    assert (type(error), error.message) == (Unavailable, "not here, not now")


@both
def test_a_call_that_another_server_takes_is_said(failure: Callable[..., SardonyxError]) -> None:
    """Who asks for predictions where there are none is told whose address to look for."""
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        error = failure(address)
    finally:
        server.stop(grace=None).wait()
    assert error.message.startswith(f"{address} does not take this call: Method not found. Ask sardonyx-server")


@both
def test_too_much_metadata_is_said_at_once(failure: Callable[..., SardonyxError]) -> None:
    """What a server refuses for its length is the caller's to shorten, and is not sent again."""
    server = Plain()
    with plain.running(server) as address:
        error = failure(address, token="x" * 100_000)
    assert isinstance(error, InvalidInput)
    assert error.message.startswith("metadata: ")
    assert error.message.endswith("Send less of it.")
