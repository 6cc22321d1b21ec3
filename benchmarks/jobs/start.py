"""From the start of a server to its readiness."""

from __future__ import annotations

import socket
import statistics
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.process import READY_TIMEOUT_S, Contender, free_port, python, start
from jobs.measuring import Findings
from sardonyx import Client
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.measuring import Plan

POLL_S: Final = 0.005
ASK_TIMEOUT_S: Final = 0.05


def measure(plan: Plan) -> Findings:
    """Start a server with one small model, again and again."""
    plan.say("start to ready")
    registry = plan.place("start") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    taken_s = [_start_to_ready(registry) for _ in range(plan.rounds)]
    detail = f"{min(taken_s):.2f} s to {max(taken_s):.2f} s in {plan.rounds} starts"
    return Findings([figures.Figure(figures.START, statistics.median(taken_s), detail)])


def _start_to_ready(registry: Path) -> float:
    """Seconds until ServerReady says yes.

    Raises:
        RuntimeError: it never does.
    """
    server = Contender("sardonyx", free_port())
    with ExitStack() as stack:
        started = time.perf_counter()
        serve = ["-m", "sardonyx_server", "--registry", str(registry), "--workers", "1", "--listen", server.address]
        start(stack, python(*serve))
        while not _ready(server):
            if time.perf_counter() - started > READY_TIMEOUT_S:
                raise RuntimeError("sardonyx-server did not become ready.")
            time.sleep(POLL_S)
        return time.perf_counter() - started


def _ready(server: Contender) -> bool:
    """Ask once. A new connection each time, and none before the port answers: gRPC waits a second between attempts."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", server.port)):
            return False
    with Client(server.address, timeout_s=ASK_TIMEOUT_S) as client:
        return client.ready()
