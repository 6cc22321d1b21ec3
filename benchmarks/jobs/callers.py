"""Many concurrent callers of one process: our client beside tritonclient, against the same server."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, PROGRAMS, output_of, python
from jobs.measuring import Findings, in_turn, ratio
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from jobs.measuring import Plan

OURS: Final = "sardonyx"
THEIRS: Final = "tritonclient"


def measure(plan: Plan) -> Findings:
    """Let both clients ask one server in turn."""
    plan.say("64 callers in one process")
    registry = plan.place("callers") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    with ExitStack() as stack:
        request = models.request(models.SMALL, rows=1)
        server = start_sardonyx(stack, registry, request, collector=start_collector(stack))

        def ask(client: str) -> float:
            program = python(str(PROGRAMS / "callers.py"), client, server.address, str(plan.seconds))
            return float(output_of(program, cpu=LOAD_CPU))

        taken = in_turn(plan.rounds, {OURS: lambda: ask(OURS), THEIRS: lambda: ask(THEIRS)})
    ours, theirs = statistics.median(taken[OURS]), statistics.median(taken[THEIRS])
    return Findings([ratio(figures.CALLERS, ours, theirs, "predictions/s")])
