"""The soak itself: it holds when it should, it fails when it should, and it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soak import outcomes as outcomes_module
from soak.acts import ACTS
from soak.faults import FAULTS
from soak.ledger import Given, Ledger
from soak.memory import BOUNDS, Life, Pace, slope_per_minute
from soak.models import TOLERANCE, Long, Tensor, apart
from soak.rules import CUT_OFF, MONITOR_AWAY, QUEUE_FULL, WORKER_GONE, Failure
from soak.stage import is_alive
from soak.stored import Stored
from soak.timeline import Timeline, Windows
from soak.verdicts import of_memory, of_monitor, of_requests

if TYPE_CHECKING:
    from soak.models import Array
    from soak.rules import Ask

TESTS: Final = Path(__file__).resolve().parents[1]
MODEL: Final = "known"
LIVE: Final = 1
OTHER: Final = 2


class Known:
    """A model whose truths are given."""

    name = MODEL
    output = "value"

    def __init__(self) -> None:
        numbers = np.arange(10.0)
        self.truths: dict[int, Array] = {LIVE: numbers, OTHER: numbers + 1}
        self.known = [LIVE, OTHER]

    def publish(self, registry: Path) -> int:
        """There is no registry here."""
        raise NotImplementedError

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Nobody is asked."""
        raise NotImplementedError

    def tensors(self, start: int, stop: int) -> list[Tensor]:
        """Nobody is asked."""
        raise NotImplementedError


@pytest.fixture
def windows() -> Windows:
    """No fault so far."""
    return Windows()


@pytest.fixture
def ledger(windows: Windows) -> Ledger:
    """A ledger of one model, whose version LIVE is live."""
    timeline = Timeline()
    with timeline.moving(MODEL, frozenset({LIVE})):
        pass
    return Ledger(7, {MODEL: Known()}, timeline, windows)


def enter(ledger: Ledger, **said: Any) -> Ask:
    """A request for two rows."""
    return ledger.enter("caller", MODEL, 2, 4, **{"patience_s": 20.0, **said})


def soak(*arguments: str) -> subprocess.Popen[str]:
    """The program, with all that it prints."""
    command = [sys.executable, "-m", "soak", *arguments]
    return subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_every_fault_once() -> None:
    """Under a small load, with each fault and act once, every promise holds."""
    process = soak("--once", "--json", "--load", "0.4", "--minutes", "4")
    output, progress = process.communicate()
    report = json.loads(output)
    assert process.returncode == 0, json.dumps(report["verdicts"] + report["violations"], indent=2) + progress
    assert report["held"]
    assert {each["name"] for each in report["disturbances"]} == {kind.name for kind in (*FAULTS, *ACTS)}
    assert {each["caller"] for each in report["latencies_ms"]} >= {
        *("AsyncClient", "Client", "tritonclient", "tritonclient stream", "bare gRPC")
    }


def test_it_ends_what_it_started() -> None:
    """SIGTERM in the midst of it ends the soak with status 130, and server, workers and monitor with it."""
    process = soak("--load", "0.2")
    try:
        assert process.stdout is not None
        # A fault may have taken one away at any moment: server, two workers and monitor are there before long.
        told = (line for line in process.stdout if re.search("answers", line))
        started = next(found for _ in told if len(found := _descendants(process.pid)) >= 4)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, output + errors
    assert not [pid for pid in started if is_alive(pid)]


