"""The life of versions: its rules as tables, and what callers see of it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
from typing import TYPE_CHECKING

import grpc
import pytest

from sardonyx.errors import RegistryCorrupt
from sardonyx.oip import messages as oip
from sardonyx.registry import Registry
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import promote, rollback
from sardonyx_server.life.lanes import LIVE_LANE, Lane
from sardonyx_server.life.policy import Drain, Forget, Load, Restore, Route, Snapshot, Unload, next_action
from sardonyx_server.life.states import MOVES, State, check_move
from server.scene import (
    ALONE,
    answers,
    array_of,
    ask,
    blob_path,
    export_regressor,
    failure_of,
    get_model,
    get_server,
    infer,
    is_ready,
    regressor_request,
    states_of,
    value_of,
    wait_until,
)
from server.test_health import serves
from server.test_supervisor import alive
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sardonyx_server.life.policy import Action

MODEL = "life"
ROW = array_of(31, rows=1)


# The rules


NONE: frozenset[Lane] = frozenset()
LIVE = frozenset({LIVE_LANE})
CANARY = frozenset({Lane("canary", 10.0)})
MORE = frozenset({Lane("canary", 50.0)})
SHADOW = frozenset({Lane("shadow", 10.0)})


@pytest.mark.parametrize(
    ("state", "wished", "routed", "in_flight", "action"),
    [
        # Wished for: on the way to the route, and there.
        (State.NEW, LIVE, NONE, 0, Load(1)),
        (State.LOADING, LIVE, NONE, 0, None),
        (State.VERIFYING, LIVE, NONE, 0, None),
        (State.READY, LIVE, NONE, 0, Route(1, LIVE)),
        (State.READY, LIVE, LIVE, 0, None),
        (State.READY, LIVE, LIVE, 5, None),
        (State.DRAINING, LIVE, NONE, 5, Restore(1)),
        (State.DRAINING, LIVE, NONE, 0, Restore(1)),
        (State.FAILED, LIVE, NONE, 0, None),
        # As a canary, a shadow, or both: the same way.
        (State.NEW, CANARY, NONE, 0, Load(1)),
        (State.READY, CANARY, NONE, 0, Route(1, CANARY)),
        (State.READY, CANARY, CANARY, 5, None),
        (State.READY, MORE, CANARY, 5, Route(1, MORE)),
        (State.READY, CANARY | SHADOW, CANARY, 0, Route(1, CANARY | SHADOW)),
        (State.READY, SHADOW, CANARY | SHADOW, 0, Route(1, SHADOW)),
        (State.DRAINING, SHADOW, NONE, 5, Restore(1)),
        (State.FAILED, CANARY | SHADOW, NONE, 0, None),
        # A canary that is promoted, and a live version that becomes a canary: it answers until another one does.
        (State.READY, LIVE, CANARY | SHADOW, 5, Route(1, LIVE)),
        (State.READY, CANARY, LIVE, 5, Route(1, CANARY | LIVE)),
        (State.READY, CANARY, CANARY | LIVE, 5, None),
        # Not wished for any more: off the route first, then out of memory. A share ends at once, the live route not.
        (State.NEW, NONE, NONE, 0, Forget(1)),
        (State.LOADING, NONE, NONE, 0, None),
        (State.VERIFYING, NONE, NONE, 0, None),
        (State.READY, NONE, LIVE, 0, None),
        (State.READY, NONE, LIVE, 5, None),
        (State.READY, NONE, LIVE | SHADOW, 5, Route(1, LIVE)),
        (State.READY, NONE, CANARY | SHADOW, 5, Route(1, NONE)),
        (State.READY, NONE, NONE, 0, Drain(1)),
        (State.READY, NONE, NONE, 5, Drain(1)),
        (State.DRAINING, NONE, NONE, 5, None),
        (State.DRAINING, NONE, NONE, 0, Unload(1)),
        (State.UNLOADED, NONE, NONE, 0, Forget(1)),
        (State.FAILED, NONE, NONE, 0, Forget(1)),
    ],
)
def test_the_next_action_of_one_version(
    state: State, wished: frozenset[Lane], routed: frozenset[Lane], in_flight: int, action: Action | None
) -> None:
    """One version's next action follows from its state, the wish, its lanes and its requests alone."""
    assert next_action([Snapshot(1, 1, state, wished, routed, in_flight)]) == action


