"""A registry in a bucket: what is written is written once, whatever becomes of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.bucket import LOCATION, Bucket, bucket
from sardonyx.registry import Registry
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.manifest_pb2 import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sardonyx.registry import Routes

MODEL = "flight-delay"


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """An empty bucket."""
    with bucket(monkeypatch) as found:
        yield found


def _live(version: int) -> Callable[[Routes], Event]:
    return lambda _: Event(kind=Event.KIND_LIVE, version=version, interface_major=1)


def _back(routes: Routes) -> Event:
    return Event(kind=Event.KIND_ROLLED_BACK, version=routes.majors[1].previous[-1], interface_major=1)


def _publish(registry: Registry) -> int:
    return registry.publish(MODEL, b"a graph", lambda _: Manifest()).version


def test_a_life_in_a_bucket(held: Bucket) -> None:
    """Versions and events are numbered and read there as in a directory, on from what is known too."""
    registry = Registry(LOCATION)
    assert [_publish(registry) for _ in range(3)] == registry.versions(MODEL) == [1, 2, 3]
    registry.append(MODEL, _live(1))
    known = registry.log(MODEL)
    registry.append(MODEL, _live(2))
    assert registry.log(MODEL, known) == registry.log(MODEL)
    assert registry.routes(MODEL).majors[1].live == 2
    assert registry.blob(registry.manifest(MODEL, 3).artifact) == b"a graph"
    assert registry.models() == [MODEL]
    assert all(key.startswith("registry/") for key in held.objects)


def test_an_event_whose_answer_is_lost_is_appended_once(held: Bucket) -> None:
    """A rollback goes back one step, though its writer had to ask again and found what it had written."""
    registry = Registry(LOCATION)
    for version in (1, 2, 3):
        registry.append(MODEL, _live(version))
    held.lose = "/events/"
    event = registry.append(MODEL, _back)
    assert held.lose == ""
    assert event is not None
    assert registry.events(MODEL)[3:] == [event]
    assert registry.routes(MODEL).majors[1].live == 2


def test_a_version_whose_answer_is_lost_is_published_once(held: Bucket) -> None:
    """It has the number that its publisher is told, and no other one."""
    registry = Registry(LOCATION)
    held.lose = "/versions/"
    assert _publish(registry) == 1
    assert held.lose == ""
    assert registry.versions(MODEL) == [1]


def test_what_another_wrote_is_not_ones_own(held: Bucket) -> None:
    """Of two who append at once the later decides anew, though both would have written the same."""
    first, second = Registry(LOCATION), Registry(LOCATION)
    for version in (1, 2, 3):
        first.append(MODEL, _live(version))
    asked = []

    def late(routes: Routes) -> Event:
        asked.append(routes.majors[1].live)
        if len(asked) == 1:
            second.append(MODEL, _back)
        return _back(routes)

    first.append(MODEL, late)
    assert asked == [3, 2]
    assert first.routes(MODEL).majors[1].live == 1
    assert len([key for key in held.objects if "/events/" in key]) == 5


@pytest.mark.parametrize("folder", ["versions", "events"])
def test_the_marker_of_a_folder_is_no_object(held: Bucket, folder: str) -> None:
    """Consoles and file systems on top of buckets put an empty object where a folder is."""
    registry = Registry(LOCATION)
    _publish(registry)
    registry.append(MODEL, _live(1))
    for key in (f"{MODEL}/{folder}/", f"{MODEL}/", ""):
        held.objects[f"registry/models/{key}"] = b""
    assert (registry.models(), registry.versions(MODEL), len(registry.events(MODEL))) == ([MODEL], [1], 1)
    assert _publish(registry) == 2
