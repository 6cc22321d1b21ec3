"""The registry: versions appear whole, events are one chain, and what is live is a fold over them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.errors import (
    InvalidInput,
    ModelNotFound,
    RegistryCorrupt,
    RegistryError,
    RegistryMissing,
    RegistryReplaced,
    VersionNotFound,
)
from sardonyx.registry import Log, MajorRoutes, Registry, Routes, fold
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.manifest_pb2 import Artifact, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODEL = "flight-delay"
PUBLISHERS = 16
START = datetime(2013, 4, 1, tzinfo=UTC)

# One publisher in a process of its own: it says that it is ready, waits for a line, and publishes.
PUBLISH = """
import sys
from sardonyx.registry import Registry
from sardonyx.registry.v1.manifest_pb2 import Manifest
registry = Registry(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(*[registry.publish("flight-delay", sys.argv[2].encode(), lambda _: Manifest()).version for _ in range(3)])
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """An empty registry."""
    return Registry(str(tmp_path), create=True)


def _describe(versions: Sequence[int]) -> Manifest:
    return Manifest(author="ada", description=f"after {list(versions)}")


def _publish(registry: Registry, count: int = 1, model: str = MODEL) -> list[Manifest]:
    return [registry.publish(model, f"graph {number}".encode(), _describe) for number in range(count)]


def _event(kind: Event.Kind.ValueType, version: int, *, major: int = 1, moves_default: bool = False) -> Event:
    return Event(kind=kind, version=version, interface_major=major, moves_default_major=moves_default, actor="ada")


def _live(version: int, *, major: int = 1, moves_default: bool = False) -> Event:
    return _event(Event.KIND_LIVE, version, major=major, moves_default=moves_default)


def _back(version: int, *, major: int = 1) -> Event:
    return _event(Event.KIND_ROLLED_BACK, version, major=major)


def _dated(events: Sequence[Event]) -> list[Event]:
    """The events as the registry would store them, an hour apart."""
    for sequence, event in enumerate(events, start=1):
        event.sequence = sequence
        event.time.FromDatetime(START + timedelta(hours=sequence))
    return list(events)


def _append(registry: Registry, *events: Event, model: str = MODEL) -> None:
    for event in events:
        registry.append(model, lambda _, event=event: event)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------------ versions


def test_a_published_version_is_read_back_as_it_was_written(registry: Registry) -> None:
    """What publish returns is what manifest reads, with its number, its artifact and its time."""
    published = registry.publish(MODEL, b"a graph", _describe)

    assert registry.manifest(MODEL, 1) == published
    assert (published.model, published.version, published.author) == (MODEL, 1, "ada")
    assert published.artifact.size_bytes == len(b"a graph")
    assert registry.blob(published.artifact) == b"a graph"
    assert published.create_time.ToDatetime(UTC).tzinfo is UTC


def test_versions_are_numbered_from_one(registry: Registry) -> None:
    """Each publish takes the next number and is told which versions there were before."""
    manifests = _publish(registry, 3)

    assert registry.versions(MODEL) == [1, 2, 3]
    assert [manifest.description for manifest in manifests] == ["after []", "after [1]", "after [1, 2]"]


def test_versions_are_in_the_order_of_their_numbers(registry: Registry) -> None:
    """The tenth version stands behind the ninth, not behind the first."""
    _publish(registry, 11)

    assert registry.versions(MODEL) == list(range(1, 12))


def test_models_are_listed_by_name(registry: Registry) -> None:
    """Every model with a version is listed, sorted, and has its own numbers."""
    _publish(registry, 1, "tips")
    _publish(registry, 2, MODEL)

    assert registry.models() == [MODEL, "tips"]
    assert registry.versions("tips") == [1]


def test_a_model_that_nobody_published_is_empty(registry: Registry) -> None:
    """A model without a version has no versions, no events and no routes."""
    assert registry.models() == []
    assert registry.versions(MODEL) == []
    assert registry.events(MODEL) == []
    assert registry.routes(MODEL) == Routes()


def test_an_unknown_model_names_the_nearest(registry: Registry) -> None:
    """A misspelt model is ModelNotFound and the message names the right one."""
    _publish(registry)

    with pytest.raises(ModelNotFound, match="Did you mean 'flight-delay'") as caught:
        registry.manifest("flight-dealy", 1)
    assert (caught.value.model, caught.value.nearest) == ("flight-dealy", (MODEL,))


def test_an_unknown_version_names_the_known(registry: Registry) -> None:
    """A version that does not exist is VersionNotFound and the message names those that do."""
    _publish(registry, 2)

    with pytest.raises(VersionNotFound, match="'1' or '2'") as caught:
        registry.manifest(MODEL, 7)
    assert (caught.value.model, caught.value.version, caught.value.nearest) == (MODEL, "7", ("1", "2"))


@pytest.mark.parametrize("name", ["", "Flight", "../../etc", "a/b", "1st", "-a", "a-", "a" * 64, "ä", "a\n"])
def test_a_name_that_could_leave_the_registry_is_refused(registry: Registry, name: str) -> None:
    """A name outside the grammar reaches no path: every method refuses it."""
    acts: list[Callable[[], object]] = [
        lambda: registry.versions(name),
        lambda: registry.manifest(name, 1),
        lambda: registry.events(name),
        lambda: registry.publish(name, b"", _describe),
        lambda: registry.append(name, lambda _: _live(1)),
    ]
    for act in acts:
        with pytest.raises(InvalidInput, match="is no model name"):
            act()
    assert registry.models() == []


def test_equal_bytes_are_stored_once(registry: Registry, tmp_path: Path) -> None:
    """Two versions of one graph share a blob."""
    first, second = (registry.publish(MODEL, b"one graph", _describe) for _ in range(2))

    assert first.artifact == second.artifact
    assert [file.name for file in (tmp_path / "blobs" / "sha256").iterdir()] == [first.artifact.sha256]


def test_a_version_is_never_written_twice(registry: Registry, tmp_path: Path) -> None:
    """A second publish leaves the first manifest's bytes as they were."""
    _publish(registry)
    file = tmp_path / "models" / MODEL / "versions" / "00000001.json"
    before = file.read_bytes()
    _publish(registry)

    assert file.read_bytes() == before


def test_a_description_that_fails_leaves_no_version(registry: Registry) -> None:
    """Where the manifest cannot be described, nothing is visible."""

    def fail(_: Sequence[int]) -> Manifest:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        registry.publish(MODEL, b"a graph", fail)
    assert (registry.models(), registry.versions(MODEL)) == ([], [])


def test_sixteen_processes_publish_sixteen_times_different_versions(registry: Registry, tmp_path: Path) -> None:
    """Publishers in processes of their own, started at once, get all numbers from one on, each once."""
    publishers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISH, str(tmp_path), f"publisher {number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PUBLISHERS)
    ]
    versions: list[int] = []
    for publisher in publishers:
        assert publisher.stdout is not None
        assert publisher.stdout.readline() == "ready\n"
    for publisher in publishers:
        assert publisher.stdin is not None
        publisher.stdin.write("go\n")
        publisher.stdin.flush()
    for publisher in publishers:
        output, _ = publisher.communicate(timeout=60)
        assert publisher.returncode == 0
        versions.extend(int(version) for version in output.split())

    assert sorted(versions) == registry.versions(MODEL) == list(range(1, 3 * PUBLISHERS + 1))