def test_nothing_is_done_for_no_versions() -> None:
    """A model without versions is as it should be."""
    assert next_action([]) is None


def test_a_swap_takes_its_steps_in_the_order_that_loses_no_call() -> None:
    """The new version is loaded and routed before the old one drains, and that is unloaded when its calls are done."""
    old = Snapshot(1, 1, State.READY, wished=NONE, routed=LIVE, in_flight=2)
    new = Snapshot(2, 1, State.NEW, wished=LIVE, routed=NONE, in_flight=0)
    ready = Snapshot(2, 1, State.READY, wished=LIVE, routed=NONE, in_flight=0)
    routed = Snapshot(2, 1, State.READY, wished=LIVE, routed=LIVE, in_flight=3)
    left = Snapshot(1, 1, State.READY, wished=NONE, routed=NONE, in_flight=2)
    draining = Snapshot(1, 1, State.DRAINING, wished=NONE, routed=NONE, in_flight=2)
    done = Snapshot(1, 1, State.DRAINING, wished=NONE, routed=NONE, in_flight=0)
    unloaded = Snapshot(1, 1, State.UNLOADED, wished=NONE, routed=NONE, in_flight=0)
    assert next_action([old, new]) == Load(2)
    assert next_action([old, ready]) == Route(2, LIVE)
    assert next_action([left, routed]) == Drain(1)
    assert next_action([draining, routed]) is None
    assert next_action([done, routed]) == Unload(1)
    assert next_action([unloaded, routed]) == Forget(1)


def test_a_version_that_failed_leaves_the_old_one_alone() -> None:
    """While the wished version has failed, nothing happens to the one that answers."""
    old = Snapshot(1, 1, State.READY, wished=NONE, routed=LIVE, in_flight=2)
    for lanes in (LIVE, CANARY, SHADOW):
        failed = Snapshot(2, 1, State.FAILED, wished=lanes, routed=NONE, in_flight=0)
        assert next_action([old, failed]) is None


@pytest.mark.parametrize("routed", [LIVE, CANARY, LIVE | SHADOW])
def test_a_version_of_a_retired_generation_leaves(routed: frozenset[Lane]) -> None:
    """Nobody takes its route, and all the same it does not wait: off the route, then out of memory."""
    answering = Snapshot(1, 1, State.READY, wished=NONE, routed=routed, in_flight=2, retired=True)
    off = Snapshot(1, 1, State.READY, wished=NONE, routed=NONE, in_flight=2, retired=True)
    assert next_action([answering]) == Route(1, NONE)
    assert next_action([off]) == Drain(1)


@pytest.mark.parametrize("state", [State.NEW, State.LOADING, State.VERIFYING])
def test_a_share_waits_for_what_is_to_be_live(state: State) -> None:
    """A canary or shadow is loaded once what is to be live has loaded or failed, whichever is named first."""
    canary = Snapshot(1, 1, State.NEW, wished=CANARY, routed=NONE, in_flight=0)
    live = Snapshot(2, 2, state, wished=LIVE, routed=NONE, in_flight=0)
    assert next_action([canary, live]) == (Load(2) if state is State.NEW else None)
    for done in (State.READY, State.FAILED):
        lanes = LIVE if done is State.READY else NONE
        settled = Snapshot(2, 2, done, wished=LIVE, routed=lanes, in_flight=0)
        assert next_action([canary, settled]) == Load(1)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_moves_are_those_of_the_drawing(before: State, after: State) -> None:
    """A version moves as the drawing of its states says, and every other move is an error."""
    legal = {
        (State.NEW, State.LOADING),
        (State.LOADING, State.VERIFYING),
        (State.LOADING, State.FAILED),
        (State.VERIFYING, State.READY),
        (State.VERIFYING, State.FAILED),
        (State.READY, State.DRAINING),
        (State.DRAINING, State.READY),
        (State.DRAINING, State.UNLOADED),
        (State.FAILED, State.NEW),
    }
    if (before, after) in legal:
        check_move(before, after)
    else:
        with pytest.raises(RuntimeError, match=f"from {before.name} to {after.name}"):
            check_move(before, after)


