"""Processes die, and callers keep their answers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sardonyx.address import Address
from sardonyx_exporter import promote
from sardonyx_server import supervisor as supervisor_module
from sardonyx_server.app import _configured, serve
from sardonyx_server.supervisor import Supervisor, _reserve
from sardonyx_server.worker import Worker
from server.scene import (
    ALONE,
    PATIENCE_S,
    SLOW,
    answers,
    array_of,
    get_server,
    infer,
    number_request,
    publish_by_hand,
    regressor_request,
    slow_graph,
    wait_until,
)
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sardonyx.oip import messages as oip
    from server.scene import Scene

WORKERS = 2
#: The number by which the slow model takes a second or more to load.
LOADED = 500
REQUEST = regressor_request(array_of(21, rows=1))


@pytest.fixture
def program(scene: Scene) -> Iterator[Program]:
    """A server of two workers, ended by whoever uses it."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", str(WORKERS))
    program = Program.start("sardonyx_server", *arguments, "--drain-grace-s", "0")
    try:
        yield program
    finally:
        program.stop()


@pytest.fixture
def address(program: Program) -> str:
    """Where it listens."""
    return program.wait_for(r"listening on (\S+:\d+)")[1]


def children_of(parent: int) -> set[int]:
    """The living children of a process."""
    return {pid for pid, (state, ppid) in _processes().items() if ppid == parent and state != "Z"}


def alive(pid: int) -> bool:
    """Whether a process runs."""
    return _processes().get(pid, ("Z", 0))[0] != "Z"


def _processes() -> dict[int, tuple[str, int]]:
    """State and parent of every process."""
    found: dict[int, tuple[str, int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                # The name stands in parentheses and may hold anything.
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                found[int(entry.name)] = state, int(ppid)
    return found


def connect(address: str) -> grpc.Channel:
    """A connection of its own: it stays with the worker that accepted it."""
    return grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


@contextlib.contextmanager
def one_channel_each(
    address: str, pids: set[int], request: oip.ModelInferRequest = REQUEST
) -> Iterator[dict[int, grpc.Channel]]:
    """A channel to each of the workers, by process id, once all answer."""
    with contextlib.ExitStack() as stack:
        channels: dict[int, grpc.Channel] = {}

        def met_all() -> bool:
            channel = stack.enter_context(connect(address))
            # Only a worker whose model answers counts.
            if answers(channel, request):
                channels.setdefault(get_server(channel).process_id, channel)
            return pids <= channels.keys()

        wait_until(met_all, f"workers {pids} all answer")
        yield channels


def test_a_killed_worker_comes_back_while_the_other_answers(program: Program, address: str) -> None:
    """After kill -9 of a worker no call to the other fails, its own callers are answered again, and it is replaced."""
    before = children_of(program.process.pid)
    assert len(before) == WORKERS
    with one_channel_each(address, before) as channels:
        victim, survivor = sorted(before)
        os.kill(victim, signal.SIGKILL)

        def replaced() -> bool:
            assert infer(channels[survivor], REQUEST).model_version == "1"
            assert get_server(channels[survivor]).process_id == survivor
            return len(children_of(program.process.pid) - {victim}) == WORKERS

        wait_until(replaced, "the worker is replaced")
        wait_until(lambda: answers(channels[victim], REQUEST), "the dead worker's callers are answered")
        after = children_of(program.process.pid)
        assert survivor in after
        assert victim not in after
        with one_channel_each(address, after):
            pass
    program.wait_for(f"ended with status -{signal.SIGKILL.value}")
    assert program.stop() == 0, "".join(program.lines)


def test_all_workers_killed_come_back(program: Program, address: str) -> None:
    """After kill -9 of every worker the same port is answered by as many new ones."""
    before = children_of(program.process.pid)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before & children_of(program.process.pid), "the workers died")
    wait_until(lambda: len(children_of(program.process.pid)) == WORKERS, "there are as many new ones")
    with one_channel_each(address, children_of(program.process.pid)) as channels:
        assert not before & channels.keys()
    assert program.stop() == 0, "".join(program.lines)


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Program]:
    """A server of two workers that load their model for a second or more, ended by whoever uses it."""
    registry = tmp_path / "registry"
    publish_by_hand(registry, SLOW, slow_graph(), golden={LOADED: float(LOADED)})
    promote(SLOW, 1, registry=str(registry))
    flags = ("--workers", str(WORKERS), "--drain-grace-s", "0")
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *flags)
    try:
        yield program
    finally:
        program.stop()


