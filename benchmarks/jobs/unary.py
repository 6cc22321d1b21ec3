"""Requests of one row, one and 32 in flight: sardonyx beside a bare server, MLServer and Triton."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import numpy as np

import figures
import models
from contenders.mlserver import start_mlserver
from contenders.ours import start_bare, start_collector, start_sardonyx
from contenders.process import LOAD_CPU, NotHere, answer_bytes, answer_of
from contenders.triton import start_triton
from jobs.measuring import Findings, Measured, loads_in_turn, ratio, unmeasured
from load import Load, frame
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contenders.process import Contender
    from figures import Figure, Target
    from jobs.measuring import Plan
    from load import Figures

BARE: Final = "bare grpc.aio"
TRACED: Final = "sardonyx"
SILENT: Final = "sardonyx, no telemetry"
MLSERVER: Final = "MLServer"
TRITON: Final = "Triton"

ONE: Final = 1
MANY: Final = 32

#: Target, requests in flight, our side, the other side.
_THROUGHPUT: Final = (
    (figures.THROUGHPUT_BARE, TRACED, BARE),
    (figures.TELEMETRY, TRACED, SILENT),
    (figures.THROUGHPUT_MLSERVER, TRACED, MLSERVER),
    (figures.THROUGHPUT_TRITON, TRACED, TRITON),
)
_LATENCY: Final = (
    (figures.LATENCY_BARE, TRACED, BARE),
    (figures.LATENCY_MLSERVER, TRACED, MLSERVER),
    (figures.LATENCY_TRITON, TRACED, TRITON),
)


def measure(plan: Plan) -> Findings:
    """Start all servers, then measure them in turn under both loads."""
    request = models.request(models.SMALL, rows=1)
    with ExitStack() as stack:
        servers, absent = _start(stack, plan, request)
        _require_same_answers(servers, request)
        taken = {in_flight: _measure(plan, servers, request, in_flight) for in_flight in (ONE, MANY)}
    throughput = {name: each.requests_per_s for name, each in taken[MANY].items()}
    latency = {name: each.latency_p50_us for name, each in taken[ONE].items()}
    return Findings(
        [
            *(_figure(*target, throughput, "requests/s", absent) for target in _THROUGHPUT),
            *(_figure(*target, latency, "µs", absent) for target in _LATENCY),
        ],
        [
            Measured(f"1 row, {in_flight} in flight", name, each)
            for in_flight, sides in taken.items()
            for name, each in sides.items()
        ],
    )


def _start(stack: ExitStack, plan: Plan, request: bytes) -> tuple[list[Contender], dict[str, str]]:
    """Every server that runs here; and of the others, why not."""
    registry = plan.place("unary") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    graph = plan.folder / "unary" / "model.onnx"
    graph.write_bytes(models.graph_of(registry, models.SMALL, 1))
    servers = [
        start_bare(stack, graph, request),
        start_bare(stack, graph, request, servers=1),
        start_sardonyx(stack, registry, request),
        start_sardonyx(stack, registry, request, collector=start_collector(stack)),
    ]
    absent: dict[str, str] = {}
    peers: dict[str, Callable[[], Contender]] = {
        MLSERVER: lambda: start_mlserver(stack, plan.place("mlserver"), graph, request),
        TRITON: lambda: start_triton(stack, plan.place("triton"), graph, models.COLUMNS, request),
    }
    for name, begin in peers.items():
        try:
            servers.append(begin())
        except NotHere as reason:
            absent[name] = str(reason)
            plan.say(f"without {name}: {reason}")
    return servers, absent


def _require_same_answers(servers: Sequence[Contender], request: bytes) -> None:
    """Every server runs the same session: hold them to the same probabilities before anything is measured.

    Raises:
        RuntimeError: one answers otherwise.
    """
    answers = {server.name: answer_of(server.address, request) for server in servers}
    expected = answers[BARE].raw_output_contents[1]
    for name, answer in answers.items():
        if not np.allclose(np.frombuffer(answer.raw_output_contents[1]), np.frombuffer(expected)):
            raise RuntimeError(f"{name} does not answer as the bare server does.")


def _measure(plan: Plan, servers: Sequence[Contender], request: bytes, in_flight: int) -> dict[str, Figures]:
    plan.say(f"1 row, {in_flight} in flight")
    body = plan.body(f"unary-{in_flight}", frame(request))
    loads = {
        server.name: Load(server.port, body, answer_bytes(server.address, request), in_flight, LOAD_CPU)
        for server in servers
    }
    return loads_in_turn(plan, loads)


def _figure(
    target: Target, ours: str, theirs: str, values: Mapping[str, float], unit: str, absent: Mapping[str, str]
) -> Figure:
    if theirs in absent:
        return unmeasured(target, absent[theirs])
    return ratio(target, values[ours], values[theirs], unit)
