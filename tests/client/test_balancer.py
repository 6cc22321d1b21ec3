"""Whose turn it is: everybody's alike, and not theirs who cannot be reached, until they can."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.client.balancer import AWAY_S, AWAY_S_MAX, Balancer

#: A shared processor may pause any example.
untimed = settings(deadline=None)


@dataclass
class Clock:
    """A clock that a test moves."""

    now: float = 100.0

    def __call__(self) -> float:
        """What time it is."""
        return self.now


def _addresses(balancer: Balancer, picks: int) -> Counter[str]:
    return Counter(balancer.pick().address for _ in range(picks))


@untimed
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 10))
def test_turns_are_alike(addresses: int, connections: int, rounds: int) -> None:
    """Each connection to each address is picked as often as any other."""
    balancer = Balancer([f"h{index}" for index in range(addresses)], connections, Clock())
    picked = Counter(balancer.pick() for _ in range(rounds * len(balancer.links)))
    assert len(balancer.links) == addresses * connections
    assert set(picked.values()) == {rounds}
    assert len(picked) == len(balancer.links)


def test_addresses_alternate() -> None:
    """One call after the other goes elsewhere, although each address has two connections."""
    balancer = Balancer(["a", "b", "c"], 2, Clock())
    assert [balancer.pick().address for _ in range(6)] == ["a", "b", "c"] * 2


def test_who_cannot_be_reached_is_left_alone_then_tried_once() -> None:
    """All connections to an address are left alone together; then one call tries, while the others go elsewhere."""
    clock = Clock()
    balancer = Balancer(["a", "b"], 2, clock)
    failing = balancer.pick()
    balancer.failed(failing)
    assert failing.address not in _addresses(balancer, 20)
    clock.now += AWAY_S * 1.01
    assert _addresses(balancer, 20)[failing.address] == 1


def test_each_failure_doubles_the_time_up_to_a_limit() -> None:
    """The first failure costs AWAY_S, the second twice that, and never more than AWAY_S_MAX."""
    clock = Clock()
    balancer = Balancer(["a", "b"], 1, clock)
    link = next(each for each in balancer.links if each.address == "a")
    away_s = AWAY_S
    for _ in range(12):
        balancer.failed(link)
        clock.now += away_s * 0.99
        assert not balancer.others(avoid={"b"})
        clock.now += away_s * 0.02
        assert balancer.others(avoid={"b"})
        away_s = min(2 * away_s, AWAY_S_MAX)


def test_an_answer_forgets_all_failures() -> None:
    """After one answer an address has its turns again, and its next failure is a first one."""
    clock = Clock()
    balancer = Balancer(["a", "b"], 1, clock)
    link = balancer.links[0]
    for _ in range(5):
        balancer.failed(link)
    balancer.answered(link)
    assert _addresses(balancer, 20) == {"a": 10, "b": 10}
    balancer.failed(link)
    clock.now += AWAY_S * 1.01
    assert balancer.others(avoid={"b"})


def test_a_call_avoids_where_it_failed() -> None:
    """A repeated call goes to another address where there is one, and comes back where there is none."""
    balancer = Balancer(["a", "b"], 2, Clock())
    assert {balancer.pick(avoid={"a"}).address for _ in range(10)} == {"b"}
    assert {balancer.pick(avoid={"a", "b"}).address for _ in range(10)} == {"a", "b"}


@pytest.mark.parametrize(("addresses", "connections"), [(["a", "b"], 2), (["a"], 2)])
def test_a_second_attempt_stands_beside_the_first(addresses: list[str], connections: int) -> None:
    """A hedged call goes to another address, or to another connection where there is one address alone."""
    balancer = Balancer(addresses, connections, Clock())
    for _ in range(10):
        first = balancer.pick()
        second = balancer.pick(beside=first)
        assert second is not first
        assert (second.address != first.address) is (len(addresses) > 1)


@untimed
@given(
    st.lists(
        st.tuples(st.sampled_from(["pick", "failed", "answered"]), st.integers(0, 2), st.floats(0, 3)), max_size=60
    )
)
def test_there_is_always_a_connection(history: list[tuple[str, int, float]]) -> None:
    """Whatever failed before: a call gets a connection, and one that may answer before one that is left alone."""
    clock = Clock()
    balancer = Balancer(["a", "b", "c"], 1, clock)
    for act, index, wait_s in history:
        clock.now += wait_s
        if act == "pick":
            well = [link for link in balancer.links if link.standing.away_until <= clock.now]
            picked = balancer.pick()
            assert picked in (well or balancer.links)
        else:
            getattr(balancer, act)(balancer.links[index])