async def test_truths_that_nobody_takes_are_told(
    ledger: Ledger, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A soak whose last truths nobody takes comes to its end, and says so: those on their way are among them."""
    monkeypatch.setattr(outcomes_module, "_LAST_S", 0.3)
    outcomes, stop = outcomes_module.Outcomes(windows), asyncio.Event()
    for _ in range(outcomes_module._EVERY):
        outcomes.offer(enter(ledger))
    stop.set()
    # The system takes the connection, and nobody answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        await outcomes.run(f"{host}:{port}", stop)
    assert (outcomes.waiting, outcomes.acknowledged) == (1, [])
    verdicts = of_monitor(Stored(0, 0, 0, 0, [], 0, 0, 0), outcomes, dropped=0, sent=0)
    assert [verdict.detail for verdict in verdicts if "never taken" in verdict.detail and not verdict.held]


def test_right_answers_hold(ledger: Ledger) -> None:
    """The stated version's own rows are right, live and pinned."""
    ledger.answered(enter(ledger), Given(LIVE, "live", np.array([2.0, 3.0])))
    ledger.answered(enter(ledger, version=LIVE), Given(LIVE, "pinned", np.array([[2.0], [3.0]])))
    assert all(verdict.held for verdict in of_requests(ledger))


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ({}, Given(LIVE, "live", np.array([2.0, 3.0 + 2 * TOLERANCE]))),
        ({}, Given(LIVE, "live", np.array([3.0, 2.0]))),
        ({}, Given(LIVE, "live", np.array([2.0]))),
        ({}, Given(LIVE, "live", np.array([2.0, float("nan")]))),
        ({}, Given(OTHER, "live", np.array([3.0, 4.0]))),
        ({}, Given(3, "live", np.array([2.0, 3.0]))),
        ({"version": OTHER}, Given(LIVE, "pinned", np.array([2.0, 3.0]))),
        ({"expects": "INVALID_ARGUMENT"}, Given(LIVE, "live", np.array([2.0, 3.0]))),
    ],
    ids=["off", "other rows", "fewer rows", "no number", "not live", "broken", "not the one asked for", "not refused"],
)
def test_wrong_answers_are_found(ledger: Ledger, said: dict[str, Any], given: Given) -> None:
    """An answer that is not its version's, or of a version that may not answer, is wrong."""
    ledger.answered(enter(ledger, **said), given)
    assert ledger.wrong == 1
    assert not all(verdict.held for verdict in of_requests(ledger))


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "UNAVAILABLE", "CANCELLED", "NOT_FOUND", "RESOURCE_EXHAUSTED"])
def test_failures_without_cause_are_found(ledger: Ledger, code: str) -> None:
    """Where nothing happened, no code is allowed to a request that is right."""
    ledger.failed(enter(ledger), Failure(code, ""))
    assert ledger.forbidden == 1
    assert not all(verdict.held for verdict in of_requests(ledger))


@pytest.mark.parametrize("code", ["INTERNAL", "UNKNOWN", "AttributeError"])
def test_no_fault_excuses_a_bug(ledger: Ledger, windows: Windows, code: str) -> None:
    """Whatever happens at the time, these codes are never allowed."""
    with windows.open(WORKER_GONE), windows.open(QUEUE_FULL), windows.open(MONITOR_AWAY):
        ask = enter(ledger, version=OTHER, hurried=True, expects="INVALID_ARGUMENT")
        ask.cancelled = True
        ledger.failed(ask, Failure(code, "inputs[ queue shutting down"))
    assert ledger.forbidden == 1


def test_a_fault_excuses_its_own_failures(ledger: Ledger, windows: Windows) -> None:
    """A worker that is gone excuses UNAVAILABLE at a client that does not repeat, and at no other."""
    with windows.open(WORKER_GONE):
        ledger.failed(enter(ledger), Failure("UNAVAILABLE", ""))
        assert ledger.forbidden == 0
        ledger.failed(enter(ledger, repeats=True), Failure("UNAVAILABLE", ""))
        assert ledger.forbidden == 1
        ledger.failed(enter(ledger), Failure("RESOURCE_EXHAUSTED", ""))
        assert ledger.forbidden == 2


def test_a_stream_is_cut_off_by_a_fault_alone(ledger: Ledger, windows: Windows) -> None:
    """What grpc.aio itself says of a broken stream is allowed while a worker is gone, at clients that do not repeat."""
    with windows.open(WORKER_GONE):
        ledger.failed(enter(ledger), Failure(CUT_OFF, ""))
        assert ledger.forbidden == 0
        ledger.failed(enter(ledger, repeats=True), Failure(CUT_OFF, ""))
        assert ledger.forbidden == 1