def test_states_are_model_services() -> None:
    """State numbers and names are those that ModelService answers, and each has its moves."""
    public = {name.removeprefix("STATE_"): number for name, number in serving.State.items()}
    assert {state.name: int(state) for state in State} == {
        name: number for name, number in public.items() if name != "UNSPECIFIED"
    }
    assert MOVES.keys() == set(State)


def test_every_action_leads_to_a_legal_move() -> None:
    """Whatever the policy says in whatever situation, the move that it leads to is legal."""
    leads_to = {Load: State.LOADING, Restore: State.READY, Drain: State.DRAINING, Unload: State.UNLOADED}
    lanes = [frozenset(each) for count in range(4) for each in itertools.combinations(LIVE | CANARY | SHADOW, count)]
    for state, wished, routed, in_flight in itertools.product(State, lanes, lanes, (0, 1)):
        action = next_action([Snapshot(1, 1, state, wished, routed, in_flight)])
        if type(action) in leads_to:
            check_move(state, leads_to[type(action)])
        if isinstance(action, Drain | Unload | Forget):
            assert not wished
            assert not (routed and state is State.READY)
        if isinstance(action, Route):
            # A step that changed nothing would be taken for ever.
            assert action.lanes != routed
            assert next_action([Snapshot(1, 1, state, wished, action.lanes, in_flight)]) in (None, Drain(1))


