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
from jobs.measuring import Findings, Measured, median_of, ratio, unmeasured
from load import Load, frame
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from contenders.process import Contender
    from figures import Figure, Target
    from jobs.measuring import Plan
    from load import Figures

#: What was measured, by the requests in flight and by server, one each round.
Taken = dict[int, dict[str, list["Figures"]]]

BARE: Final = "bare grpc.aio"
TRACED: Final = "sardonyx"
SILENT: Final = "sardonyx, no telemetry"
MLSERVER: Final = "MLServer"
TRITON: Final = "Triton"

ONE: Final = 1
MANY: Final = 32
#: How often each is measured in a round, each time for a part of the plan's. In every third run two of four connections
#: meet at one of a server's sixteen listeners, which takes a tenth longer: of few runs the median falls on either side.
TIMES: Final = 9
PART: Final = 1 / 3

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
    """Measure all servers in turn under both loads.

    Each round starts them anew: where a process's memory comes to lie moves its figures by 5 %, for as long as it runs.
    """
    request = models.request(models.SMALL, rows=1)
    registry, graph = _place(plan)
    taken: Taken = {ONE: {}, MANY: {}}
    absent: dict[str, str] = {}
    for turn in range(plan.rounds):
        with ExitStack() as stack:
            servers = _start(stack, plan.place(f"unary-{turn}"), registry, graph, request, absent)
            for name, reason in absent.items() if turn == 0 else ():
                plan.say(f"without {name}: {reason}")
            _require_same_answers(servers, request)
            first = turn % len(servers)
            for in_flight, figures_of in taken.items():
                plan.say(f"1 row, {in_flight} in flight, round {turn + 1} of {plan.rounds}")
                for server in (servers[first:] + servers[:first]) * TIMES:
                    figures_of.setdefault(server.name, []).append(_measure(plan, server, request, in_flight))
    medians = {in_flight: {name: median_of(each) for name, each in sides.items()} for in_flight, sides in taken.items()}
    throughput = {name: each.requests_per_s for name, each in medians[MANY].items()}
    latency = {name: each.latency_p50_us for name, each in medians[ONE].items()}
    return Findings(
        [
            *(_figure(*target, throughput, "requests/s", absent) for target in _THROUGHPUT),
            *(_figure(*target, latency, "µs", absent) for target in _LATENCY),
        ],
        [
            Measured(f"1 row, {in_flight} in flight", name, each)
            for in_flight, sides in medians.items()
            for name, each in sides.items()
        ],
    )


def _place(plan: Plan) -> tuple[Path, Path]:
    """A registry in which the model is live, and its graph."""
    registry = plan.place("unary") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    graph = plan.folder / "unary" / "model.onnx"
    graph.write_bytes(models.graph_of(registry, models.SMALL, 1))
    return registry, graph


def _start(
    stack: ExitStack, folder: Path, registry: Path, graph: Path, request: bytes, absent: dict[str, str]
) -> list[Contender]:
    """Every server that runs here; of the others, ``absent`` is told why not."""
    servers = [
        start_bare(stack, graph, request),
        start_bare(stack, graph, request, servers=1),
        start_sardonyx(stack, registry, request),
        start_sardonyx(stack, registry, request, collector=start_collector(stack)),
    ]
    peers: dict[str, Callable[[Path], Contender]] = {
        MLSERVER: lambda place: start_mlserver(stack, place, graph, request),
        TRITON: lambda place: start_triton(stack, place, graph, models.COLUMNS, request),
    }
    for name, begin in peers.items():
        if name in absent:
            continue
        place = folder / name.lower()
        place.mkdir()
        try:
            servers.append(begin(place))
        except NotHere as reason:
            absent[name] = str(reason)
    return servers


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


def _measure(plan: Plan, server: Contender, request: bytes, in_flight: int) -> Figures:
    body = plan.body(f"unary-{in_flight}", frame(request))
    load = Load(server.port, body, answer_bytes(server.address, request), in_flight, LOAD_CPU)
    return load.run(load.warm_up(PART * plan.seconds))


def _figure(
    target: Target, ours: str, theirs: str, values: Mapping[str, float], unit: str, absent: Mapping[str, str]
) -> Figure:
    if theirs in absent:
        return unmeasured(target, absent[theirs])
    return ratio(target, values[ours], values[theirs], unit)