def test_a_full_queue_says_when_to_come_back(ledger: Ledger, windows: Windows) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo is not allowed, though the queue be full."""
    with windows.open(QUEUE_FULL):
        ledger.failed(enter(ledger), Failure("RESOURCE_EXHAUSTED", "", retry_info=True))
        assert ledger.forbidden == 0
        ledger.failed(enter(ledger), Failure("RESOURCE_EXHAUSTED", "", retry_info=False))
        assert ledger.forbidden == 1


def test_a_deadline_must_have_passed(ledger: Ledger) -> None:
    """DEADLINE_EXCEEDED is allowed to a caller in a hurry once its time is up, and to no other."""
    ledger.failed(enter(ledger, hurried=True, patience_s=1e-9), Failure("DEADLINE_EXCEEDED", ""))
    assert ledger.forbidden == 0
    ledger.failed(enter(ledger, hurried=True), Failure("DEADLINE_EXCEEDED", ""))
    ledger.failed(enter(ledger, patience_s=1e-9), Failure("DEADLINE_EXCEEDED", ""))
    assert ledger.forbidden == 2


def test_each_request_ends_once(ledger: Ledger) -> None:
    """A request without an end, and one with two, are found."""
    enter(ledger)
    assert [ask.number for ask in ledger.unresolved] == [0]
    ask = enter(ledger)
    ledger.failed(ask, Failure.of(asyncio.CancelledError()))
    ledger.answered(ask, Given(LIVE, "live", np.array([2.0, 3.0])))
    assert ledger.twice == 1
    assert [verdict.held for verdict in of_requests(ledger)] == [True, False, False, False]


def test_versions_cannot_pass_for_each_other() -> None:
    """A version whose answers are nearly another's is refused: answers would prove nothing."""
    with pytest.raises(ValueError, match="Version 1 is only"):
        apart({1: np.array([1.0, 2.0])}, np.array([1.5, 2.0 + TOLERANCE]))


def test_versions_of_long_runs_differ(tmp_path: Path) -> None:
    """Each published version has its own truth."""
    model = Long()
    first, second = model.publish(tmp_path / "registry"), model.publish(tmp_path / "registry")
    assert model.known == [first, second]
    assert (model.truths[first] != model.truths[second]).all()


def life(kind: str, slope: float) -> Life:
    """A process that was watched for long enough."""
    return Life(kind, 1, 600.0, 100.0, 100.0, 100.0, slope)


@pytest.mark.parametrize("kind", BOUNDS)
def test_growth_is_found(kind: str) -> None:
    """A process that grows beyond its bound breaks the promise of its kind, and of no other."""
    pace = Pace(versions=7.0, spans=20_000.0)
    most = BOUNDS[kind].at(pace)
    assert all(verdict.held for verdict in of_memory([life(kind, most)], pace))
    broken = [verdict.promise for verdict in of_memory([life(kind, most * 1.01)], pace) if not verdict.held]
    assert [kind in promise for promise in broken] == [True]


@given(slope=st.floats(-100, 100), start=st.floats(0, 1000), wild=st.lists(st.integers(0, 99), max_size=20))
def test_outliers_do_not_move_the_slope(slope: float, start: float, wild: list[int]) -> None:
    """A fifth of the samples may be anything: growth is found all the same."""
    seconds = [float(second) for second in range(100)]
    values = [start + slope * second / 60 for second in seconds]
    # One way and the other in turn, as collections and bursts are.
    for index, position in enumerate(wild):
        values[position] += 1000 if index % 2 else -1000
    assert slope_per_minute(seconds, values) == pytest.approx(slope, abs=0.2 * max(1.0, abs(slope)))


def _descendants(parent: int) -> list[int]:
    children = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                children.append(int(entry.name))
    return children + [pid for child in children for pid in _descendants(child)]
