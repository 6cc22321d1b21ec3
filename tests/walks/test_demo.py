"""The demo, on a small share of the flights: it ends well, and leaves nothing behind however it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import pytest

from flights.data import WEATHER, Flight, load
from flights.monitored import read_settled
from flights.replay import Replay, Tally
from monitor.scene import connected, doors_of, prediction_of, start_monitor
from sardonyx.errors import Unavailable
from sardonyx_exporter import export
from server.scene import CLASSIFIER, fit_classifier, frame_of, truth_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sardonyx import AsyncOutcomes

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "flights" / "demo.py"
PROC = Path("/proc")
TIMEOUT_S = 180.0
#: A server's worker whose monitor is gone tries for 6 s to send its last spans.
ORPHANS_END_S = 30.0

needs_proc = pytest.mark.skipif(not (PROC / "self" / "cmdline").exists(), reason="looks for processes in /proc")


@contextlib.contextmanager
def demo(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The demo on a fiftieth of the flights, slow enough that versions change while requests run."""
    command = [sys.executable, str(DEMO), "--folder", str(folder), "--sample", "0.02", "--rate", "200", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to a line with this text."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError(f"it never said {text!r}:\n{''.join(lines)}")


def processes_of(folder: Path) -> list[str]:
    """The command lines of processes that work in a folder, other than the demo's own."""
    found = []
    for entry in PROC.glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command and str(DEMO) not in command:
                found.append(command)
    return found


@needs_proc
def test_runs_to_its_end_without_a_failure(tmp_path: Path) -> None:
    """April, the retraining, the swap, the second interface and May pass without a failed request; no process is left.

    Each caller is answered by the newest version of the interface that it calls, and that one is not retired.
    """
    folder = tmp_path / "flights[red]"
    with demo(folder, "--once") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, output
    counts = re.search(
        r"([\d,]+) requests, 0 failed \(version \d: [\d,]+, version 3: [\d,]+, version 4: ([\d,]+)\); ([\d,]+) truths",
        output,
    )
    assert counts, output
    assert counts[1] == counts[3], "every flight has landed, so every truth was to be reported"
    assert re.search(r"The page was http://127\.0\.0\.1:\d+/", output)
    assert "Version 3 is exported; it is a retrain of the same interface" in output
    assert "Version 4 is exported; for those who call v1 it is breaking" in output
    for name in WEATHER:
        assert f"input '{name}' is new and required" in output
    assert re.search(r"^v1 +gate-display +[\d,]+ +0 +3$", output, re.MULTILINE), output
    assert re.search(r"^v2 +rebooking +[\d,]+ +0 +4$", output, re.MULTILINE), output
    assert f"rebooking compiles v2 as the server describes it: the stub is in {folder / 'stubs'}" in output
    assert "service FlightDelayService" in (folder / "stubs/flight_delay/v2/flight_delay.proto").read_text()
    assert f"; {counts[2]} answers, {counts[2]} truths" in output, "the monitor has all that rebooking was answered"
    assert re.search(r"v1 is refused: .* called by gate-display \([\d,]+ calls, the last at ", output), output
    for version in (3, 4):
        assert re.search(rf"^{version} +accuracy +0\.\d{{4}} .* 0\.\d{{4}} ", output, re.MULTILINE), output
    assert processes_of(tmp_path) == []


@needs_proc
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_the_summary(tmp_path: Path, number: signal.Signals, status: int) -> None:
    """Ctrl-C in the middle of the replay is a good end; SIGTERM ends it alike. No process is left."""
    with demo(tmp_path) as process:
        before = read_until(process, "Retraining")
        assert "The monitor's page: http://127.0.0.1:" in before
        assert processes_of(tmp_path)
        process.send_signal(number)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == status, output
    assert re.search(r"[\d,]+ requests, 0 failed", output), output
    assert processes_of(tmp_path) == []


@needs_proc
def test_its_children_end_when_it_is_killed(tmp_path: Path) -> None:
    """After ``kill -9`` the server, its workers, the monitor and the retraining end by themselves."""
    with demo(tmp_path) as process:
        read_until(process, "Retraining")
        assert processes_of(tmp_path)
        process.kill()
    deadline = time.monotonic() + ORPHANS_END_S
    while (left := processes_of(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def test_never_deletes_what_is_not_its_own(tmp_path: Path) -> None:
    """A folder with somebody else's files is refused and left as it is."""
    (tmp_path / "thesis.txt").write_text("three years of work")
    with demo(tmp_path, "--once") as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert "holds files that are not the demo's" in output
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_the_summary_has_what_was_promised_last(tmp_path: Path) -> None:
    """A version that was published just before the summary is read has its description and its promise in it."""
    registry, frame = tmp_path / "registry", frame_of(seed=2, rows=60)
    monitor = start_monitor(registry, tmp_path / "data", "--poll-interval-s", "4")
    try:
        with connected(*doors_of(monitor)) as watch:
            holdout = frame, truth_of(frame)
            export(fit_classifier(1), name=CLASSIFIER, holdout=holdout, registry=registry, description="the last one")
            watch.export(prediction_of("flight", ["late"], model=CLASSIFIER))
            (version,) = read_settled(f"{watch.url}/", CLASSIFIER, answers=1, truths=0).versions
    finally:
        monitor.stop()
    assert version.description == "the last one"
    assert version.metrics["accuracy"].promise is not None


def test_flights_have_ids_of_their_own_and_land_after_they_leave() -> None:
    """Ids are unique, and a flight lands after its departure by what it takes to fly, wherever its clocks are."""
    flights = load()
    assert flights["id"].is_unique
    assert flights["departs"].is_monotonic_increasing
    hours = (flights["lands"] - flights["departs"]).dt.total_seconds() / 3600
    assert hours.min() > 0
    # Los Angeles is six hours away, and its clocks show three hours less.
    assert hours[flights["dest"] == "LAX"].median() == pytest.approx(6.0, abs=0.5)
    assert hours[flights["dest"] == "BOS"].median() == pytest.approx(1.2, abs=0.5)


def test_weather_is_the_last_report_before_departure() -> None:
    """Each flight has its own airport's report of the hour in which it leaves, or the last before; none is without."""
    flights = load()
    assert not flights[[*WEATHER]].isna().any(axis=None)
    newark = flights[(flights["month"] == 1) & (flights["day"] == 1) & (flights["origin"] == "EWR")]
    found = newark.groupby("hour")["temperature"].unique()
    # Newark has no report of that noon: the one of eleven is the last.
    assert [found[hour].tolist() for hour in (5, 6, 11, 12, 13)] == [[39.02], [37.94], [41.0], [41.0], [39.2]]


class Server:
    """Stands in for a server that refuses every tenth request, in the words of one client or of the other."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def ask(self, flight: Flight) -> int:
        """Answer, after others have had their turn."""
        self.asked.append(flight.id)
        asked = len(self.asked)
        await asyncio.sleep(0)
        if asked % 20 == 0:
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE)
        if asked % 10 == 0:
            raise Unavailable("The server is draining.")
        return 1


class Monitor:
    """Stands in for the client of a monitor that takes every truth; keeps when, by the replay's clock."""

    def __init__(self) -> None:
        self.replay: Replay | None = None
        self.reported: dict[str, float] = {}

    async def report_many(self, reports: list[tuple[str, bool]], **_options: float) -> int:
        """Take them."""
        assert self.replay
        self.reported |= {name: self.replay.clock for name, _ in reports}
        await asyncio.sleep(0)
        return len(reports)


async def test_truths_are_reported_after_landing_and_failures_are_counted() -> None:
    """No truth is reported before its flight has landed, but each in the end; a failure is counted by its message."""
    flights = {
        str(hour): Flight(lands=(hour + 2) * 3600.0, id=str(hour), departs=hour * 3600.0, features={}, late=False)
        for hour in range(200)
    }
    server, monitor, tally = Server(), Monitor(), Tally()
    seen: list[Flight] = []
    known: list[Flight] = []
    replay = Replay(server.ask, cast("AsyncOutcomes", monitor), tally, known.extend)
    monitor.replay = replay
    await replay.run(flights.values(), seen.append, rate=None)
    assert server.asked == list(flights)
    assert sorted(seen) == sorted(flights.values())
    assert 0 < len(monitor.reported) < 180, "some have landed, the last have not"
    await replay.land_all()
    assert all(flights[name].lands <= clock for name, clock in monitor.reported.items())
    assert tally.answered == {1: 180}
    assert sum(tally.failures.values()) == 20
    assert tally.failures["Unavailable: The server is draining."] == 10
    assert {flight.id for flight in known} == monitor.reported.keys()
    assert tally.reported == len(monitor.reported) == 180
