"""Routes beside the live one: what canary, shadow and retired events make of them, and what can never be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.registry import MajorRoutes, Routes, Share, fold
from sardonyx.registry.v1.event_pb2 import Event

START = datetime(2013, 4, 1, tzinfo=UTC)
KINDS = [
    Event.KIND_APPROVED,
    Event.KIND_LIVE,
    Event.KIND_ROLLED_BACK,
    Event.KIND_CANARY,
    Event.KIND_SHADOW,
    Event.KIND_RETIRED,
    Event.KIND_MAJOR_RETIRED,
]


def _event(kind: Event.Kind.ValueType, version: int, percent: float = 0.0, *, major: int = 1) -> Event:
    return Event(kind=kind, version=version, interface_major=major, percent=percent, actor="ada")


def _live(version: int, *, major: int = 1) -> Event:
    return _event(Event.KIND_LIVE, version, major=major)


def _back(version: int) -> Event:
    return _event(Event.KIND_ROLLED_BACK, version)


def _canary(version: int, percent: float, *, major: int = 1) -> Event:
    return _event(Event.KIND_CANARY, version, percent, major=major)


def _shadow(version: int, percent: float, *, major: int = 1) -> Event:
    return _event(Event.KIND_SHADOW, version, percent, major=major)


def _retired(version: int) -> Event:
    return _event(Event.KIND_RETIRED, version)


def _major_retired(major: int) -> Event:
    return Event(kind=Event.KIND_MAJOR_RETIRED, interface_major=major)


def _dated(events: list[Event]) -> list[Event]:
    """Numbered from 1, an hour apart."""
    for index, event in enumerate(events):
        event.sequence = index + 1
        event.time.FromDatetime(START + timedelta(hours=index + 1))
    return events


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        pytest.param([_live(1), _canary(2, 30)], MajorRoutes(1, canary=Share(2, 30)), id="a-canary"),
        pytest.param([_live(1), _shadow(2, 0.5)], MajorRoutes(1, shadow=Share(2, 0.5)), id="a-shadow"),
        pytest.param([_live(1), _canary(2, 100)], MajorRoutes(1, canary=Share(2, 100)), id="all-of-it"),
        pytest.param(
            [_live(1), _canary(2, 10), _shadow(2, 20)],
            MajorRoutes(1, canary=Share(2, 10), shadow=Share(2, 20)),
            id="both-at-once",
        ),
        pytest.param(
            [_live(1), _canary(2, 10), _canary(2, 50)], MajorRoutes(1, canary=Share(2, 50)), id="another-share"
        ),
        pytest.param(
            [_live(1), _canary(2, 10), _canary(3, 5)], MajorRoutes(1, canary=Share(3, 5)), id="another-version"
        ),
        pytest.param([_live(1), _canary(2, 10), _canary(2, 0)], MajorRoutes(1), id="ended"),
        pytest.param(
            [_live(1), _shadow(2, 10), _canary(2, 10), _canary(2, 0)],
            MajorRoutes(1, shadow=Share(2, 10)),
            id="ended-as-one-of-two",
        ),
        pytest.param(
            [_live(1), _canary(2, 10), _canary(3, 5), _canary(2, 0)],
            MajorRoutes(1, canary=Share(3, 5)),
            id="the-end-of-another",
        ),
        pytest.param([_live(1), _canary(2, 10), _shadow(2, 5), _live(2)], MajorRoutes(2, (1,)), id="promoted"),
        pytest.param(
            [_live(1), _canary(3, 10), _live(2)], MajorRoutes(2, (1,), canary=Share(3, 10)), id="another-promoted"
        ),
        pytest.param(
            [_live(1), _live(2), _canary(3, 10), _shadow(3, 10), _back(1)],
            MajorRoutes(1, canary=Share(3, 10), shadow=Share(3, 10)),
            id="rolled-back",
        ),
        pytest.param([_live(1), _live(2), _canary(1, 10), _back(1)], MajorRoutes(1), id="rolled-back-to-the-canary"),
        pytest.param([_live(1), _canary(1, 10), _shadow(1, 10)], MajorRoutes(1), id="of-the-live-version"),
        pytest.param([_canary(2, 10), _live(1)], MajorRoutes(1), id="before-anything-is-live"),
        pytest.param([_live(1), _canary(2, 10, major=2)], MajorRoutes(1), id="of-another-interface"),
        pytest.param([_live(1), _canary(2, 10), _shadow(2, 5), _retired(2)], MajorRoutes(1), id="retired"),
        pytest.param([_live(1), _retired(2), _canary(2, 10), _shadow(2, 5)], MajorRoutes(1), id="after-retired"),
        pytest.param([_live(1), _retired(2), _live(2), _back(2)], MajorRoutes(1), id="live-after-retired"),
        pytest.param([_live(1), _retired(1)], MajorRoutes(1), id="retired-while-live"),
        pytest.param([_live(1), _live(2), _live(3), _retired(2)], MajorRoutes(3, (1,)), id="no-way-back-to-retired"),
        pytest.param([_live(1), _live(2), _live(1), _retired(2)], MajorRoutes(1), id="no-way-back-to-itself"),
        pytest.param(
            [_live(1), _live(2), _live(1), _live(3), _retired(2)], MajorRoutes(3, (1,)), id="one-step-of-two-alike"
        ),
    ],
)
def test_the_rules_of_routes(events: list[Event], expected: MajorRoutes) -> None:
    """What stands beside the live version follows from the events alone, by the rules in routes.py."""
    assert fold(_dated(events)).majors == {1: expected}


@pytest.mark.parametrize("percent", [-1.0, 100.5, 1e300, math.nan, math.inf, -math.inf])
def test_a_share_that_is_none_changes_nothing(percent: float) -> None:
    """A percentage that no exporter writes leaves the route as it was."""
    before = fold(_dated([_live(1), _canary(2, 10), _shadow(3, 20)]))
    after = fold([_canary(4, percent), _shadow(4, percent), _canary(2, percent)], before)

    assert after.majors == before.majors


def test_each_interface_has_its_own_canary() -> None:
    """A canary of one interface generation is none of another."""
    routes = fold(_dated([_live(1), _live(2, major=2), _canary(3, 10, major=2), _canary(4, 20)]))

    assert routes.majors == {1: MajorRoutes(1, canary=Share(4, 20)), 2: MajorRoutes(2, canary=Share(3, 10))}


def test_a_version_may_be_retired_once_it_is_not_live() -> None:
    """Retired stays retired; a version that was live when the event came is not."""
    events = [_live(1), _retired(1), _live(2), _retired(1), _live(1)]

    assert [sorted(fold(_dated(events[:count])).retired) for count in range(1, 6)] == [[], [], [], [1], [1]]
    assert fold(_dated(events)).majors == {1: MajorRoutes(2)}


def test_a_retired_generation_has_no_routes() -> None:
    """Whatever it had ends, whatever comes later leads nowhere, and the other generations are as they were."""
    lived = [_live(1), _live(2, major=2), _canary(3, 10, major=2), _shadow(5, 1)]
    later = [_live(1), _back(1), _canary(5, 10), _shadow(5, 10)]
    end = Event(kind=Event.KIND_LIVE, version=2, interface_major=2, moves_default_major=True)
    routes = fold(_dated([*lived, end, _major_retired(1), *later]))

    assert routes.majors == {2: MajorRoutes(2, canary=Share(3, 10))}
    assert (routes.default_major, routes.retired_majors) == (2, frozenset({1}))
    assert routes.is_retired(9, 1)
    assert not routes.is_retired(9, 2)


def test_the_default_generation_ends_last() -> None:
    """Beside others it is not retired; after the last one has ended, the next that goes live is the default."""
    beside = fold(_dated([_live(1), _live(2, major=2), _major_retired(1)]))
    assert (set(beside.majors), beside.default_major, beside.retired_majors) == ({1, 2}, 1, frozenset())
    alone = fold(_dated([_live(1), _major_retired(1)]))
    assert (alone.majors, alone.default_major) == ({}, 0)
    assert fold([_live(7, major=3)], alone).default_major == 3


# A version has one interface, as the registry's manifests have it: its number modulo two.
LOGS = st.lists(
    st.builds(
        lambda kind, version, percent: _event(kind, version, percent, major=1 + version % 2),
        st.sampled_from(KINDS),
        st.integers(1, 6),
        st.one_of(st.just(0.0), st.floats(0.001, 100), st.floats()),
    ),
    max_size=30,
).map(_dated)


@given(LOGS, st.integers(0, 30))
def test_a_fold_of_routes_can_be_continued(events: list[Event], at: int) -> None:
    """Folding the rest onto the fold of the beginning gives the fold of all, wherever it is cut."""
    assert fold(events[at:], fold(events[:at])) == fold(events)


@given(LOGS)
def test_what_can_never_be(events: list[Event]) -> None:
    """Whatever the log: no live version is a canary or shadow, shares are in (0, 100], nothing leads to the retired."""
    routes = fold(events)
    assert routes.retired_majors.isdisjoint(routes.majors)
    assert (routes.default_major in routes.majors) if routes.majors else not routes.default_major
    for state in routes.majors.values():
        shares = [share for share in (state.canary, state.shadow) if share is not None]
        assert all(0 < share.percent <= 100 for share in shares)
        assert state.live not in {share.version for share in shares}
        assert routes.retired.isdisjoint({state.live, *state.previous, *(share.version for share in shares)})
        # Each way back leads somewhere else.
        history = (*state.previous, state.live)
        assert all(before != after for before, after in pairwise(history))


@given(LOGS)
def test_live_routes_do_not_depend_on_shares(events: list[Event]) -> None:
    """Without its canaries and shadows a log makes the same versions live."""
    shares = (Event.KIND_CANARY, Event.KIND_SHADOW)
    routes, without = fold(events), fold([event for event in events if event.kind not in shares])

    assert _live_of(routes) == _live_of(without)
    assert (routes.default_major, routes.retired, routes.moments) == (
        without.default_major,
        without.retired,
        without.moments,
    )


def _live_of(routes: Routes) -> dict[int, tuple[int, tuple[int, ...]]]:
    return {major: (state.live, state.previous) for major, state in routes.majors.items()}
