"""What a worker makes of any sequence of wishes: it comes to rest, and calls are led as far as they can be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.registry import Share
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.typed import typed_service
from sardonyx_server.life.lanes import CANARY, LIVE_LANE, SHADOW, Lane
from sardonyx_server.life.model import Model, Wish
from sardonyx_server.life.policy import Drain, Forget, Load, Restore, Route, Unload, next_action
from sardonyx_server.life.states import State
from sardonyx_server.served import Served
from server.loaded import BOUNDS, load_served
from server.scene import export_regressor

if TYPE_CHECKING:
    from sardonyx_server.batcher import Batcher

NAME = "any"
#: More steps than any wish for six versions takes: each passes at most all of its states and lanes.
STEPS_MAX = 100


@pytest.fixture(scope="module")
def batcher(tmp_path_factory: pytest.TempPathFactory) -> Batcher:
    """Something that runs: which graph it is does not matter here."""
    registry = tmp_path_factory.mktemp("model") / "registry"
    export_regressor(registry, NAME, seed=1)
    return load_served(registry, NAME, 1).batcher


def _settle(model: Model, batcher: Batcher, broken: frozenset[int]) -> None:
    """Take every step, as the manager does; loads end at once, and some of them badly."""
    for _ in range(STEPS_MAX):
        answering = set(model.routes)
        action = next_action(model.snapshots())
        if action is None:
            return
        _take(model, batcher, action, broken)
        assert set(model.routes) >= answering, "a generation lost its answer"
        assert all(served.batcher for served in model.routes.values())
    raise AssertionError(f"never at rest: {model.snapshots()}")


def _take(
    model: Model, batcher: Batcher, action: Load | Route | Restore | Drain | Unload | Forget, broken: frozenset[int]
) -> None:
    version = model.versions[action.version]
    match action:
        case Load() if version.number in broken:
            version.enter(State.LOADING)
            version.failures += 1
            version.enter(State.FAILED, "broken")
        case Load():
            version.enter(State.LOADING)
            version.enter(State.VERIFYING)
            manifest = Manifest(model=NAME, version=version.number, interface_major=version.major)
            version.served = Served(manifest, typed_service(manifest), batcher, BOUNDS, lambda: None)
            version.failures = 0
            version.enter(State.READY)
        case Route():
            model.lead(version, action.lanes)
        case Restore():
            version.enter(State.READY)
        case Drain():
            version.enter(State.DRAINING)
        case Unload():
            version.enter(State.UNLOADED)
            version.served = None
        case Forget():
            del model.versions[version.number]


def _wish(live: int, before: list[int], canary: Share | None, shadow: Share | None) -> Wish:
    """A wish as the fold of a log makes it: no share is the live version's."""
    return Wish(
        default_major=1,
        live={1: live},
        before={1: [each for each in before if each != live]},
        canary={1: canary} if canary and canary.version != live else {},
        shadow={1: shadow} if shadow and shadow.version != live else {},
    )


VERSIONS = st.integers(1, 6)
SHARES = st.none() | st.builds(Share, VERSIONS, st.sampled_from([1.0, 50.0, 100.0]))
WISHES = st.builds(_wish, VERSIONS, st.lists(VERSIONS, max_size=3, unique=True), SHARES, SHARES)


@settings(deadline=None)
@given(wishes=st.lists(st.tuples(WISHES, st.frozensets(VERSIONS)), min_size=1, max_size=6))
def test_every_wish_is_met_as_far_as_it_goes(batcher: Batcher, wishes: list[tuple[Wish, frozenset[int]]]) -> None:
    """Live answers go on whatever fails; shares are there just where their version is; nothing else stays in memory."""
    model = Model(NAME, wishes[0][0])
    for wish, broken in wishes:
        model.wish = wish
        _settle(model, batcher, broken)
        assert model.settled
        ready = {number for number, version in model.versions.items() if version.state is State.READY}
        candidates = [wish.live[1], *wish.before[1]]
        answering = model.routes[1].version if model.routes else 0
        if able := [number for number in candidates if number in ready]:
            assert answering == able[0]
        lanes = model.lanes()
        for route, shares, portions in (
            (CANARY, wish.canary, model.canaries),
            (SHADOW, wish.shadow, model.shadows),
        ):
            there = {major: share for major, share in shares.items() if share.version in ready}
            assert {major: portion.served.version for major, portion in portions.items()} == {
                major: share.version for major, share in there.items()
            }
            assert all(Lane(route, share.percent) in lanes[share.version] for share in there.values())
        # What is ready is led to, and what is led to is ready.
        assert ready == lanes.keys()
        assert {number for number, each in lanes.items() if LIVE_LANE in each} == ({answering} if answering else set())
        assert [served.version for served in model.reachable] == sorted(lanes)


def test_a_version_in_two_generations_is_of_the_first(batcher: Batcher) -> None:
    """A log that contradicts itself brings no worker into a circle."""
    model = Model(NAME, Wish(1, {1: 1, 2: 2}, canary={1: Share(3, 10), 2: Share(1, 10)}, shadow={2: Share(3, 5)}))
    _settle(model, batcher, frozenset())
    assert {major: served.version for major, served in model.routes.items()} == {1: 1, 2: 2}
    assert {major: portion.served.version for major, portion in model.canaries.items()} == {1: 3}
    assert not model.shadows
