"""``sardonyx-server health``, and that the image's health check is it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import trustme

from server.scene import ALONE, is_ready, wait_until
from server.test_tls import client_credentials, is_live, pair_of, root_of
from support.programs import Program

if TYPE_CHECKING:
    from server.scene import Scene

DOCKERFILE = Path(__file__).resolve().parents[2] / "Dockerfile"
LISTENING = r"listening on \S+:(\d+)"


def asked(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command's end, in the environment of a server."""
    command = [str(Path(sys.executable).parent / "sardonyx-server"), "health", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, "NO_COLOR": "1", **environment}
    )


def environment_of(scene: Scene, listen: str, **settings: Path) -> dict[str, str]:
    """What a container's variables say to its server and to its health check."""
    others = {f"SARDONYX_{name.upper()}": str(value) for name, value in settings.items()}
    return {"SARDONYX_REGISTRY": str(scene.registry), "SARDONYX_LISTEN": listen, **others}


def options_of(settings: dict[str, Path]) -> list[str]:
    """The same on a command line."""
    return [word for name, value in settings.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def settings_of(kind: str, folder: Path) -> tuple[dict[str, Path], grpc.ChannelCredentials | None]:
    """A server's settings of plain text, TLS or mutual TLS, and what a caller needs there."""
    authority, clients = trustme.CA(), trustme.CA()
    pair = pair_of(folder, authority.issue_cert("models.example", "127.0.0.1"))
    roots = folder / "clients.pem"
    roots.write_bytes(root_of(clients))
    tls = {"tls_cert": pair.cert, "tls_key": pair.key}
    return {
        "plain": ({}, None),
        "tls": (tls, grpc.ssl_channel_credentials(root_of(authority))),
        "mutual": ({**tls, "tls_client_ca": roots}, client_credentials(authority, clients)),
    }[kind]


def channel_to(port: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A caller's channel."""
    address = f"127.0.0.1:{port}"
    return grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "[::]"])  # noqa: S104 - every address, as containers listen
@pytest.mark.parametrize("kind", ["plain", "tls", "mutual"])
def test_whether_a_server_serves(scene: Scene, tmp_path: Path, kind: str, host: str) -> None:
    """With a server's own environment: 0 while it serves, in plain text and with TLS, on every port; 1 afterwards."""
    if host == "[::]" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 on this host")
    settings, credentials = settings_of(kind, tmp_path)
    fixed = ("--registry", str(scene.registry), "--listen", f"{host}:0", "--workers", "1", "--drain-grace-s", "0")
    program = Program.start("sardonyx_server", *fixed, *options_of(settings))
    try:
        port = program.wait_for(LISTENING)[1]
        with channel_to(port, credentials) as channel:
            wait_until(lambda: is_live(channel) and is_ready(channel), "the server is ready")
        environment = environment_of(scene, f"{host}:{port}", **settings)
        done = asked(**environment)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("asks for a certificate" if kind == "mutual" else "is SERVING") in done.stdout
    finally:
        assert program.stop() == 0, "".join(program.lines)
    done = asked(**environment)
    assert done.returncode == 1
    assert re.fullmatch(r"Error: \S+ cannot be reached: .+\n", done.stderr)


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_a_server_that_drains_does_not_serve(scene: Scene, tmp_path: Path, kind: str) -> None:
    """What says NOT_SERVING is 1, with its own word."""
    settings, credentials = settings_of(kind, tmp_path)
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", "1", "--drain-grace-s", "60")
    program = Program.start("sardonyx_server", *fixed, "--drain-timeout-s", "120", *options_of(settings))
    try:
        port = program.wait_for(LISTENING)[1]
        with channel_to(port, credentials) as channel:
            wait_until(lambda: is_ready(channel), "the server is ready")
        program.process.send_signal(signal.SIGTERM)
        program.wait_for("draining")
        done = asked(**environment_of(scene, f"127.0.0.1:{port}", **settings))
        assert done.returncode == 1
        assert done.stderr == f"Error: 127.0.0.1:{port} says NOT_SERVING.\n"
    finally:
        assert program.stop() == 0, "".join(program.lines)


@pytest.mark.parametrize(
    ("kind", "told", "found"),
    [
        ("plain", "tls", "does not speak TLS"),
        ("tls", "plain", "ends the connection without an answer"),
        ("mutual", "tls", "ends the connection without an answer"),
    ],
)
def test_a_server_of_another_configuration(scene: Scene, tmp_path: Path, kind: str, told: str, found: str) -> None:
    """What does not speak as the configuration says is 1, with what to say instead."""
    settings, _ = settings_of(kind, tmp_path)
    others, _ = settings_of(told, tmp_path)
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *fixed, *options_of(settings))
    try:
        listen = f"127.0.0.1:{program.wait_for(LISTENING)[1]}"
        done = asked(**environment_of(scene, listen, **others))
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(rf"Error: \S+ {found}\. Give --tls-cert and --tls-client-ca here as .+\n", done.stderr)
    finally:
        assert program.stop() == 0, "".join(program.lines)


@pytest.mark.parametrize("told", ["plain", "tls"])
def test_what_listens_in_silence(scene: Scene, tmp_path: Path, told: str) -> None:
    """What accepts a connection and says nothing is 1, within the time that a health check has."""
    settings, _ = settings_of(told, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = asked(**environment_of(scene, f"127.0.0.1:{silent.getsockname()[1]}", **settings))
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: \S+ does not answer within 2 s\.\n", done.stderr)


def test_a_port_that_is_none(scene: Scene) -> None:
    """A server that took any free port is asked at the one it took."""
    done = asked(**environment_of(scene, "127.0.0.1:0"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "At port 0 nobody listens" in done.stderr


def test_the_image_asks_its_own_server() -> None:
    """The health check of the server's image is this command, and everything runs as a user with a number."""
    _, _, server = DOCKERFILE.read_text().partition("AS server\n")
    (check,) = re.findall(r"HEALTHCHECK[^\[]*CMD (\[.+\])", server)
    assert json.loads(check) == ["sardonyx-server", "health"]
    assert re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE) == ["10001"]
