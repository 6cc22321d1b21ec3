"""TLS and mutual TLS on the server's port, with certificates of an authority made for the test."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from sardonyx.oip import messages as oip
from server.scene import (
    ALONE,
    PATIENCE_S,
    REGRESSOR,
    array_of,
    ask,
    failure_of,
    infer,
    is_ready,
    regressor_request,
    wait_until,
)
from server.test_check import run
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.scene import Scene

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Pair:
    """A server's files, as the operator names them."""

    cert: Path
    key: Path

    @property
    def options(self) -> tuple[str, ...]:
        """On the command line."""
        return ("--tls-cert", str(self.cert), "--tls-key", str(self.key))


def pair_of(folder: Path, issued: trustme.LeafCert) -> Pair:
    """Write a certificate and its key."""
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    pair.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    pair.key.write_bytes(issued.private_key_pem.bytes())
    return pair


def root_of(authority: trustme.CA) -> bytes:
    """An authority's own certificate."""
    return authority.cert_pem.bytes()


@contextlib.contextmanager
def serving(scene: Scene, *options: str) -> Iterator[tuple[Program, str]]:
    """A server of one worker with these options; its program and address."""
    fixed = ("--registry", str(scene.registry), "--listen", f"{HOST}:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, *options)
    try:
        yield program, program.wait_for(r"listening on (\S+:\d+)")[1]
    finally:
        assert program.stop() == 0, "".join(program.lines)


def is_live(channel: grpc.Channel) -> bool:
    """Whether a server answers there."""
    return bool(ask(channel, "ServerLive", oip.ServerLiveRequest(), oip.ServerLiveResponse).live)


def fingerprint_of(address: str) -> tuple[bytes, str | None]:
    """The certificate that a new connection is shown, and the protocol that was agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1", "h2"])
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain, context.wrap_socket(plain) as secure:
        return secure.getpeercert(binary_form=True) or b"", secure.selected_alpn_protocol()


def refusal(scene: Scene, *options: str) -> str:
    """What a server says that does not start, once its exit status is that of a failure."""
    fixed = ("--registry", str(scene.registry), "--listen", f"{HOST}:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, *options)
    assert program.process.wait(timeout=PATIENCE_S) in (1, 2)
    program.stop()
    printed = "".join(program.lines)
    assert "Traceback" not in printed
    return printed


def test_calls_are_answered_over_tls(scene: Scene, tmp_path: Path) -> None:
    """Who trusts the authority is answered, over HTTP/2; who does not, or speaks plain text, is not."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert(HOST))
    with serving(scene, *pair.options) as (_, address):
        trusting = grpc.ssl_channel_credentials(root_of(authority))
        with grpc.secure_channel(address, trusting) as channel:
            wait_until(lambda: is_ready(channel), "the server is ready")
            assert infer(channel, regressor_request(array_of(seed=3, rows=2))).model_name == REGRESSOR
        assert fingerprint_of(address)[1] == "h2"

        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root_of(trustme.CA()))) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE
        with grpc.insecure_channel(address) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("verbosity", [None, "INFO"])
def test_handshakes_that_fail_leave_the_log_as_it_is(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verbosity: str | None
) -> None:
    """Whatever plain callers and strangers send to a TLS port, standard error is JSON, line by line.

    gRPC's own lines are there for those who ask for them, by gRPC's own variable.
    """
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    if verbosity:
        monkeypatch.setenv("GRPC_VERBOSITY", verbosity)
    pair = pair_of(tmp_path, trustme.CA().issue_cert(HOST))
    with serving(scene, *pair.options, "--log-format", "json") as (program, address):
        with grpc.insecure_channel(address) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root_of(trustme.CA()))) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(1024)
    lines = [line for line in program.lines if "listening on" not in line]
    others = [line for line in lines if not line.startswith("{")]
    assert all(json.loads(line)["message"] for line in lines if line not in others)
    assert any("andshake" in line for line in others) if verbosity else not others


def test_mutual_tls_asks_for_a_certificate(scene: Scene, tmp_path: Path) -> None:
    """With --tls-client-ca a caller with a certificate of that authority is answered; without, or of another, not."""
    authority, clients = trustme.CA(), trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert(HOST))
    roots = tmp_path / "clients.pem"
    roots.write_bytes(root_of(clients))
    with serving(scene, *pair.options, "--tls-client-ca", str(roots)) as (_, address):
        with grpc.secure_channel(address, client_credentials(authority, clients)) as channel:
            assert is_live(channel)
        with grpc.secure_channel(address, client_credentials(authority, trustme.CA())) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root_of(authority))) as channel:
            assert code_of(channel) is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_certificate_is_shown_without_a_restart(scene: Scene, tmp_path: Path) -> None:
    """New connections are shown the new certificate, the old connection goes on, and no call on it fails."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert(HOST))
    with serving(scene, *pair.options) as (program, address):
        before, _ = fingerprint_of(address)
        trusting = grpc.ssl_channel_credentials(root_of(authority))
        with grpc.secure_channel(address, trusting) as old:
            assert is_live(old)
            pair_of(tmp_path, authority.issue_cert(HOST))
            after, _ = fingerprint_of(address)
            assert after != before
            assert fingerprint_of(address)[0] == after
            assert is_live(old)
        with grpc.secure_channel(address, trusting) as new:
            assert is_live(new)
        program.wait_for("the certificate was read again")


def test_a_key_that_does_not_fit_changes_nothing(scene: Scene, tmp_path: Path) -> None:
    """While the files do not fit together the old certificate is shown, and the reason is logged once; then the new."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert(HOST))
    with serving(scene, *pair.options) as (program, address):
        before, _ = fingerprint_of(address)
        renewed = authority.issue_cert(HOST)
        pair.cert.write_bytes(renewed.cert_chain_pems[0].bytes())
        for _ in range(3):
            assert fingerprint_of(address)[0] == before
        program.wait_for(r"does not fit the certificate")
        pair.key.unlink()
        assert fingerprint_of(address)[0] == before
        pair.key.write_bytes(renewed.private_key_pem.bytes())
        assert fingerprint_of(address)[0] != before
        assert sum("does not fit" in line for line in program.lines) == 1