def test_sixteen_threads_publish_without_a_gap(registry: Registry) -> None:
    """Threads that publish at once get different versions, and each version holds its own publisher's graph."""
    gate = threading.Barrier(PUBLISHERS)

    def publish(number: int) -> list[Manifest]:
        gate.wait()
        return [
            registry.publish(MODEL, f"graph {number}".encode(), lambda _: Manifest(author=f"author {number}"))
            for _ in range(4)
        ]

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        manifests = [manifest for many in pool.map(publish, range(PUBLISHERS)) for manifest in many]

    assert sorted(manifest.version for manifest in manifests) == list(range(1, 4 * PUBLISHERS + 1))
    for manifest in manifests:
        assert registry.manifest(MODEL, manifest.version) == manifest
        assert registry.blob(manifest.artifact).decode().split()[-1] == manifest.author.split()[-1]


# -------------------------------------------------------------------------------------------------------------- events


def test_events_are_numbered_and_chained(registry: Registry) -> None:
    """Each event has the next number, and only the first has no digest of one before it."""
    _append(registry, _live(1), _live(2), _back(1))
    events = registry.events(MODEL)

    assert [event.sequence for event in events] == [1, 2, 3]
    assert [bool(event.previous_digest) for event in events] == [False, True, True]
    assert {event.model for event in events} == {MODEL}


