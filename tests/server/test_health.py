"""grpc.health.v1, by the stubs of grpcio-health-checking: what load balancers and Kubernetes ask."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sardonyx_exporter import promote
from sardonyx_server.doors.health import HealthDoor
from server.scene import (
    ALONE,
    CLASSIFIER,
    LOOKUP,
    PATIENCE_S,
    REGRESSOR,
    SLOW,
    answers,
    array_of,
    blob_path,
    export_regressor,
    failure_of,
    regressor_request,
    wait_until,
)
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from server.scene import Scene

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
WATCHERS = 5


def check(channel: grpc.Channel, name: str) -> Any:
    """Check's answer."""
    request = health_pb2.HealthCheckRequest(service=name)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=PATIENCE_S).status


def watch(channel: grpc.Channel, name: str) -> Any:
    """Watch's stream of answers; a test that waits too long for one fails."""
    request = health_pb2.HealthCheckRequest(service=name)
    return health_pb2_grpc.HealthStub(channel).Watch(request, timeout=PATIENCE_S, wait_for_ready=True)


def serves(channel: grpc.Channel, name: str) -> bool:
    """Whether Check says SERVING; a name that is not known yet does not."""
    try:
        return bool(check(channel, name) == SERVING)
    except grpc.RpcError:
        return False


@pytest.fixture
def program(scene: Scene) -> Iterator[Program]:
    """A server of one worker, ended by whoever uses it."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", "1")
    program = Program.start("sardonyx_server", *arguments)
    try:
        yield program
    finally:
        assert program.stop() == 0, "".join(program.lines)


@pytest.mark.parametrize("name", ["", CLASSIFIER, REGRESSOR, LOOKUP, SLOW])
def test_check_and_watch_say_that_all_serve(channel: grpc.Channel, name: str) -> None:
    """The server and each model that answers are SERVING, by Check and as Watch's first word."""
    wait_until(lambda: serves(channel, name), f"{name!r} serves")
    stream = watch(channel, name)
    assert next(stream).status == SERVING
    stream.cancel()


def test_check_of_an_unknown_name_is_not_found(channel: grpc.Channel) -> None:
    """Check answers a name that it does not know with NOT_FOUND, as the protocol asks, and with our details."""
    failure = failure_of(lambda: check(channel, "flight-dela"))
    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert (failure.info.reason, failure.info.domain) == ("NOT_FOUND", "sardonyx")


def test_watch_of_a_model_that_comes_and_another_that_is_broken(tmp_path: Path) -> None:
    """Watch says SERVICE_UNKNOWN for a name that may yet come, SERVING when it answers; a broken one never serves."""
    registry = tmp_path / "registry"
    export_regressor(registry, "good", seed=1)
    export_regressor(registry, "broken", seed=2)
    blob_path(registry, "broken", 1).write_bytes(b"no graph")
    arguments = (*ALONE, "--poll-interval-s", "0.05")
    with running_server(registry, *arguments) as address, grpc.insecure_channel(address) as channel:
        good, broken = watch(channel, "good"), watch(channel, "broken")
        # Models without a live version are in the registry, and a server has not to know them.
        first = [next(good).status, next(broken).status]
        assert set(first) <= {SERVICE_UNKNOWN, NOT_SERVING}
        for name in ("broken", "good"):
            promote(name, 1, registry=str(registry))
        said = next(good).status
        assert (said if said == SERVING else next(good).status) == SERVING
        wait_until(functools.partial(serves, channel, ""), "the server is ready although a model is broken")
        assert check(channel, "broken") == NOT_SERVING
        good.cancel()
        broken.cancel()


def test_a_drain_is_told_to_all_who_watch(program: Program) -> None:
    """On SIGTERM every watcher, of the server and of models, hears NOT_SERVING, also where others left before."""
    with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
        names = ["", CLASSIFIER, REGRESSOR]
        for name in names:
            wait_until(functools.partial(serves, channel, name), f"{name!r} serves")
        streams = [watch(channel, name) for name in names for _ in range(WATCHERS)]
        assert [next(stream).status for stream in streams] == [SERVING] * len(streams)
        gone, left = streams[::WATCHERS], [each for index, each in enumerate(streams) if index % WATCHERS]
        for stream in gone:
            stream.cancel()
        program.process.terminate()
        assert [next(stream).status for stream in left] == [NOT_SERVING] * len(left)


def test_check_says_not_serving_while_calls_are_still_answered(scene: Scene) -> None:
    """Health goes first: it says NOT_SERVING while calls of those who have not heard are answered."""
    arguments = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", "--workers", "1")
    program = Program.start("sardonyx_server", *arguments, "--drain-grace-s", "60", "--drain-timeout-s", "120")
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            wait_until(functools.partial(serves, channel, ""), "the server is ready")
            stream = watch(channel, "")
            assert next(stream).status == SERVING
            program.process.terminate()
            assert next(stream).status == NOT_SERVING
            assert [check(channel, name) for name in ("", REGRESSOR)] == [NOT_SERVING, NOT_SERVING]
            assert answers(channel, regressor_request(array_of(41, rows=1)))
            stream.cancel()
    finally:
        # A second signal: there is no time for the grace.
        assert program.stop() == 0, "".join(program.lines)


async def test_a_closed_door_stays_closed() -> None:
    """Once a drain has begun no change of a model says SERVING again."""
    door = HealthDoor()
    context: Any = None
    await door.set("model", serving=True)
    await door.set("", serving=True)
    await door.close()
    await door.set("model", serving=True)
    await door.set("other", serving=True)
    for name in ("", "model"):
        assert (await door.Check(health_pb2.HealthCheckRequest(service=name), context)).status == NOT_SERVING


async def test_a_watcher_hears_changes_and_no_repetitions() -> None:
    """Watch yields a state when it differs from the last that was told, and not otherwise."""
    door = HealthDoor()
    context: Any = None
    stream = door.Watch(health_pb2.HealthCheckRequest(service="model"), context)
    heard = [(await anext(stream)).status]
    for serving in (True, True, False, False, True):
        before = door._serving.get("model")
        await door.set("model", serving=serving)
        if before != serving:
            heard.append((await anext(stream)).status)
    assert heard == [SERVICE_UNKNOWN, SERVING, NOT_SERVING, SERVING]