# What callers see


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A registry with one live version."""
    registry = tmp_path / "registry"
    promote(MODEL, export_regressor(registry, MODEL, seed=1), registry=str(registry))
    return registry


@pytest.fixture
def channel(registry: Path) -> Iterator[grpc.Channel]:
    """A server of one worker on that registry, whose model answers."""
    arguments = (*ALONE, "--poll-interval-s", "0.05")
    with running_server(registry, *arguments) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, regressor_request(ROW, model=MODEL)), "the model answers")
        yield channel


def live_version(channel: grpc.Channel) -> str:
    """The version that answers now; every call must be answered."""
    return str(infer(channel, regressor_request(ROW, model=MODEL)).model_version)


def second_version(registry: Path) -> int:
    """One more version of the model, not live."""
    return export_regressor(registry, MODEL, seed=2)


def reason_of(channel: grpc.Channel, version: int) -> str:
    """Why a version does not serve."""
    (reason,) = [each.reason for each in get_model(channel, MODEL).versions if each.version == version]
    return reason


def garble(blob: Path) -> None:
    """Change a byte of the graph."""
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)


def remove(blob: Path) -> None:
    """Lose the graph."""
    blob.unlink()


@pytest.mark.parametrize(("damage", "word"), [(garble, "was changed"), (remove, "missing")])
def test_a_broken_blob_never_replaces_the_good_version(
    registry: Path, channel: grpc.Channel, damage: Callable[[Path], None], word: str
) -> None:
    """A version whose graph is damaged fails with its reason in ModelService, and the old one goes on answering."""
    version = second_version(registry)
    damage(blob_path(registry, MODEL, version))
    promote(MODEL, version, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(2) == serving.STATE_FAILED, "version 2 failed")
    assert word in reason_of(channel, 2)
    assert "Export the version again." in reason_of(channel, 2)
    assert live_version(channel) == "1"
    assert states_of(channel, MODEL) == {1: serving.STATE_READY, 2: serving.STATE_FAILED}
    assert {each.version: list(each.routes) for each in get_model(channel, MODEL).versions} == {1: ["live"], 2: []}
    assert ask(channel, "ModelReady", oip.ModelReadyRequest(name=MODEL), oip.ModelReadyResponse).ready
    pinned = failure_of(lambda: infer(channel, regressor_request(ROW, model=MODEL, version="2")))
    assert pinned.code is grpc.StatusCode.UNAVAILABLE
    # A rollback ends it: the failed version is forgotten.
    rollback(MODEL, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL) == {1: serving.STATE_READY}, "version 2 is forgotten")


def test_a_graph_that_answers_otherwise_never_replaces_the_good_version(registry: Path, channel: grpc.Channel) -> None:
    """A version whose golden rows do not come out as promised fails, and the reason names row and values."""
    store = Registry(str(registry))
    other = store.manifest(MODEL, second_version(registry))
    # The same graph under golden rows of another model.
    for column in other.golden.outputs:
        column.doubles.values[0] += 1.0
    graph = store.blob(other.artifact)
    assert store.publish(MODEL, graph, lambda _versions: other).version == 3
    promote(MODEL, 3, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(3) == serving.STATE_FAILED, "version 3 failed")
    assert "golden rows differ" in reason_of(channel, 3)
    assert "row 0" in reason_of(channel, 3)
    assert live_version(channel) == "1"


def test_bytes_that_are_no_graph_never_replace_the_good_version(registry: Path, channel: grpc.Channel) -> None:
    """A blob that is whole but no ONNX graph fails, and the reason says so."""
    store = Registry(str(registry))
    manifest = store.manifest(MODEL, 1)
    assert store.publish(MODEL, b"no graph at all", lambda _versions: manifest).version == 2
    promote(MODEL, 2, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(2) == serving.STATE_FAILED, "version 2 failed")
    assert "no ONNX file" in reason_of(channel, 2)
    assert live_version(channel) == "1"


def test_promote_and_rollback_move_the_route_and_forget_what_left(registry: Path, channel: grpc.Channel) -> None:
    """A promoted version answers, a rollback brings the old one back, and what is not live leaves memory."""
    version = second_version(registry)
    assert live_version(channel) == "1"
    promote(MODEL, version, registry=str(registry))
    wait_until(lambda: live_version(channel) == "2", "version 2 answers")
    wait_until(lambda: states_of(channel, MODEL) == {2: serving.STATE_READY}, "version 1 is unloaded")
    not_served = failure_of(lambda: infer(channel, regressor_request(ROW, model=MODEL, version="1")))
    assert not_served.code is grpc.StatusCode.NOT_FOUND
    rollback(MODEL, registry=str(registry))
    wait_until(lambda: live_version(channel) == "1", "version 1 answers again")
    wait_until(lambda: states_of(channel, MODEL) == {1: serving.STATE_READY}, "version 2 is unloaded")


def test_a_model_that_is_exported_later_is_served(registry: Path, channel: grpc.Channel) -> None:
    """A model that comes to the registry while the server runs answers once it is promoted, and not before."""
    version = export_regressor(registry, "later", seed=3)
    request = regressor_request(ROW, model="later")
    assert failure_of(lambda: infer(channel, request)).code is grpc.StatusCode.NOT_FOUND
    promote("later", version, registry=str(registry))
    wait_until(lambda: answers(channel, request), "the new model answers")


def test_a_vanished_registry_changes_nothing(registry: Path, channel: grpc.Channel) -> None:
    """With the registry's folder gone calls are answered and ModelService says so; with it back, all goes on."""
    second_version(registry)
    moved = registry.with_name("moved")
    registry.rename(moved)
    wait_until(lambda: bool(get_server(channel).registry.error), "the server noticed")
    assert live_version(channel) == "1"
    assert states_of(channel, MODEL) == {1: serving.STATE_READY}
    assert ask(channel, "ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse).ready
    moved.rename(registry)
    wait_until(lambda: not get_server(channel).registry.error, "the server noticed that it is back")
    promote(MODEL, 2, registry=str(registry))
    wait_until(lambda: live_version(channel) == "2", "version 2 answers")


def test_an_empty_registry_in_place_of_the_old_changes_nothing(registry: Path, channel: grpc.Channel) -> None:
    """A registry that has lost its models is an error that ModelService shows, and no wish to unload."""
    registry.rename(registry.with_name("moved"))
    registry.mkdir()
    wait_until(lambda: MODEL in get_server(channel).registry.error, "the server noticed")
    assert live_version(channel) == "1"


RESTART = "restart the server to serve what is there now"


def put(registry: Path, other: Path) -> None:
    """Put a copy of another registry in a registry's place: whole, so that nobody reads half of it."""
    copy = shutil.copytree(other, registry.with_name("copy"))
    registry.rename(registry.with_name("former"))
    copy.rename(registry)


def test_a_restored_registry_changes_nothing_until_a_restart(registry: Path, channel: grpc.Channel) -> None:
    """A log that went back, and on from there, is not followed: ModelService says so, and what to do about it."""
    second_version(registry)
    backup = shutil.copytree(registry, registry.with_name("backup"))
    promote(MODEL, 2, registry=str(registry))
    wait_until(lambda: live_version(channel) == "2", "version 2 answers")
    put(registry, backup)
    wait_until(lambda: RESTART in get_server(channel).registry.error, "the server noticed that the log is shorter")
    for version in (2, 1, 2, 1):
        promote(MODEL, version, registry=str(registry))
    # Another model is served by a log of its own; once it answers, the longer log of the first one was read too.
    promote("other", export_regressor(registry, "other", seed=4), registry=str(registry))
    wait_until(lambda: answers(channel, regressor_request(ROW, model="other")), "the other model answers")
    assert f"another log of {MODEL} than" in get_server(channel).registry.error
    assert live_version(channel) == "2"
    assert states_of(channel, MODEL) == {2: serving.STATE_READY}
    with running_server(registry, *ALONE) as address, grpc.insecure_channel(address) as anew:
        wait_until(lambda: answers(anew, regressor_request(ROW, model=MODEL)), "the model answers after a restart")
        assert live_version(anew) == "1"
        assert not get_server(anew).registry.error


def test_a_link_that_leads_to_the_next_revision_is_followed(registry: Path) -> None:
    """A registry that is deployed by switching a link is read where the link leads: a log that goes on is followed."""
    link, following = registry.with_name("current"), registry.with_name("following")
    link.symlink_to(registry)
    with running_server(link, *ALONE, "--poll-interval-s", "0.1") as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, regressor_request(ROW, model=MODEL)), "version 1 answers")
        shutil.copytree(registry, following)
        second_version(following)
        promote(MODEL, 2, registry=str(following))
        switched = registry.with_name("switched")
        switched.symlink_to(following)
        switched.replace(link)
        wait_until(lambda: live_version(channel) == "2", "version 2 answers")
        assert not get_server(channel).registry.error


