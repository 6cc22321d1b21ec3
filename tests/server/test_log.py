"""What a server writes to standard error: lines of its own alone, of which no caller makes an error."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np

from sardonyx.oip import messages as oip
from sardonyx_exporter import promote
from server.scene import (
    ALONE,
    LOOKUP,
    PATIENCE_S,
    answers,
    failure_of,
    infer,
    lookup_graph,
    number_request,
    publish_by_hand,
    regressor_request,
    wait_until,
)
from server.test_check import run
from support.programs import Program

if TYPE_CHECKING:
    from pathlib import Path

    from server.scene import Scene

#: Deadlines that end before, while and after the answer to one of many calls at once is sent.
DEADLINES_S: Final = tuple(step / 1000 for step in range(1, 60, 2))
AT_ONCE: Final = 500


def start_server(registry: Path) -> Program:
    """A server of one worker, whose log is JSON."""
    alone = ("--listen", "127.0.0.1:0", "--log-format", "json", *ALONE)
    return Program.start("sardonyx_server", "--registry", str(registry), *alone)


def levels(program: Program) -> Counter[str]:
    """The lines of an ended server by level; each must be one of its own."""
    own = (line for line in program.lines if not line.startswith("sardonyx-server listening on "))
    return Counter(json.loads(line)["level"] for line in own)


def ended(calls: list[Any]) -> Counter[grpc.StatusCode]:
    """How calls ended."""
    return Counter(call.code() for call in calls)


def test_callers_write_no_errors(scene: Scene) -> None:
    """Deadlines that end as the answer is sent, and answers too large for their caller, leave no line in the log."""
    program = start_server(scene.registry)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        small = [("grpc.max_receive_message_length", 100)]
        with grpc.insecure_channel(address) as channel, grpc.insecure_channel(address, options=small) as picky:
            wait_until(lambda: answers(channel, number_request(LOOKUP, 1)), "the model answers")
            codes: Counter[grpc.StatusCode] = Counter()
            for method, deadline_s in itertools.product(("/no.Such/Method", f"/{oip.SERVICE}/ServerLive"), DEADLINES_S):
                call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(method)
                codes += ended([call.future(b"", timeout=deadline_s) for _ in range(AT_ONCE)])
            assert codes[grpc.StatusCode.DEADLINE_EXCEEDED]
            assert codes[grpc.StatusCode.UNIMPLEMENTED]
            large = regressor_request(np.ones((1000, 3))).SerializeToString()
            infers: grpc.UnaryUnaryMultiCallable[Any, Any] = picky.unary_unary(f"/{oip.SERVICE}/ModelInfer")
            codes = ended([infers.future(large, timeout=PATIENCE_S) for _ in range(100)])
            assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED: 100}
    finally:
        assert program.stop() == 0, "".join(program.lines)
    assert set(levels(program)) == {"info"}


def test_onnx_runtime_writes_nothing_of_its_own(tmp_path: Path) -> None:
    """A run that fails, for a golden row or for a call, is in the server's own words alone."""
    publish_by_hand(tmp_path, LOOKUP, lookup_graph(), golden={0: 10.0})
    publish_by_hand(tmp_path, "wrong", lookup_graph(), golden={4711: 10.0})
    promote(LOOKUP, 1, registry=str(tmp_path))
    promote("wrong", 1, registry=str(tmp_path))
    done = run("check", "--registry", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"{name} 1 (live) …" for name in (LOOKUP, "wrong")]
    program = start_server(tmp_path)
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            wait_until(lambda: answers(channel, number_request(LOOKUP, 1)), "the model answers")
            program.wait_for("wrong: version 1 failed: .*4711")
            failure = failure_of(lambda: infer(channel, number_request(LOOKUP, 4711)))
            assert failure.code is grpc.StatusCode.INTERNAL
    finally:
        assert program.stop() == 0, "".join(program.lines)
    assert levels(program)["error"] == 2