@pytest.mark.parametrize("known", [0, 1, 2, 3, 4])
def test_a_log_is_read_on_from_what_is_known(registry: Registry, known: int) -> None:
    """A reader that goes on from any event knows in the end what one knows that reads all."""
    acts = [_live(1), _live(2), _back(1), _live(3)]
    _append(registry, *acts[:known])
    before = registry.log(MODEL)
    _append(registry, *acts[known:])

    assert before.routes.sequence == known
    assert registry.log(MODEL, before) == registry.log(MODEL)
    assert registry.log(MODEL).routes == fold(registry.events(MODEL))


@pytest.mark.parametrize("known", [1, 2, 3])
@pytest.mark.parametrize("kept", [0, 1, 2])
@pytest.mark.parametrize("more", [0, 1, 5])
def test_a_restored_log_is_not_read_on(registry: Registry, tmp_path: Path, known: int, kept: int, more: int) -> None:
    """A log that went back to an earlier event is another one, whatever came after; one that kept all is the same."""
    _append(registry, *[_live(version) for version in range(1, known + 1)])
    before = registry.log(MODEL)
    for file in sorted(_events_folder(tmp_path).iterdir())[kept:]:
        file.unlink()
    _append(registry, *[_live(version) for version in range(kept + 1, kept + more + 1)])

    if kept >= known:
        assert registry.log(MODEL, before) == registry.log(MODEL)
    else:
        with pytest.raises(RegistryReplaced, match=f"has no event {known}, or not the one that was read"):
            registry.log(MODEL, before)
    assert registry.log(MODEL, Log()).routes.sequence == min(kept, known) + more


def test_an_event_that_goes_while_it_is_read_is_said_to_be_gone(registry: Registry, tmp_path: Path) -> None:
    """Who reads a log that is being removed gets the events that there are, or hears which one is gone."""
    _append(registry, *[_live(version) for version in range(1, 101)])
    last = max(_events_folder(tmp_path).iterdir())
    away, over = tmp_path / "away", threading.Event()

    def take_away() -> None:
        while not over.is_set():
            last.rename(away)
            over.wait(0.001)
            away.rename(last)
            over.wait(0.001)

    with ThreadPoolExecutor() as pool:
        taking = pool.submit(take_away)
        try:
            message = _error_of_reading(registry)
        finally:
            over.set()
        taking.result()
    assert f"{last.name} is listed in the registry" in message
    assert "is gone" in message


def _error_of_reading(registry: Registry) -> str:
    """What the first reading of many says that fails."""
    for _ in range(1000):
        try:
            assert len(registry.events(MODEL)) in {99, 100}
        except RegistryError as error:
            return error.message
    raise AssertionError("no reading failed")


def test_append_of_nothing_writes_nothing(registry: Registry) -> None:
    """A decision for no event leaves the log as it is."""
    assert registry.append(MODEL, lambda _: None) is None
    assert registry.events(MODEL) == []


def test_append_is_given_the_routes_of_now(registry: Registry) -> None:
    """The decision sees what every earlier event made of the routes."""
    seen: list[tuple[int, ...]] = []

    def decide(routes: Routes) -> Event:
        seen.append(routes.live_versions)
        return _live(len(seen))

    for _ in range(3):
        registry.append(MODEL, decide)
    assert seen == [(), (1,), (2,)]


def test_concurrent_appends_keep_one_chain(registry: Registry) -> None:
    """Sixteen writers at once leave a log without a gap whose chain holds, and every writer's event is in it."""
    gate = threading.Barrier(PUBLISHERS)

    def append(number: int) -> list[int]:
        gate.wait()
        events = [registry.append(MODEL, lambda _: _live(number)) for _ in range(4)]
        return [event.sequence for event in events if event is not None]

    with ThreadPoolExecutor(PUBLISHERS) as pool:
        sequences = [sequence for many in pool.map(append, range(1, PUBLISHERS + 1)) for sequence in many]

    events = registry.events(MODEL)
    assert sorted(sequences) == [event.sequence for event in events] == list(range(1, 4 * PUBLISHERS + 1))
    assert sorted(event.version for event in events) == sorted(list(range(1, PUBLISHERS + 1)) * 4)


