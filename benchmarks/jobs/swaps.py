"""Ten version swaps under load: what they do to the tail, and whether a request fails."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, answer_bytes, answer_of
from jobs.measuring import Findings, Measured, in_turn, median_of, ratio
from load import Figures, Load, frame
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from pathlib import Path

    from contenders.process import Contender
    from jobs.measuring import Plan

SWAPS: Final = 10
INTERVAL_S: Final = 0.5
IN_FLIGHT: Final = 32
#: The load goes on a little longer than the swaps.
LOAD_S: Final = SWAPS * INTERVAL_S + 1.0


def measure(plan: Plan) -> Findings:
    """Load a server while its versions change hands, and while those of a registry that it does not serve do."""
    plan.say(f"{SWAPS} version swaps under load")
    served, other = (_add_two_versions(plan.place(name) / "registry") for name in ("swaps", "no-swaps"))
    request = models.request(models.SMALL, rows=1)
    with ExitStack() as stack:
        server = start_sardonyx(stack, served, request, "--poll-interval-s", "0.1", collector=start_collector(stack))
        body = plan.body("swaps", frame(request))
        load = Load(server.port, body, answer_bytes(server.address, request), IN_FLIGHT, LOAD_CPU)
        count = load.warm_up(LOAD_S)
        pool = stack.enter_context(ThreadPoolExecutor(1))

        def under(registry: Path) -> Figures:
            loading = pool.submit(load.run, count)
            _swap(registry, server, followed=registry == served)
            return loading.result()

        taken = in_turn(plan.rounds, {"with": lambda: under(served), "without": lambda: under(other)})
    swapping, still = median_of(taken["with"]), median_of(taken["without"])
    return Findings(
        [ratio(figures.SWAPS, swapping.latency_p99_us, still.latency_p99_us, "µs, 0 failed")],
        [
            Measured(f"1 row, {IN_FLIGHT} in flight", f"sardonyx, {SWAPS} swaps", swapping),
            Measured(f"1 row, {IN_FLIGHT} in flight", "sardonyx, no swap", still),
        ],
    )


def _add_two_versions(registry: Path) -> Path:
    versions = [models.add_small(registry, strength) for strength in (1.0, 0.5)]
    promote(models.SMALL, versions[0], registry=str(registry))
    return registry


def _swap(registry: Path, server: Contender, *, followed: bool) -> None:
    """Promote the versions in turn; where the server follows, see it answer with each before the next.

    Raises:
        RuntimeError: it did not follow in time.
    """
    request = models.request(models.SMALL, rows=1)
    for swap in range(SWAPS):
        due = time.monotonic() + INTERVAL_S
        version = 2 - swap % 2
        promote(models.SMALL, version, registry=str(registry))
        time.sleep(max(0.0, due - time.monotonic()))
        if followed and answer_of(server.address, request).model_version != str(version):
            raise RuntimeError(f"The server did not follow swap {swap + 1} within {INTERVAL_S} s.")