def kill_one(program: Program, address: str) -> tuple[int, int]:
    """Kill one of two workers that answer; the other, and the one in its place."""
    victim, survivor = sorted(children_of(program.process.pid))
    with one_channel_each(address, {victim, survivor}, number_request(SLOW, 1)):
        os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(children_of(program.process.pid) - {victim}) == WORKERS, "the worker is replaced")
    (successor,) = children_of(program.process.pid) - {victim, survivor}
    return survivor, successor


def test_nobody_is_sent_to_a_worker_that_has_nothing_to_answer_with(patient: Program) -> None:
    """A worker that takes a killed one's place opens its port when its versions are loaded, and its health says so.

    All calls until then are answered by the others, however many connections are made.
    """
    address = patient.wait_for(r"listening on (\S+:\d+)")[1]
    survivor, successor = kill_one(patient, address)
    met: set[int] = set()

    def met_successor() -> bool:
        with connect(address) as channel:
            assert infer(channel, number_request(SLOW, 1)).model_version == "1"
            met.add(get_server(channel).process_id)
            if successor not in met:
                return False
            health = health_pb2_grpc.HealthStub(channel)
            assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
            return True

    wait_until(met_successor, "the new worker answers")
    assert met == {survivor, successor}
    assert patient.stop() == 0, "".join(patient.lines)


def test_a_worker_killed_while_the_registry_is_away_comes_back_with_it(patient: Program, tmp_path: Path) -> None:
    """Until then the other worker answers all, and the log says in a sentence why there is no second one."""
    registry, away = tmp_path / "registry", tmp_path / "away"
    address = patient.wait_for(r"listening on (\S+:\d+)")[1]
    victim, survivor = sorted(children_of(patient.process.pid))
    with one_channel_each(address, {victim, survivor}, number_request(SLOW, 1)):
        registry.rename(away)
        os.kill(victim, signal.SIGKILL)
    patient.wait_for("There is no registry at")
    for _ in range(10):
        with connect(address) as channel:
            assert infer(channel, number_request(SLOW, 1)).model_version == "1"
    away.rename(registry)

    def met_another() -> bool:
        with connect(address) as channel:
            return get_server(channel).process_id != survivor

    wait_until(met_another, "there are two again")
    assert patient.stop() == 0, "".join(patient.lines)
    assert "Traceback" not in "".join(patient.lines)


async def test_a_worker_waits_for_its_versions_within_a_bound(tmp_path: Path) -> None:
    """Where there is nothing to load, or no end of it, the wait ends all the same: whoever asks is to be told why."""
    context = serve.make_context("serve", ["--registry", str(tmp_path), "--workers", "1"])
    worker = Worker(_configured(**context.params))
    await worker._until_settled(timeout_s=0.05)
    assert not worker._manager.settled


def test_a_worker_that_loads_behind_its_closed_port_ends_when_told_to(patient: Program) -> None:
    """SIGTERM ends a server with status 0 while one of its workers still waits for its versions."""
    _, successor = kill_one(patient, patient.wait_for(r"listening on (\S+:\d+)")[1])
    assert patient.stop() == 0, "".join(patient.lines)
    assert not alive(successor)


def test_workers_end_with_their_supervisor(program: Program, address: str) -> None:
    """After kill -9 of the supervisor the workers end by themselves, and the port is free."""
    workers = children_of(program.process.pid)
    program.process.kill()
    program.process.wait(timeout=PATIENCE_S)
    wait_until(lambda: not any(alive(pid) for pid in workers), "the workers ended")
    with connect(address) as channel:
        assert not answers(channel, REQUEST)


def test_without_room_for_another_worker_the_rest_serve_until_there_is(program: Program, address: str) -> None:
    """A supervisor that cannot start a worker says so and tries again: no other worker, and no call, is lost."""
    supervisor = program.process.pid
    victim, survivor = sorted(children_of(supervisor))
    with one_channel_each(address, {victim, survivor}) as channels:
        _, hard = limits = resource.prlimit(supervisor, resource.RLIMIT_NOFILE)
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, (0, hard))
        os.kill(victim, signal.SIGKILL)
        program.wait_for(r"worker \d cannot be started .*Too many open files.*; starting it again in")
        assert infer(channels[survivor], REQUEST).model_version == "1"
        resource.prlimit(supervisor, resource.RLIMIT_NOFILE, limits)
    wait_until(lambda: len(children_of(supervisor)) == WORKERS, "the worker is replaced")
    assert survivor in children_of(supervisor)
    assert program.stop() == 0, "".join(program.lines)