def test_another_registry_gives_no_version_other_bytes(registry: Path, channel: grpc.Channel, tmp_path: Path) -> None:
    """Where another registry has the same model and number, the old bytes answer; with the former back, all goes on."""
    another = tmp_path / "another"
    for seed in (5, 6):
        promote(MODEL, export_regressor(another, MODEL, seed=seed), registry=str(another))
    promote(MODEL, 1, registry=str(another))
    before = value_of(infer(channel, regressor_request(ROW, model=MODEL)))
    put(registry, another)
    wait_until(lambda: RESTART in get_server(channel).registry.error, "the server noticed")
    answer = infer(channel, regressor_request(ROW, model=MODEL))
    assert (answer.model_version, value_of(answer)) == ("1", before)
    shutil.rmtree(registry)
    registry.with_name("former").rename(registry)
    wait_until(lambda: not get_server(channel).registry.error, "the server noticed that it is back")
    promote(MODEL, second_version(registry), registry=str(registry))
    wait_until(lambda: live_version(channel) == "2", "version 2 answers")


def test_a_version_that_failed_is_not_loaded_of_another_registry(registry: Path, channel: grpc.Channel) -> None:
    """A version that is tried again fails where the registry was replaced: nobody promoted the number there."""
    backup = shutil.copytree(registry, registry.with_name("backup"))
    garble(blob_path(registry, MODEL, second_version(registry)))
    promote(MODEL, 2, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(2) == serving.STATE_FAILED, "version 2 failed")
    assert second_version(backup) == 2
    put(registry, backup)
    wait_until(lambda: "restart what reads it" in reason_of(channel, 2), "it was tried again")
    assert live_version(channel) == "1"


