"""Versions that would be loaded or proven for ever: they fail in time, and take nothing from the others."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from sardonyx.registry import Log, Registry
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import promote
from sardonyx_server import apart
from sardonyx_server.life.loader import LoadFailed, load
from sardonyx_server.life.manager import LOADS_MAX
from sardonyx_server.life.session import Runtime, Stop
from sardonyx_server.life.states import State
from server.scene import (
    ALONE,
    LONG,
    PATIENCE_S,
    SLOW,
    answers,
    array_of,
    export_regressor,
    failure_of,
    get_model,
    infer,
    is_ready,
    number_request,
    promote_endless,
    publish_by_hand,
    regressor_request,
    slow_graph,
    states_of,
    wait_until,
)
from server.test_check import checked
from support.programs import Program, running_server

if TYPE_CHECKING:
    from pathlib import Path

GOOD: Final = "good"
ENDLESS: Final = "endless"
ROW: Final = array_of(41, rows=1)
#: Long enough for a good version to be loaded on a busy machine.
SOON: Final = ("--load-timeout-s", "8", "--poll-interval-s", "0.05")
#: So long that what is loaded meanwhile had no place of theirs.
LATE: Final = ("--load-timeout-s", "600", "--poll-interval-s", "0.05")


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with one model that answers, and one that never would."""
    registry = tmp_path / "registry"
    promote(GOOD, export_regressor(registry, GOOD, seed=1), registry=str(registry))
    promote_endless(registry, ENDLESS)
    return registry


def test_an_endless_graph_fails_in_time(registry: Path) -> None:
    """It fails with its reason, and the server is ready with the models that answer."""
    with running_server(registry, *ALONE, *SOON) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: states_of(channel, ENDLESS).get(1) == serving.STATE_FAILED, "the endless version fails")
        (version,) = get_model(channel, ENDLESS).versions
        assert version.reason == (
            "Its golden rows were not answered within 8 s: its graph may never come to an end. Export the version"
            " again, or give it longer with --load-timeout-s."
        )
        wait_until(lambda: is_ready(channel), "the server is ready")
        assert infer(channel, regressor_request(ROW, model=GOOD)).model_version == "1"


def test_many_endless_graphs_hold_no_promote_up(registry: Path) -> None:
    """The registry is followed while as many as are loaded at once never end, and then what is good is loaded."""
    with running_server(registry, *ALONE, *LATE) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, regressor_request(ROW, model=GOOD)), "the good version answers")
        for number in range(LOADS_MAX):
            promote_endless(registry, f"{ENDLESS}-{number}")
        last = f"{ENDLESS}-{LOADS_MAX - 1}"
        wait_until(lambda: answers_of(channel, last), "the last of them is known")
        promote(GOOD, export_regressor(registry, GOOD, seed=2), registry=str(registry))
        wait_until(lambda: 2 in states_of(channel, GOOD), "the promote is seen")
        wait_until(
            lambda: infer(channel, regressor_request(ROW, model=GOOD)).model_version == "2", "the promote is followed"
        )


def answers_of(channel: grpc.Channel, model: str) -> bool:
    """Whether a model is known."""
    try:
        return bool(get_model(channel, model).versions)
    except grpc.RpcError:
        return False


def test_the_end_does_not_wait_for_an_endless_graph(registry: Path) -> None:
    """A server that is told to end while it proves one ends well; with no limit in sight it would have been killed."""
    program = Program.start(
        "sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *ALONE, "--drain-timeout-s", "3"
    )
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: answers(channel, regressor_request(ROW, model=GOOD)), "the good version answers")
            wait_until(lambda: states_of(channel, ENDLESS) == {1: serving.STATE_VERIFYING}, "the other one is proven")
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(timeout=PATIENCE_S) == 0
    finally:
        assert program.stop() == 0, "".join(program.lines)


def test_the_end_does_not_wait_for_a_run_that_nobody_waits_for(tmp_path: Path) -> None:
    """Whose caller has left goes on in its thread; the server ends well all the same, before it would be killed."""
    publish_by_hand(tmp_path, SLOW, slow_graph(), golden={10: 10.0})
    promote(SLOW, 1, registry=str(tmp_path))
    program = Program.start(
        "sardonyx_server", "--registry", str(tmp_path), "--listen", "127.0.0.1:0", *ALONE, "--drain-timeout-s", "3"
    )
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: answers(channel, number_request(SLOW, 1)), "the model answers")
            failure = failure_of(lambda: infer(channel, number_request(SLOW, 100 * LONG), timeout_s=1))
            assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    finally:
        assert program.stop() == 0, "".join(program.lines)


def test_a_check_gives_up_too(registry: Path) -> None:
    """It names the version and goes on with the others."""
    status, report = checked(registry, *SOON)
    assert status == 1
    assert {each["model"]: each["state"] for each in report["versions"]} == {GOOD: "ready", ENDLESS: "failed"}
    (reason,) = [each["reason"] for each in report["versions"] if each["model"] == ENDLESS]
    assert "not answered within 8 s" in reason


def test_a_load_that_is_told_to_stop_leaves_its_thread(registry: Path) -> None:
    """ONNX Runtime ends an endless loop when it is told to: nothing is left of what was given up."""
    stop, states = Stop(), list[State]()

    def endless() -> object:
        return load(
            *(Registry(str(registry)), ENDLESS, 1), known=Log(), runtime=Runtime(), enter=states.append, stop=stop
        )

    loading = apart.begin(endless, "load")
    wait_until(lambda: states == [State.VERIFYING], "it is being proven")
    assert not loading.done()
    stop.tell()
    with pytest.raises(LoadFailed):
        loading.result(timeout=PATIENCE_S)


@pytest.mark.parametrize("work", ["int", "threading.Event().wait"])
@pytest.mark.parametrize("begin", ["apart.begin({}, 'work')", "ThreadPoolExecutor().submit({})"])
def test_a_process_leaves_what_never_ends(work: str, begin: str) -> None:
    """It ends with its status and all that it wrote, whether a thread is left or not, of its own or of a pool."""
    code = (
        "import threading; from concurrent.futures import ThreadPoolExecutor; from sardonyx_server import apart;"
        f" {begin.format(work)}; print('done', end=''); apart.leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout, done.stderr) == (3, "done", "")