#: What a program's standard output is when nobody can be told anything there.
MUTE = {
    "full": "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)",
    "closed": "os.close(1)",
    "left by its reader": "there, here = os.pipe(); os.close(there); os.dup2(here, 1)",
}


@pytest.mark.parametrize("mute", MUTE.values(), ids=MUTE.keys())
def test_a_server_whose_output_nobody_takes_goes_on(scene: Scene, mute: str) -> None:
    """It says in its log where it listens, replaces a killed worker and ends well, without a traceback."""
    serving = ["-m", "sardonyx_server", "--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE]
    # With Python's buffer, as operators run it.
    become = f"import os, sys; {mute}; del os.environ['PYTHONUNBUFFERED']; os.execv(sys.executable, sys.argv[1:])"
    program = Program.of([sys.executable, "-c", become, sys.executable, *serving])
    address = program.wait_for(r"listening on (\S+:\d+);")[1]
    (victim,) = children_of(program.process.pid)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: bool(children_of(program.process.pid) - {victim}), "the worker is replaced")
    with connect(address) as channel:
        wait_until(lambda: answers(channel, REQUEST), "the new worker answers")
    assert program.stop() == 0, "".join(program.lines)
    assert "Traceback" not in "".join(program.lines)


def test_a_server_without_a_log_serves_and_ends_well(scene: Scene) -> None:
    """Where standard error and input are closed, no file of a worker's takes their place."""
    serving = ["-m", "sardonyx_server", "--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE]
    become = "import os, sys; os.close(0); os.close(2); os.execv(sys.executable, sys.argv[1:])"
    program = Program.of([sys.executable, "-c", become, sys.executable, *serving])
    with connect(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
        wait_until(lambda: answers(channel, REQUEST), "it answers")
    assert program.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL])
def test_a_supervisor_that_ends_while_workers_start_leaves_no_traceback(scene: Scene, number: signal.Signals) -> None:
    """Workers that have nobody to tell that they accept end by themselves, and quietly."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    program = Program.start("sardonyx_server", *arguments)
    wait_until(lambda: bool(children_of(program.process.pid)), "the worker was started")
    workers = children_of(program.process.pid)
    program.process.send_signal(number)
    program.process.wait(timeout=PATIENCE_S)
    wait_until(lambda: not any(alive(pid) for pid in workers), "the worker ended")
    program.stop()
    assert "Traceback" not in "".join(program.lines)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_processes_with_status_0(program: Program, address: str, number: signal.Signals) -> None:
    """SIGTERM, SIGINT and a terminal that is closed end supervisor and workers, with status 0."""
    workers = children_of(program.process.pid)
    with one_channel_each(address, workers):
        program.process.send_signal(number)
        assert program.process.wait(timeout=PATIENCE_S) == 0, "".join(program.lines)
    assert not any(alive(pid) for pid in workers)


def test_a_signal_before_the_workers_listen_ends_all_processes(scene: Scene) -> None:
    """SIGTERM while workers still start ends them too, with status 0: nothing went wrong."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", str(WORKERS))
    program = Program.start("sardonyx_server", *arguments, "--drain-grace-s", "0")
    wait_until(lambda: len(children_of(program.process.pid)) == WORKERS, "the workers were started")
    workers = children_of(program.process.pid)
    assert program.stop() == 0, "".join(program.lines)
    assert not any(alive(pid) for pid in workers)