def test_every_worker_says_once_that_the_registry_was_replaced(registry: Path) -> None:
    """Each worker logs it once, with what to do; one that is started anew meanwhile serves what is there, without."""
    second_version(registry)
    backup = shutil.copytree(registry, registry.with_name("backup"))
    promote(MODEL, 2, registry=str(registry))
    arguments = ("--workers", "2", "--drain-grace-s", "0", "--poll-interval-s", "0.05")
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *arguments)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        wait_until(lambda: set(live_by_worker(address).values()) == {"2"}, "version 2 answers")
        put(registry, backup)
        wait_until(lambda: len(told(program)) == 2, "both workers told of it")
        errors = errors_by_worker(address)
        assert all(RESTART in error for error in errors.values())
        killed = min(errors)
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: not alive(killed), "it is dead")
        wait_until(lambda: "" in errors_by_worker(address).values(), "another worker serves")
        found = errors_by_worker(address)
        assert sorted(RESTART in error for error in found.values()) == [False, True]
        live = live_by_worker(address)
        assert {live[worker] for worker, error in found.items() if error} == {"2"}
        assert {live[worker] for worker, error in found.items() if not error} == {"1"}
    finally:
        assert program.stop() == 0, "".join(program.lines)
    assert len(told(program)) == 2


def told(program: Program) -> list[str]:
    """The lines that say that the registry was replaced."""
    return [line for line in program.lines if "another log of" in line]


def errors_by_worker(address: str) -> dict[int, str]:
    """What each of two workers says of the registry, by its process."""
    return by_worker(address, lambda _, server: server.registry.error)


def live_by_worker(address: str) -> dict[int, str]:
    """The version that each of two workers answers with, by its process."""
    return by_worker(address, lambda channel, _: live_version(channel))


def by_worker(address: str, ask_for: Callable[[grpc.Channel, serving.GetServerResponse], str]) -> dict[int, str]:
    """What each of two workers answers, by its process: a connection leads to one, and the kernel chooses which."""
    found: dict[int, str] = {}

    def both() -> bool:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            if answers(channel, regressor_request(ROW, model=MODEL)):
                server = get_server(channel)
                found[server.process_id] = ask_for(channel, server)
        return len(found) == 2

    wait_until(both, "both workers answer")
    return found


def test_a_broken_log_keeps_what_its_model_had_and_lets_others_go_on(registry: Path, channel: grpc.Channel) -> None:
    """A model whose events contradict themselves stays as it is; another model is promoted meanwhile."""
    events = sorted((registry / "models" / MODEL / "events").iterdir())
    stray = events[-1].with_name("00000003.json")
    stray.write_bytes(events[-1].read_bytes())
    with pytest.raises(RegistryCorrupt):
        Registry(str(registry)).events(MODEL)
    wait_until(lambda: bool(get_server(channel).registry.error), "the server noticed")
    promote("other", export_regressor(registry, "other", seed=4), registry=str(registry))
    wait_until(lambda: answers(channel, regressor_request(ROW, model="other")), "the other model answers")
    assert live_version(channel) == "1"
    stray.unlink()
    wait_until(lambda: not get_server(channel).registry.error, "the server noticed that it is mended")


def test_an_empty_registry_is_served_and_ready(tmp_path: Path) -> None:
    """A server on an empty registry is ready: there is nothing that it fails to serve."""
    with (
        running_server(tmp_path, *ALONE) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: is_ready(channel), "the server is ready")
        # What probes ask says the same.
        wait_until(lambda: serves(channel, ""), "the server is SERVING")


def test_a_registry_of_broken_logs_is_no_empty_one(registry: Path) -> None:
    """A server that could read none of its models says UNAVAILABLE and not that they are unknown; then it answers."""
    request = regressor_request(ROW, model=MODEL)
    event = min((registry / "models" / MODEL / "events").iterdir())
    good = event.read_bytes()
    event.write_bytes(b"{")
    with (
        running_server(registry, *ALONE, "--poll-interval-s", "0.1") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: MODEL in get_server(channel).registry.error, "the server noticed")
        assert failure_of(lambda: infer(channel, request)).code is grpc.StatusCode.UNAVAILABLE
        assert not serves(channel, "")
        event.write_bytes(good)
        wait_until(lambda: answers(channel, request), "the model answers")
        wait_until(lambda: serves(channel, ""), "the server is SERVING")