def test_a_decision_is_asked_again_where_another_was_faster(registry: Registry) -> None:
    """A writer that lost the race decides on the routes that the winner left."""
    asked: list[tuple[int, ...]] = []

    def decide(routes: Routes) -> Event | None:
        asked.append(routes.live_versions)
        if len(asked) == 1:
            _append(registry, _live(5))
        return _live(6)

    stored = registry.append(MODEL, decide)

    assert stored is not None
    assert (asked, stored.sequence) == ([(), (5,)], 2)
    assert registry.routes(MODEL).majors[1] == MajorRoutes(live=6, previous=(5,))


# ---------------------------------------------------------------------------------------------------------- corruption


def _events_folder(root: Path) -> Path:
    return root / "models" / MODEL / "events"


def _edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}, indent=2))


@pytest.fixture
def log(registry: Registry, tmp_path: Path) -> Path:
    """The folder of a log with four events."""
    _append(registry, _live(1), _live(2), _back(1), _live(3))
    return _events_folder(tmp_path)


def test_a_changed_event_breaks_the_chain(registry: Registry, log: Path) -> None:
    """An event whose bytes were changed is found by the event behind it."""
    _edit(log / "00000002.json", version="9")

    with pytest.raises(RegistryCorrupt, match=r"00000003\.json does not follow event 2: the log was changed by hand"):
        registry.events(MODEL)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_event_breaks_the_chain(registry: Registry, log: Path, number: int) -> None:
    """A gap in the log is an error, wherever it is."""
    (log / f"0000000{number}.json").unlink()

    with pytest.raises(RegistryCorrupt, match=f"does not follow event {number - 1}"):
        registry.routes(MODEL)


def test_an_event_of_another_model_is_refused(registry: Registry, log: Path) -> None:
    """A log that was copied from another model is not read as this one's."""
    target = log.parent.parent / "tips" / "events"
    target.mkdir(parents=True)
    (target / "00000001.json").write_bytes((log / "00000001.json").read_bytes())

    with pytest.raises(RegistryCorrupt, match="the log was changed by hand"):
        registry.events("tips")


def test_nothing_is_appended_to_a_broken_log(registry: Registry, log: Path) -> None:
    """A writer refuses a log whose chain does not hold, and leaves it as it is."""
    _edit(log / "00000001.json", actor="eve")

    with pytest.raises(RegistryCorrupt):
        registry.append(MODEL, lambda _: _live(9))
    assert len(list(log.iterdir())) == 4


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"3", b'{"version": "x"}', b'{"version": {}}', b"\xff\xfe\x00", b"\x00" * 100],
    ids=["empty", "cut", "list", "null", "number", "text-version", "object-version", "no-utf8", "zeros"],
)
class TestUnreadable:
    """A file that is no message."""

    def test_manifest(self, registry: Registry, tmp_path: Path, data: bytes) -> None:
        """A manifest that cannot be read is RegistryCorrupt, and the message names the file, in whole sentences."""
        _publish(registry)
        (tmp_path / "models" / MODEL / "versions" / "00000001.json").write_bytes(data)

        with pytest.raises(RegistryCorrupt, match=r"models/flight-delay/versions/00000001\.json") as caught:
            registry.manifest(MODEL, 1)
        assert ".." not in caught.value.message

    def test_event(self, registry: Registry, log: Path, data: bytes) -> None:
        """An event that cannot be read is RegistryCorrupt, and the message names the file."""
        (log / "00000002.json").write_bytes(data)

        with pytest.raises(RegistryCorrupt, match=r"models/flight-delay/events/0000000[23]\.json"):
            registry.events(MODEL)


def test_a_moved_manifest_is_refused(registry: Registry, tmp_path: Path) -> None:
    """A manifest under another number or model is not taken for that version."""
    _publish(registry)
    versions = tmp_path / "models" / MODEL / "versions"
    (versions / "00000002.json").write_bytes((versions / "00000001.json").read_bytes())

    with pytest.raises(RegistryCorrupt, match="says it is version 1 of 'flight-delay': it was moved"):
        registry.manifest(MODEL, 2)


