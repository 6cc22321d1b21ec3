"""The same rows as named fields and as tensors: what a typed service costs beside the Open Inference Protocol."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, answer_bytes
from jobs.measuring import Findings, Measured, loads_in_turn, ratio
from load import PATH, Load, frame
from sardonyx.registry import Registry
from sardonyx.typed import typed_service

if TYPE_CHECKING:
    from contenders.process import Contender
    from jobs.measuring import Plan
    from load import Figures

ROWS: Final = 10_000
#: The server reads the next request while a run has the processor.
BATCHES_IN_FLIGHT: Final = 4


def measure(plan: Plan) -> Findings:
    """Ask one server in both ways in turn: for one row, and for many."""
    plan.say("named fields beside tensors")
    registry = plan.place("typed") / "registry"
    version = models.add_named(registry)
    service = typed_service(Registry(str(registry)).manifest(models.NAMED, version))
    one, many = models.named_request(1), models.named_request(ROWS)
    with ExitStack() as stack:
        server = start_sardonyx(stack, registry, one, collector=start_collector(stack))
        rows = _measure(plan, server, 1, {PATH: one, f"/{service.name}/Predict": models.typed_request(service)})
        typed_many = models.typed_batch_request(service, ROWS)
        batches = _measure(plan, server, BATCHES_IN_FLIGHT, {PATH: many, f"/{service.name}/PredictBatch": typed_many})
    (tensors, fields), (raw, columns) = rows, batches
    return Findings(
        [
            ratio(figures.TYPED, fields.latency_p50_us, tensors.latency_p50_us, "µs"),
            ratio(figures.TYPED_BATCH, columns.requests_per_s * ROWS, raw.requests_per_s * ROWS, "rows/s"),
        ],
        [
            Measured("1 row of 30 inputs, 1 in flight", "sardonyx, ModelInfer", tensors),
            Measured("1 row of 30 inputs, 1 in flight", "sardonyx, Predict", fields),
            Measured(f"{ROWS:,} rows, {BATCHES_IN_FLIGHT} in flight", "sardonyx, ModelInfer", raw),
            Measured(f"{ROWS:,} rows, {BATCHES_IN_FLIGHT} in flight", "sardonyx, PredictBatch", columns),
        ],
    )


def _measure(plan: Plan, server: Contender, in_flight: int, requests: dict[str, bytes]) -> list[Figures]:
    """The medians of each way, in their order."""
    loads: dict[str, Load] = {}
    for path, request in requests.items():
        body = plan.body(f"{path.rpartition('/')[2]}-{in_flight}", frame(request))
        expected = answer_bytes(server.address, request, path)
        loads[path] = Load(server.port, body, expected, in_flight, LOAD_CPU, path)
    taken = loads_in_turn(plan, loads)
    return [taken[path] for path in requests]
