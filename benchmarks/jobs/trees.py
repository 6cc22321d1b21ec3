"""Large requests to a tree model: what the server adds to ONNX Runtime's own time."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, PROGRAMS, SERVER_CPU, answer_bytes, output_of, python
from jobs.measuring import Findings, Measured, in_turn, median_of, ratio
from load import Figures, Load, frame
from sardonyx_server import sharing

if TYPE_CHECKING:
    from jobs.measuring import Plan

ROWS: Final = 10_000
#: The server reads the next request while a run has the processor.
IN_FLIGHT: Final = 4


def measure(plan: Plan) -> Findings:
    """Ask a server and ONNX Runtime itself in turn, on the same processor."""
    plan.say(f"{ROWS:,} rows a request to trees")
    registry = plan.place("trees") / "registry"
    version = models.add_trees(registry)
    graph = plan.folder / "trees" / "model.onnx"
    graph.write_bytes(models.graph_of(registry, models.TREES, version))
    request = models.request(models.TREES, ROWS)
    with ExitStack() as stack:
        server = start_sardonyx(stack, registry, request, collector=start_collector(stack))
        body = plan.body("trees", frame(request))
        load = Load(server.port, body, answer_bytes(server.address, request), IN_FLIGHT, LOAD_CPU)
        count = load.warm_up(plan.seconds)

        def serve() -> Figures:
            return load.run(count)

        def run() -> Figures:
            program = python(str(PROGRAMS / "in_process.py"), str(graph), str(ROWS), str(plan.seconds))
            # Of a loop of runs only the pace is known.
            pace = float(output_of(program, cpu=SERVER_CPU, environment=sharing.environment()))
            return Figures(pace / ROWS, 0.0, 0.0)

        taken = in_turn(plan.rounds, {"server": serve, "process": run})
    served, in_process = median_of(taken["server"]), median_of(taken["process"])
    figure = ratio(figures.TREES, served.requests_per_s * ROWS, in_process.requests_per_s * ROWS, "rows/s")
    return Findings([figure], [Measured(f"{ROWS:,} rows, {IN_FLIGHT} in flight", "sardonyx, trees", served)])
