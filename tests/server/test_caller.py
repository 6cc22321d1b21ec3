"""Who calls: every span and log line has the name, and nobody can make the server remember too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx import AsyncClient, Client, telemetry
from sardonyx.errors import InvalidInput
from sardonyx.names import CALLER_NAME
from sardonyx_server.call import AGENTS_MAX, Call, _plain, read_call
from server.scene import array_of, infer, regressor_request
from server.sink import Sink, attribute, running
from server.test_sender import server_with

if TYPE_CHECKING:
    from server.scene import Scene


def agent(text: str, *more: tuple[str, str]) -> Call:
    """What a call with this user agent says."""
    return read_call((("user-agent", text), *more))


@pytest.mark.parametrize(
    ("text", "caller"),
    [
        ("checkout grpc-python/1.80.0 grpc-c/58.0.0 (linux; chttp2)", "checkout"),
        ("checkout/1.2 grpc-go/1.79.0", "checkout"),
        ("ops@night grpc-java-netty/1.80.0", "ops@night"),
        ("grpc-node-js/1.14.3", "grpc-node-js"),
        ("", ""),
        ("  ", ""),
        ("(linux)", ""),
        ("x" * 64, ""),
        ("a\u2028b", ""),
    ],
)
def test_a_user_agent_begins_with_the_name(text: str, caller: str) -> None:
    """The first product is who calls: a name that somebody gave, or the library's; what is no name is none."""
    assert agent(text).caller == caller
    assert agent(text, ("routing-key", "any")).caller == caller


@given(st.text())
def test_a_caller_is_a_name_or_nobody(text: str) -> None:
    """Whatever comes, what is written into spans and logs is short and plain."""
    caller = agent(text).caller
    assert caller == "" or CALLER_NAME.fullmatch(caller)


def test_only_so_many_user_agents_are_remembered() -> None:
    """A caller that makes up a name for each call does not fill the server's memory."""
    for number in range(3 * AGENTS_MAX):
        agent(f"caller-{number}")
    assert _plain.cache_info().currsize == AGENTS_MAX


async def test_spans_say_who_called(scene: Scene) -> None:
    """The clients' argument, a user agent of any gRPC channel and a library without a name reach the spans."""
    collector, row = Sink(), array_of(63, rows=1)
    with running(collector) as endpoint, server_with(scene, endpoint) as (program, channel):
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        request = regressor_request(row)
        with Client(address, caller="gate-display") as client:
            client.predict(request.model_name, row, prediction_id="sync")
        async with AsyncClient(address, caller="rebooking") as client:
            await client.predict(request.model_name, row, prediction_id="async")
        options = [("grpc.primary_user_agent", "crew/2.1")]
        with grpc.insecure_channel(address, options=options) as named:
            request.id = "by hand"
            infer(named, request)
        request.id = "nobody"
        infer(channel, request)
        request.id = "keyed"
        request.parameters["routing-key"].string_param = "any"
        infer(channel, request)
    callers = {
        attribute(span, telemetry.PREDICTION_ID).string_value: attribute(span, telemetry.CALLER).string_value
        for span in collector.spans
    }
    assert callers.items() >= {
        ("sync", "gate-display"),
        ("async", "rebooking"),
        ("by hand", "crew"),
        ("nobody", "grpc-python"),
        ("keyed", "grpc-python"),
    }


@pytest.mark.parametrize("name", ["", " ", "gate display", "-x", "a/b", "x" * 64, "\u00e4"])
def test_what_is_no_name_is_refused_at_once(name: str) -> None:
    """A client's caller must be readable in its user agent; the message says what a name looks like."""
    with pytest.raises(InvalidInput, match="is no caller's name: a caller's name has up to 63 letters"):
        Client("127.0.0.1:1", caller=name)