def test_a_changed_blob_is_refused(registry: Registry, tmp_path: Path) -> None:
    """Bytes that do not have their digest are not handed out, and the message says what to do."""
    (manifest,) = _publish(registry)
    (tmp_path / "blobs" / "sha256" / manifest.artifact.sha256).write_bytes(b"another graph")

    with pytest.raises(RegistryCorrupt, match=r"it was changed\. Export the version again"):
        registry.blob(manifest.artifact)


def test_a_missing_blob_is_refused(registry: Registry, tmp_path: Path) -> None:
    """Bytes that are gone are an error that says what to do."""
    (manifest,) = _publish(registry)
    (tmp_path / "blobs" / "sha256" / manifest.artifact.sha256).unlink()

    with pytest.raises(RegistryCorrupt, match=r"is missing from .* Export the version again"):
        registry.blob(manifest.artifact)


def test_an_artifact_without_a_digest_is_refused(registry: Registry) -> None:
    """A manifest that names no blob is corrupt, and is not the folder of all blobs."""
    _publish(registry)

    with pytest.raises(RegistryError):
        registry.blob(Artifact())


@pytest.mark.parametrize("name", ["notes.txt", "².json"])
def test_a_strange_file_among_the_versions_is_named(registry: Registry, tmp_path: Path, name: str) -> None:
    """A file that is not sardonyx's is named, so that somebody can remove it."""
    _publish(registry)
    (tmp_path / "models" / MODEL / "versions" / name).write_text("mine")

    found = re.escape(f"'models/flight-delay/versions/{name}'")
    with pytest.raises(RegistryCorrupt, match=f"{found}.*Remove what is not sardonyx's"):
        registry.versions(MODEL)


@pytest.mark.parametrize("name", ["lost+found", "Flight Delay", ".git", "a" * 64])
def test_a_strange_folder_among_the_models_is_named(registry: Registry, tmp_path: Path, name: str) -> None:
    """Whoever goes through all models is told where the folder is that belongs to none."""
    _publish(registry)
    (tmp_path / "models" / name).mkdir()

    assert sorted(registry.models()) == sorted([MODEL, name])
    for act in (registry.versions, registry.events, registry.routes):
        with pytest.raises(RegistryCorrupt, match=r"holds a folder 'models/.*Remove what is not sardonyx's") as caught:
            act(name)
        assert f"{str(tmp_path)!r} holds a folder 'models/{name}'" in caught.value.message


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe"])
def test_a_folder_whose_name_is_no_text_hides_no_model(registry: Registry, tmp_path: Path, name: bytes) -> None:
    """Whatever a folder among the models is called, the others are listed, and it is named as every strange one."""
    _publish(registry)
    (tmp_path / "models" / os.fsdecode(name)).mkdir()

    (strange,) = set(registry.models()) - {MODEL}
    with pytest.raises(RegistryCorrupt, match=r"which is no model's name. Remove what is not sardonyx's") as caught:
        registry.log(strange)
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("target", [".", "loop", "/nowhere"])
def test_a_link_that_leads_nowhere_hides_no_model(registry: Registry, tmp_path: Path, target: str) -> None:
    """A link among the models that leads round in a circle or to nothing is no reason not to read them."""
    _publish(registry)
    _append(registry, _live(1))
    (tmp_path / "models" / "loop").symlink_to(target)

    assert MODEL in registry.models()
    assert {name: registry.log(name).routes.live_versions for name in registry.models()} in [
        {MODEL: (1,)},
        {MODEL: (1,), "loop": ()},
    ]


@pytest.mark.parametrize(
    "name", [".00000003.json.Ab12", "zzz.tmp", "00000002.json~", "notes", "00000003.json#1", "new\nline"]
)
@pytest.mark.parametrize("folder", [False, True])
def test_what_lies_beside_events_is_no_part_of_the_log(
    registry: Registry, tmp_path: Path, name: str, *, folder: bool
) -> None:
    """A name that is no event's changes nothing, as a program leaves it that copies files."""
    _append(registry, _live(1), _live(2))
    stray = _events_folder(tmp_path) / name
    if folder:
        stray.mkdir()
    else:
        stray.write_text("{")

    assert registry.routes(MODEL).live_versions == (2,)
    _append(registry, _live(3))
    assert [event.sequence for event in registry.events(MODEL)] == [1, 2, 3]


