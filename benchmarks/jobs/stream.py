"""The same predictions as messages of streams and as calls of their own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import grpc

import figures
import models
from contenders.ours import start_collector, start_sardonyx
from contenders.process import LOAD_CPU, answer_bytes
from jobs.measuring import Findings, Measured, loads_in_turn, ratio
from load import STREAM_PATH, Figures, Load, frame
from sardonyx_exporter import promote

if TYPE_CHECKING:
    from jobs.measuring import Plan

#: Predictions in each stream: enough that opening one is not what is measured.
MESSAGES: Final = 500
STREAMS: Final = 4
IN_FLIGHT: Final = 32


def measure(plan: Plan) -> Findings:
    """Send both to one server in turn."""
    plan.say("streams beside single calls")
    registry = plan.place("stream") / "registry"
    promote(models.SMALL, models.add_small(registry), registry=str(registry))
    request = models.request(models.SMALL, rows=1)
    with ExitStack() as stack:
        server = start_sardonyx(stack, registry, request, collector=start_collector(stack))
        one = Load(
            *(server.port, plan.body("call", frame(request)), answer_bytes(server.address, request)),
            *(IN_FLIGHT, LOAD_CPU),
        )
        many = Load(
            *(server.port, plan.body("stream", frame(request) * MESSAGES), _stream_bytes(server.address, request)),
            *(STREAMS, LOAD_CPU, STREAM_PATH),
        )
        taken = loads_in_turn(plan, {"calls": one, "streams": many})
    calls, streams = taken["calls"], taken["streams"]
    per_message = Figures(streams.requests_per_s * MESSAGES, streams.latency_p50_us, streams.latency_p99_us)
    return Findings(
        [ratio(figures.STREAM, per_message.requests_per_s, calls.requests_per_s, "predictions/s")],
        [
            Measured(f"1 row, {IN_FLIGHT} in flight", "sardonyx, calls", calls),
            Measured(f"1 row, {STREAMS} streams of {MESSAGES}", "sardonyx, streams (latency of a stream)", per_message),
        ],
    )


def _stream_bytes(address: str, request: bytes) -> int:
    """The length of all frames that answer a stream."""
    with grpc.insecure_channel(address) as channel:
        call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(STREAM_PATH)
        return sum(len(frame(answer)) for answer in call(iter([request] * MESSAGES), timeout=30))
