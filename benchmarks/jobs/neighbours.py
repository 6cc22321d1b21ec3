"""A small model beside a heavy one in the same server: what the neighbour does to the tail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, answer_bytes
from jobs.measuring import Findings, Measured, in_turn, median_of, ratio
from load import Figures, Load, frame
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from jobs.measuring import Plan

IN_FLIGHT: Final = 4
HEAVY_IN_FLIGHT: Final = 2
#: The heavy load goes on a little longer than the other.
MARGIN_S: Final = 1.0


def measure(plan: Plan) -> Findings:
    """Load the small model alone, and beside the heavy one, in turn."""
    plan.say("a small model beside a heavy one")
    registry = plan.place("neighbours") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    models.add_heavy(registry)
    small, heavy = models.request(models.SMALL, rows=1), models.heavy_request()
    with ExitStack() as stack:
        server = start_sardonyx(stack, registry, heavy, collector=start_collector(stack))
        one = Load(
            *(server.port, plan.body("small", frame(small)), answer_bytes(server.address, small)), IN_FLIGHT, LOAD_CPU
        )
        other = Load(
            *(server.port, plan.body("heavy", frame(heavy)), answer_bytes(server.address, heavy)),
            *(HEAVY_IN_FLIGHT, LOAD_CPU),
        )
        count = one.warm_up(plan.seconds)
        pool = stack.enter_context(ThreadPoolExecutor(1))

        def beside() -> Figures:
            # Whatever the small load takes away from it, the heavy one lasts: a run takes 50 ms at the least.
            loading = pool.submit(other.run, int((plan.seconds + MARGIN_S) / models.HEAVY_RUN_S))
            taken = one.run(count)
            loading.result()
            return taken

        taken = in_turn(plan.rounds, {"alone": lambda: one.run(count), "beside": beside})
    alone, together = median_of(taken["alone"]), median_of(taken["beside"])
    return Findings(
        [ratio(figures.NEIGHBOURS, together.latency_p99_us, alone.latency_p99_us, "µs")],
        [
            Measured(f"1 row, {IN_FLIGHT} in flight", "sardonyx, alone", alone),
            Measured(f"1 row, {IN_FLIGHT} in flight", "sardonyx, beside a heavy model", together),
        ],
    )