@pytest.mark.parametrize("name", [".00000002.json.Ab12", "00000002.json#1"])
def test_a_version_that_is_being_copied_is_none(registry: Registry, tmp_path: Path, name: str) -> None:
    """What a program that copies files calls a file until it is whole counts as no version, and as no strange file."""
    _publish(registry)
    (tmp_path / "models" / MODEL / "versions" / name).write_text("{")

    assert registry.versions(MODEL) == [1]


@pytest.mark.parametrize("put", [os.mkfifo, Path.mkdir])
def test_what_is_no_file_is_not_read(registry: Registry, tmp_path: Path, put: Callable[[Path], None]) -> None:
    """A pipe in the place of an object would be read for ever: it is refused, as a folder is, wherever it lies."""
    (manifest,) = _publish(registry)
    _append(registry, _live(1), _live(2))
    digest = manifest.artifact.sha256
    reads: list[tuple[Path, Callable[[], object]]] = [
        (tmp_path / "blobs" / "sha256" / digest, lambda: registry.blob(manifest.artifact)),
        (tmp_path / "models" / MODEL / "versions" / "00000001.json", lambda: registry.manifest(MODEL, 1)),
        (_events_folder(tmp_path) / "00000002.json", lambda: registry.events(MODEL)),
        (tmp_path / "settings.json", registry.settings),
    ]
    for path, read in reads:
        path.unlink(missing_ok=True)
        put(path)
        with pytest.raises(RegistryCorrupt, match=r"should be a file, and is none") as caught:
            read()
        assert str(path) in caught.value.message


def test_a_file_in_the_place_of_all_models_is_no_empty_registry(registry: Registry, tmp_path: Path) -> None:
    """Where the models should lie and something else does, nobody is told that there are none."""
    (tmp_path / "models").write_text("")

    with pytest.raises(RegistryCorrupt, match="models should be a folder, and is none"):
        registry.models()


def test_a_directory_may_be_a_url(registry: Registry, tmp_path: Path) -> None:
    """file:// is a directory too, and one that is missing is said to be."""
    _publish(registry)

    assert Registry(tmp_path.as_uri()).versions(MODEL) == [1]
    with pytest.raises(RegistryMissing, match="Export a model to it first"):
        Registry((tmp_path / "none at all").as_uri())


def test_a_field_of_a_later_release_is_passed_over(registry: Registry, tmp_path: Path) -> None:
    """A manifest with a field that this release does not know is read without it."""
    (manifest,) = _publish(registry)
    _edit(tmp_path / "models" / MODEL / "versions" / "00000001.json", fieldOfTomorrow={"a": 1})

    assert registry.manifest(MODEL, 1) == manifest


# ------------------------------------------------------------------------------------------------------------ location


