"""sardonyx-server and the bare server that it is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contenders.process import LOAD_CPU, PROGRAMS, ROOT, Contender, free_port, python, start, wait_until_answered
from sardonyx_server import sharing
from sardonyx_server.port import SERVERS

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path


def start_bare(stack: ExitStack, graph: Path, request: bytes, *, servers: int = SERVERS) -> Contender:
    """The bare grpc.aio server with one graph; one of one server is what grpc.aio's examples show."""
    contender = Contender("bare grpc.aio" if servers > 1 else "bare grpc.aio, one server", free_port())
    program = str(ROOT / "benchmarks" / "bare_server.py")
    command = python(program, str(graph), str(contender.port), str(servers))
    wait_until_answered(contender, start(stack, command, environment=sharing.environment()), request)
    return contender


def start_sardonyx(
    stack: ExitStack,
    registry: Path,
    request: bytes,
    *options: str,
    collector: int | None = None,
    log: Path | None = None,
) -> Contender:
    """One worker of sardonyx-server.

    Args:
        stack: ends it.
        registry: what it serves.
        request: what it must answer before it counts as started.
        options: further options.
        collector: the port of a collector of spans; by default none are sent.
        log: where its log goes.
    """
    name = "sardonyx" if collector else "sardonyx, no telemetry"
    contender = Contender(name, free_port())
    serve = ["-m", "sardonyx_server", "--registry", str(registry), "--workers", "1", "--listen", contender.address]
    endpoint = ["--otlp-endpoint", f"http://127.0.0.1:{collector}"] if collector else []
    wait_until_answered(contender, start(stack, python(*serve, *endpoint, *options), log=log), request)
    return contender


def start_collector(stack: ExitStack) -> int:
    """A collector that takes every span, beside the load; its port."""
    port = free_port()
    start(stack, python(str(PROGRAMS / "sink.py"), str(port)), cpu=LOAD_CPU)
    return port