def test_a_model_whose_log_cannot_be_read_is_not_unknown(registry: Path) -> None:
    """Beside others that answer, a server says UNAVAILABLE of it and not that there is none; then it answers."""
    promote("other", export_regressor(registry, "other", seed=4), registry=str(registry))
    event = min((registry / "models" / MODEL / "events").iterdir())
    good = event.read_bytes()
    event.unlink()
    os.mkfifo(event)
    request = regressor_request(ROW, model=MODEL)
    with (
        running_server(registry, *ALONE, "--poll-interval-s", "0.1") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: answers(channel, regressor_request(ROW, model="other")), "the other model answers")
        refused = failure_of(lambda: infer(channel, request))
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert "whose log says why" in refused.message
        assert f"{event} should be a file" in get_server(channel).registry.error
        assert not serves(channel, MODEL)
        event.unlink()
        event.write_bytes(good)
        wait_until(lambda: answers(channel, request), "the model answers")
        wait_until(lambda: serves(channel, MODEL), "its health is SERVING")


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"loop"])
def test_a_strange_name_among_the_models_hides_none(registry: Path, channel: grpc.Channel, name: bytes) -> None:
    """A running server goes on following its registry, and one that starts serves it."""
    strange = registry / "models" / os.fsdecode(name)
    if name == b"loop":
        strange.symlink_to(".")
    else:
        strange.mkdir()
        wait_until(lambda: "no model's name" in get_server(channel).registry.error, "the server names it")
    promote(MODEL, second_version(registry), registry=str(registry))
    wait_until(lambda: live_version(channel) == "2", "the promote is followed")
    with (
        running_server(registry, *ALONE) as address,
        grpc.insecure_channel(address) as another,
    ):
        wait_until(lambda: answers(another, regressor_request(ROW, model=MODEL)), "a new server answers")


def test_a_restored_blob_is_served(registry: Path, channel: grpc.Channel) -> None:
    """What was damaged in the registry is tried again: once it is restored, the version serves without another act."""
    blob = blob_path(registry, MODEL, second_version(registry))
    whole = blob.read_bytes()
    garble(blob)
    promote(MODEL, 2, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(2) == serving.STATE_FAILED, "version 2 failed")
    blob.write_bytes(whole)
    wait_until(lambda: live_version(channel) == "2", "version 2 answers")


def test_a_new_worker_answers_with_what_was_live_before_a_broken_version(registry: Path) -> None:
    """A server that starts when the live version is broken serves the one before it, as those that had it in memory."""
    promote(MODEL, second_version(registry), registry=str(registry))
    promote(MODEL, export_regressor(registry, MODEL, seed=3), registry=str(registry))
    for version in (2, 3):
        remove(blob_path(registry, MODEL, version))
    with running_server(registry, *ALONE) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, regressor_request(ROW, model=MODEL)), "the model answers")
        assert live_version(channel) == "1"
        assert "missing" in reason_of(channel, 3)
        assert ask(channel, "ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse).ready


def test_a_worker_that_has_not_read_the_registry_denies_no_model(registry: Path) -> None:
    """A worker that starts while the registry cannot be read says UNAVAILABLE with RetryInfo; then it answers."""
    request, models = regressor_request(ROW, model=MODEL), registry / "models"
    with running_server(registry, *ALONE, "--poll-interval-s", "0.1") as address:
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: answers(channel, request), "the model answers")
            before = get_server(channel).process_id
            away = models.rename(registry / "away")
            # A link to itself: the folder is there, and reading it fails.
            models.symlink_to(models)
            os.kill(before, signal.SIGKILL)
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: accepts(channel), "another worker accepts calls")
            for call in (lambda: infer(channel, request), lambda: get_model(channel, MODEL)):
                failure = failure_of(call)
                assert (failure.code, failure.detail_names) == (
                    grpc.StatusCode.UNAVAILABLE,
                    ["ErrorInfo", "RetryInfo"],
                )
            ready = ask(channel, "ModelReady", oip.ModelReadyRequest(name=MODEL), oip.ModelReadyResponse).ready
            assert not ready
            models.unlink()
            away.rename(models)
            wait_until(lambda: answers(channel, request), "the model answers again")


def accepts(channel: grpc.Channel) -> bool:
    """Whether anybody answers at all."""
    try:
        return bool(ask(channel, "ServerLive", oip.ServerLiveRequest(), oip.ServerLiveResponse).live)
    except grpc.RpcError:
        return False