async def test_a_worker_that_ends_as_it_is_to_be_killed_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment between its time being up and the kill is its own: its supervisor, and the others, go on."""
    monkeypatch.setattr(supervisor_module, "KILL_AFTER_S", 0.0)
    arguments = ["--registry", str(tmp_path), "--workers", "1", "--drain-timeout-s", "0.1"]
    parent = Supervisor(_configured(**serve.make_context("serve", arguments).params))
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await process.wait()
    unheard: asyncio.Task[int] = asyncio.create_task(asyncio.sleep(PATIENCE_S, 0))
    await parent._end(process, unheard)
    assert not unheard.done()
    unheard.cancel()


def test_a_taken_port_is_refused_in_a_sentence(scene: Scene, program: Program, address: str) -> None:
    """A second server on the same port says what is wrong and ends with 1: it does not share the port by accident."""
    second = Program.start("sardonyx_server", "--registry", str(scene.registry), "--listen", address)
    assert second.process.wait(timeout=PATIENCE_S) == 1
    second.wait_for(f"cannot listen on {address}: .* Choose another --listen")
    second.stop()


def test_a_server_that_is_told_to_outlives_its_terminal(scene: Scene) -> None:
    """Under nohup, SIGHUP ends nothing."""
    serving = ["-m", "sardonyx_server", "--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE]
    program = Program.of(["nohup", sys.executable, *serving])
    address = program.wait_for(r"listening on (\S+:\d+)")[1]
    program.process.send_signal(signal.SIGHUP)
    with connect(address) as channel:
        wait_until(lambda: answers(channel, REQUEST), "it answers")
    assert program.stop() == 0, "".join(program.lines)


def listening(address: Address) -> socket.socket:
    """A socket such as a worker's."""
    worker = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        worker.setsockopt(socket.SOL_SOCKET, option, 1)
    worker.bind((address.host, address.port))
    worker.listen()
    return worker


def test_a_reservation_is_for_its_own_workers_alone() -> None:
    """Whether or not one of them listens, no other server gets the port, on this host or on all; then it is free."""
    with _reserve(Address("127.0.0.1", 0)) as reservation:
        address = Address("127.0.0.1", reservation.getsockname()[1])
        for taken in (address, Address("::", address.port)):
            with pytest.raises(OSError, match="already in use"):
                _reserve(taken)
        with listening(address) as one, listening(address), pytest.raises(OSError, match="already in use"):
            _reserve(address)
        # The end that closes first keeps the connection for a minute: a restart does not wait for it.
        with listening(address) as one, socket.create_connection((address.host, address.port)) as caller:
            one.accept()[0].close()
            assert caller.recv(1) == b""
        with pytest.raises(OSError, match="already in use"):
            _reserve(address)
    _reserve(address).close()


def test_of_servers_that_start_at_one_moment_one_gets_the_port() -> None:
    """However their steps fall together, one has it, and all others are refused."""
    with _reserve(Address("127.0.0.1", 0)) as reservation:
        address = Address("127.0.0.1", reservation.getsockname()[1])
    rivals = 4
    together = threading.Barrier(rivals)

    def ask(_rival: int) -> socket.socket | None:
        together.wait()
        try:
            return _reserve(address)
        except OSError:
            return None

    with ThreadPoolExecutor(rivals) as pool:
        for _ in range(100):
            (reservation,) = filter(None, pool.map(ask, range(rivals)))
            listening(address).close()
            reservation.close()


@contextlib.contextmanager
def with_long_grace(scene: Scene) -> Iterator[tuple[Program, str, int]]:
    """A server that leaves its callers ten minutes, its address, and its only worker."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", "1")
    program = Program.start("sardonyx_server", *arguments, "--drain-grace-s", "600", "--drain-timeout-s", "1200")
    address = program.wait_for(r"listening on (\S+:\d+)")[1]
    (worker,) = children_of(program.process.pid)
    try:
        yield program, address, worker
    finally:
        if program.process.poll() is None:
            os.kill(worker, signal.SIGKILL)
        program.stop()


def test_a_signal_to_every_process_is_one(scene: Scene) -> None:
    """Who ends all processes of a server at once, as systemd does, leaves callers their grace."""
    with with_long_grace(scene) as (program, address, worker):
        with one_channel_each(address, {worker}) as channels:
            program.process.terminate()
            program.wait_for("draining")
            os.kill(worker, signal.SIGTERM)
            for _ in range(50):
                infer(channels[worker], REQUEST)
        program.process.terminate()
        assert program.process.wait(timeout=PATIENCE_S) == 0, "".join(program.lines)


def test_a_second_signal_ends_the_grace(scene: Scene) -> None:
    """Who asks twice does not wait for the grace: the second signal reaches the workers too."""
    with with_long_grace(scene) as (program, _, _):
        program.process.terminate()
        program.wait_for("draining")
        program.process.terminate()
        assert program.process.wait(timeout=PATIENCE_S) == 0, "".join(program.lines)