def test_a_registry_that_is_not_there_is_said(tmp_path: Path) -> None:
    """A reader of a directory that does not exist is told what to do, and makes none."""
    with pytest.raises(RegistryError, match="Export a model to it first"):
        Registry(str(tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_registry(tmp_path: Path) -> None:
    """A file in place of a directory is a RegistryError, for a reader and for a writer."""
    file = tmp_path / "file"
    file.write_text("")
    for create in (False, True):
        with pytest.raises(RegistryError):
            Registry(str(file), create=create)


def test_an_unknown_kind_of_store_is_said() -> None:
    """A URL that no store answers to is a RegistryError that names it."""
    with pytest.raises(RegistryError, match="gopher://models"):
        Registry("gopher://models")


@pytest.mark.parametrize("location", ["s3://", "s3:///models", "gopher://models"])
def test_a_url_that_is_none_is_told_which_are(location: str) -> None:
    """What to write in its place is said with it."""
    with pytest.raises(RegistryError, match="Give a directory, or a URL such as s3://bucket/models") as caught:
        Registry(location)
    assert repr(location) in caught.value.message


@pytest.mark.parametrize("location", ["file://", "file://models", "file://models/here"])
def test_a_file_url_of_no_directory_is_refused(location: str) -> None:
    """A URL without a whole path would be some other directory."""
    with pytest.raises(RegistryError, match="Write file:///path/to/it, or the path alone"):
        Registry(location)


def test_a_registry_that_would_be_gone_at_once_is_refused() -> None:
    """Memory is no place to publish to, though obstore has such a store."""
    with pytest.raises(RegistryError, match="ends with this process"):
        Registry("memory://", create=True)


def test_a_bucket_that_cannot_be_reached_is_told_what_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store says is followed by what to do, each a sentence that ends once."""
    for name, value in {"ENDPOINT_URL": "http://127.0.0.1:1", "ALLOW_HTTP": "true", "ACCESS_KEY_ID": "a"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(RegistryError, match=r"could not list models: .*[^.]\. Check that the bucket can be reached"):
        Registry("s3://bucket/models").models()


def test_a_link_to_nothing_is_said_to_be_one(tmp_path: Path) -> None:
    """Readers and writers are told of the link, and nothing is made of it."""
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "none")
    for create in (False, True):
        with pytest.raises(RegistryMissing, match="is a link to nothing"):
            Registry(str(link), create=create)
    assert [each.name for each in tmp_path.iterdir()] == ["current"]


def test_a_link_is_followed_to_where_it_leads_now(tmp_path: Path) -> None:
    """Names and bytes are read, and written, in one place: that of the moment, as deployments by links expect it."""
    revisions = [tmp_path / name for name in ("first", "second")]
    for number, revision in enumerate(revisions):
        _publish(Registry(str(revision), create=True), count=number + 1)
    link = tmp_path / "current"
    link.symlink_to(revisions[0])
    registry = Registry(str(link), create=True)
    assert registry.versions(MODEL) == [1]

    link.unlink()
    link.symlink_to(revisions[1])

    assert registry.manifest(MODEL, 2) == Registry(str(revisions[1])).manifest(MODEL, 2)
    _append(registry, _live(2))
    assert [len(Registry(str(each)).events(MODEL)) for each in revisions] == [0, 1]


def test_a_model_that_lost_its_versions_is_not_told_its_own_name(registry: Registry, tmp_path: Path) -> None:
    """Nobody who asks for what is gone is asked whether they meant it."""
    _publish(registry)
    _append(registry, _live(1))
    (tmp_path / "models" / MODEL / "versions" / "00000001.json").unlink()

    with pytest.raises(ModelNotFound) as caught:
        registry.manifest(MODEL, 1)
    assert "Did you mean" not in caught.value.message


def test_two_registries_on_one_directory_are_one(registry: Registry, tmp_path: Path) -> None:
    """What one writes the other reads: nothing is kept in memory."""
    other = Registry(str(tmp_path))
    _publish(registry)
    _append(other, _live(1))

    assert other.versions(MODEL) == [1]
    assert registry.routes(MODEL).live_versions == (1,)


# ---------------------------------------------------------------------------------------------------------------- fold

APPROVED = Event.KIND_APPROVED
RETIRED = Event.KIND_RETIRED


@pytest.mark.parametrize(
    ("events", "majors", "default_major"),
    [
        ([], {}, 0),
        ([_event(APPROVED, 1)], {}, 0),
        ([_live(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2)], {1: MajorRoutes(2, (1,))}, 1),
        ([_live(1), _live(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2), _back(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2), _back(1), _live(2)], {1: MajorRoutes(2, (1,))}, 1),
        ([_live(1), _live(2), _live(3), _back(2), _back(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2), _live(3), _back(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2), _live(1), _live(3), _back(1)], {1: MajorRoutes(1, (1, 2))}, 1),
        ([_live(1), _live(2), _live(1), _back(2), _back(1)], {1: MajorRoutes(1)}, 1),
        ([_live(1), _live(2, major=2)], {1: MajorRoutes(1), 2: MajorRoutes(2)}, 1),
        ([_live(1), _live(2, major=2, moves_default=True)], {1: MajorRoutes(1), 2: MajorRoutes(2)}, 2),
        ([_live(1, major=2), _live(2, major=1)], {2: MajorRoutes(1), 1: MajorRoutes(2)}, 2),
        (
            [_live(1), _live(2, major=2, moves_default=True), _live(3), _back(1)],
            {1: MajorRoutes(1), 2: MajorRoutes(2)},
            2,
        ),
        (
            [_live(1), _live(2, major=2), _live(3, major=2), _back(2, major=2)],
            {1: MajorRoutes(1), 2: MajorRoutes(2)},
            1,
        ),
        # A number that this release has no name for: proto3's enums are open.
        ([_live(1), _event(cast(Event.Kind.ValueType, 99), 2)], {1: MajorRoutes(1)}, 1),
    ],
    ids=[
        "nothing",
        "approved-only",
        "live",
        "live-again",
        "live-twice",
        "rolled-back",
        "live-after-rollback",
        "rolled-back-twice",
        "rolled-back-over-one",
        "back-to-the-last-time",
        "to-and-fro",
        "two-majors",
        "default-moved",
        "first-live-is-default",
        "rollback-keeps-default",
        "rollback-of-the-other-major",
        "kind-of-a-later-release",
    ],
)
def test_fold(events: list[Event], majors: dict[int, MajorRoutes], default_major: int) -> None:
    """What is live, what was before and where calls without a version go follow from the events alone."""
    routes = fold(_dated(events))

    assert (dict(routes.majors), routes.default_major) == (majors, default_major)
    assert routes.sequence == len(events)
    assert routes.live_versions == tuple(majors[major].live for major in sorted(majors))


def test_fold_keeps_who_is_approved_and_retired() -> None:
    """Approved and retired versions are kept beside the routes."""
    events = [_event(APPROVED, 1), _event(APPROVED, 2), _live(2), _event(RETIRED, 1)]
    routes = fold(_dated(events))

    assert (routes.approved, routes.retired) == (frozenset({1, 2}), frozenset({1}))
    assert routes.live_versions == (2,)


def test_fold_keeps_every_moment() -> None:
    """Each move of a live route is a moment with its time, its actor, and whether it was a way back."""
    routes = fold(_dated([_live(1), _event(APPROVED, 2), _live(2), _back(1)]))

    moments = [(moment.version, moment.rolled_back, moment.time, moment.actor) for moment in routes.moments]
    assert moments == [
        (1, False, START + timedelta(hours=1), "ada"),
        (2, False, START + timedelta(hours=3), "ada"),
        (1, True, START + timedelta(hours=4), "ada"),
    ]


@pytest.mark.parametrize(("hours", "live"), [(0.5, ()), (1, (1,)), (1.5, (1,)), (2, (2,)), (3, (1,)), (99, (3,))])
def test_fold_until_a_moment_says_what_was_live_then(hours: float, live: tuple[int, ...]) -> None:
    """An event counts from its own moment on."""
    events = _dated([_live(1), _live(2), _back(1), _live(3)])

    assert fold(events, until=START + timedelta(hours=hours)).live_versions == live


EVENTS = st.lists(
    st.builds(
        lambda kind, version, major, moves: _event(kind, version, major=major, moves_default=moves),
        st.sampled_from(
            [Event.KIND_APPROVED, Event.KIND_LIVE, Event.KIND_ROLLED_BACK, Event.KIND_RETIRED, Event.KIND_CANARY]
        ),
        st.integers(1, 4),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=20,
).map(_dated)


@given(EVENTS, st.integers(0, 20))
def test_a_fold_can_be_continued(events: list[Event], at: int) -> None:
    """Folding the rest onto the fold of the beginning gives the fold of all, wherever it is cut."""
    assert fold(events[at:], fold(events[:at])) == fold(events)


@given(EVENTS, st.integers(0, 21))
def test_a_fold_until_an_event_is_the_fold_of_what_came_before(events: list[Event], hours: int) -> None:
    """What was live at a moment is the fold of the events up to it."""
    moment = START + timedelta(hours=hours)

    assert fold(events, until=moment) == fold(events[:hours])


@given(EVENTS)
def test_default_major_always_has_a_live_version(events: list[Event]) -> None:
    """Where anything is live, calls without a version have somewhere to go."""
    routes = fold(events)

    assert (routes.default_major in routes.majors) if routes.majors else routes.default_major == 0
