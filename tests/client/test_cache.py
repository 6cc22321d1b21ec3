"""Interfaces are believed for a while, and then one call alone asks again."""

from __future__ import annotations

from client.test_balancer import Clock
from sardonyx.client.answer import ModelInfo, TensorInfo
from sardonyx.client.cache import FRESH_S, STALE_S, InterfaceCache

INFO = ModelInfo("m", ("1",), (TensorInfo("x", "FP64", 0),), (), (), {})
OTHER = ModelInfo("m", ("1",), (TensorInfo("y", "FP64", 0),), (), (), {})


def test_an_interface_is_believed_for_a_while() -> None:
    """It is known for FRESH_S, by model and version."""
    clock = Clock()
    cache = InterfaceCache(clock)
    assert cache.get("m", "") is None
    writer = cache.put("m", "", INFO)
    assert cache.get("m", "") is writer
    assert cache.get("m", "3") is None
    assert cache.get("n", "") is None


def test_one_asks_again_and_the_others_go_on() -> None:
    """When it is old, the first who looks is told to ask; all others keep it meanwhile, but not for ever."""
    clock = Clock()
    cache = InterfaceCache(clock)
    writer = cache.put("m", "", INFO)
    clock.now += FRESH_S
    assert [cache.get("m", "") for _ in range(5)] == [None, writer, writer, writer, writer]
    clock.now += STALE_S
    assert [cache.get("m", "") for _ in range(2)] == [None, writer]


def test_an_equal_interface_keeps_its_writer() -> None:
    """Calls before and after it was asked for share requests; another interface has another writer."""
    cache = InterfaceCache(Clock())
    writer = cache.put("m", "", INFO)
    assert cache.put("m", "", ModelInfo("m", ("1",), (TensorInfo("x", "FP64", 0),), (), (), {})) is writer
    assert cache.put("m", "", OTHER) is not writer