def test_a_key_that_is_missing_twice_is_named_twice(scene: Scene, tmp_path: Path) -> None:
    """One that came back as it was had its end: when it is gone again, that is said again."""
    pair, elsewhere = pair_of(tmp_path, trustme.CA().issue_cert(HOST)), tmp_path / "elsewhere"
    with serving(scene, *pair.options) as (program, address):
        before, _ = fingerprint_of(address)
        for _ in range(2):
            pair.key.rename(elsewhere)
            assert fingerprint_of(address)[0] == fingerprint_of(address)[0] == before
            elsewhere.rename(pair.key)
            assert fingerprint_of(address)[0] == before
    assert sum("cannot be read" in line for line in program.lines) == 2


def test_files_that_cannot_be_used_are_named_at_the_start(scene: Scene, tmp_path: Path) -> None:
    """A missing file, one that is no PEM, a key of another certificate, a bad root: a sentence each, and no start."""
    authority = trustme.CA()
    pair = pair_of(tmp_path, authority.issue_cert(HOST))
    (tmp_path / "other").mkdir()
    other = pair_of(tmp_path / "other", authority.issue_cert(HOST))
    text = tmp_path / "text.pem"
    text.write_text("no certificate")

    missing = str(tmp_path / "missing.pem")
    assert f"{missing!r} cannot be read: No such file" in refusal(scene, "--tls-cert", missing, "--tls-key", missing)
    assert f"--tls-cert {str(text)!r} holds no certificate in PEM form. Name the file of the server's" in refusal(
        scene, "--tls-cert", str(text), "--tls-key", str(pair.key)
    )
    assert f"--tls-key {str(pair.cert)!r} holds a certificate and no private key in PEM form" in refusal(
        scene, "--tls-cert", str(pair.cert), "--tls-key", str(pair.cert)
    )
    assert f"--tls-cert {str(pair.key)!r} holds a private key and no certificate in PEM form" in refusal(
        scene, "--tls-cert", str(pair.key), "--tls-key", str(pair.key)
    )
    assert (
        f"--tls-cert {str(pair.key)!r} holds a private key, and --tls-key {str(pair.cert)!r} a certificate: they are"
        " swapped. Give each option the other's file."
    ) in refusal(scene, "--tls-cert", str(pair.key), "--tls-key", str(pair.cert))
    damaged = tmp_path / "damaged.pem"
    damaged.write_bytes(pair.cert.read_bytes()[:-100] + b"\n-----END CERTIFICATE-----\n")
    assert "is damaged" in refusal(scene, "--tls-cert", str(damaged), "--tls-key", str(pair.key))
    assert "does not fit" in refusal(scene, "--tls-cert", str(pair.cert), "--tls-key", str(other.key))
    assert "no certificates in PEM form" in refusal(scene, *pair.options, "--tls-client-ca", str(text))


@pytest.mark.parametrize(
    ("begins", "ends", "warned"),
    [
        (-10, 20, ""),
        (-400, 30, "ends on "),
        (-30, -1, "Callers refuse the certificate in "),
        (1, 30, "Callers refuse the certificate in "),
    ],
)
def test_a_certificate_that_does_not_last_is_warned_of(
    scene: Scene, tmp_path: Path, begins: int, ends: int, warned: str
) -> None:
    """One that callers refuse today, or that has lived most of its life, is named at the start and by a check."""
    now = datetime.now(UTC)
    first, last = now + timedelta(days=begins), now + timedelta(days=ends)
    pair = pair_of(tmp_path, trustme.CA().issue_cert(HOST, not_before=first, not_after=last))
    pair.key.chmod(0o600)
    with serving(scene, *pair.options) as (program, _):
        pass
    done = run("check", "--registry", str(scene.registry), "--models", REGRESSOR, *pair.options)
    for said in (program.lines, done.stderr.splitlines()):
        warnings = [line for line in said if str(pair.cert) in line]
        assert len(warnings) == bool(warned)
        assert all(warned in line and "Renew it." in line for line in warnings)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_a_key_that_anyone_may_read_is_warned_of(scene: Scene, tmp_path: Path, mode: int, warned: bool) -> None:
    """Who may read the key may pass for the server: the file is named at the start."""
    pair = pair_of(tmp_path, trustme.CA().issue_cert(HOST))
    pair.key.chmod(mode)
    with serving(scene, *pair.options) as (program, _):
        pass
    assert any(f"Anyone on this machine may read {str(pair.key)!r}" in line for line in program.lines) is warned


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key", "--tls-client-ca"])
def test_options_that_need_each_other(scene: Scene, option: str) -> None:
    """A certificate without its key, a key alone, or callers' roots without a certificate: wrong usage."""
    assert "Usage:" in refusal(scene, option, "some.pem")


def client_credentials(authority: trustme.CA, clients: trustme.CA) -> grpc.ChannelCredentials:
    """A caller that trusts one authority and has a certificate of another."""
    issued = clients.issue_cert("caller.example")
    chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
    return grpc.ssl_channel_credentials(root_of(authority), issued.private_key_pem.bytes(), chain)


def code_of(channel: grpc.Channel) -> grpc.StatusCode:
    """The status of a call that must fail."""
    return failure_of(lambda: is_live(channel)).code
