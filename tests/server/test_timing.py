"""Server timing: who asks is told where the time of a call went, and nobody else is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.oip import messages as oip
from sardonyx_server.call import PLAIN, SERVER_TIMING, read_call
from sardonyx_server.telemetry import timing
from server.scene import PATIENCE_S, SLOW, array_of, number_request, regressor_request

if TYPE_CHECKING:
    import grpc

METRIC: Final = re.compile(r"([a-z]+);dur=([0-9]+\.[0-9]{3})")


def trailers(channel: grpc.Channel, request: oip.ModelInferRequest, *asked: tuple[str, str]) -> dict[str, str]:
    """A call's trailers; the call must be answered."""
    call = channel.unary_unary(
        f"/{oip.SERVICE}/ModelInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelInferResponse.FromString,
    )
    _, answered = call.with_call(request, metadata=asked, timeout=PATIENCE_S)
    return {key: str(value) for key, value in answered.trailing_metadata() or ()}


def read(value: str) -> dict[str, float]:
    """Milliseconds by stage, as a reader of the Server-Timing header takes them."""
    found = [METRIC.fullmatch(metric) for metric in value.split(", ")]
    return {match[1]: float(match[2]) for match in found if match}


def test_who_asks_is_told(channel: grpc.Channel) -> None:
    """The trailer names every stage, and the run of a model that takes long is what took long."""
    short = read(trailers(channel, regressor_request(array_of(1, rows=1)), (SERVER_TIMING, "1"))["server-timing"])
    assert list(short) == ["decode", "queue", "run", "encode"]
    assert all(milliseconds >= 0 for milliseconds in short.values())
    long = read(trailers(channel, number_request(SLOW, 400), (SERVER_TIMING, "1"))["server-timing"])
    assert max(long, key=long.__getitem__) == "run"
    assert long["run"] > short["run"]


@pytest.mark.parametrize("asked", [(), ((SERVER_TIMING, "0"),), (("traceparent", "none"),)])
def test_who_does_not_ask_is_told_nothing(channel: grpc.Channel, asked: tuple[tuple[str, str], ...]) -> None:
    """Without the key, or with another value than 1, there is no trailer of that name."""
    assert timing.TRAILER_KEY not in trailers(channel, regressor_request(array_of(1, rows=1)), *asked)


@given(stages_ns=st.tuples(*[st.integers(0, 10**13)] * len(timing.STAGES)))
def test_the_trailer_holds_every_stage_to_the_microsecond(stages_ns: tuple[int, ...]) -> None:
    """What is written reads back, within the half microsecond that rounding takes."""
    key, value = timing.trailer(stages_ns)
    assert key == "server-timing"
    told = read(value)
    assert list(told) == list(timing.STAGES)
    assert all(abs(told[stage] - ns / 1e6) <= 0.000501 for stage, ns in zip(timing.STAGES, stages_ns, strict=True))


def test_a_call_that_says_nothing_costs_nothing() -> None:
    """Metadata without a key that is read give one object, which stands for all such calls of a caller."""
    plain = (("user-agent", "any"), ("grpc-accept-encoding", "gzip"))
    assert read_call(plain) is read_call(plain)
    assert read_call(plain).metadata == ()
    assert read_call(None) is PLAIN
    assert read_call(((SERVER_TIMING, "1"),)).wants_timing
