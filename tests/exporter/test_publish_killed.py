"""A publish that is killed at any of its steps leaves no version behind, and the next one works."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import joblib
import pandas as pd
import pytest

from sardonyx.registry import Registry
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx_exporter import export, promote, rollback

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.pipeline import Pipeline

Frame = tuple[pd.DataFrame, "pd.Series[bool]"]

pytestmark = pytest.mark.usefixtures("few_resamples")

# The command line as it is, but for this: it kills itself before or after one of its writes.
COMMAND = """
import os, signal, sys
from sardonyx.registry.store import Store
from sardonyx_exporter import evaluation
from sardonyx_exporter.app import main

when, number = sys.argv.pop(1), int(sys.argv.pop(1))
evaluation.RESAMPLES_MIN = evaluation.RESAMPLES_MAX = 2
create, writes = Store.create, []

def killing(store, path, data):
    writes.append(path)
    if when == "before" and len(writes) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    done = create(store, path, data)
    if when == "after" and len(writes) == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

Store.create = killing
main()
"""

# A publish of many bytes, so that there is a while in which they are being written.
LARGE = """
import sys
from sardonyx.registry import Registry
from sardonyx.registry.v1.manifest_pb2 import Manifest
Registry(sys.argv[1]).publish("flight-delay", bytes(64 * 2**20) + sys.argv[2].encode(), lambda _: Manifest())
"""


def _killed(when: str, number: int, *arguments: str) -> None:
    command = [sys.executable, "-c", COMMAND, when, str(number), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.fixture
def arguments(tmp_path: Path, pipeline: Pipeline, holdout: Frame) -> list[str]:
    """The command that exports the pipeline."""
    joblib.dump(pipeline, tmp_path / "pipeline.joblib")
    holdout[0].assign(late=holdout[1]).to_parquet(tmp_path / "holdout.parquet")
    files = [str(tmp_path / "pipeline.joblib"), "--data", str(tmp_path / "holdout.parquet")]
    return ["export", *files, "--target", "late", "--name", "flight-delay", "--registry", str(tmp_path / "registry")]


def _whole(registry: Registry) -> list[int]:
    """The versions that are visible; each of them has its manifest and its bytes."""
    versions = registry.versions("flight-delay")
    for version in versions:
        assert registry.blob(registry.manifest("flight-delay", version).artifact)
    return versions


@pytest.mark.parametrize(
    ("when", "write", "versions"),
    [("before", 1, []), ("after", 1, []), ("before", 2, []), ("after", 2, [1])],
    ids=["before-the-bytes", "after-the-bytes", "before-the-manifest", "after-the-manifest"],
)
def test_a_killed_export_leaves_a_whole_version_or_none(
    tmp_path: Path, arguments: list[str], pipeline: Pipeline, holdout: Frame, when: str, write: int, versions: list[int]
) -> None:
    """Until the manifest is written there is no version, then it is whole; the next export takes the next number."""
    _killed(when, write, *arguments)
    registry = Registry(str(tmp_path / "registry"))

    assert _whole(registry) == versions
    assert registry.models() == ["flight-delay"] * len(versions)
    result = export(pipeline, name="flight-delay", holdout=holdout, registry=registry.location)
    assert result.version == len(versions) + 1
    assert _whole(registry) == [*versions, result.version]


@pytest.mark.parametrize(
    ("when", "write", "live"),
    [("before", 1, ()), ("after", 1, ()), ("before", 2, ()), ("after", 2, (1,))],
    ids=["before-approval", "after-approval", "before-live", "after-live"],
)
def test_a_killed_promotion_moves_the_route_whole_or_not(
    tmp_path: Path, pipeline: Pipeline, holdout: Frame, when: str, write: int, live: tuple[int, ...]
) -> None:
    """What is live is as before or as asked for; asking again ends as asked for, and the chain of events holds."""
    registry = Registry(str(tmp_path / "registry"), create=True)
    export(pipeline, name="flight-delay", holdout=holdout, registry=registry.location)
    _killed(when, write, "promote", "flight-delay", "1", "--registry", registry.location)

    assert registry.routes("flight-delay").live_versions == live
    assert promote("flight-delay", 1, registry=registry.location).version == 1
    assert registry.routes("flight-delay").live_versions == (1,)
    assert [event.sequence for event in registry.events("flight-delay")] == [1, 2]


def test_a_killed_rollback_is_whole_or_not(tmp_path: Path, pipeline: Pipeline, holdout: Frame) -> None:
    """A rollback that is killed before its write changed nothing, and can be asked for again."""
    registry = str(tmp_path / "registry")
    for version in (1, 2):
        export(pipeline, name="flight-delay", holdout=holdout, registry=registry)
        promote("flight-delay", version, registry=registry)
    _killed("before", 1, "rollback", "flight-delay", "--registry", registry)

    assert Registry(registry).routes("flight-delay").live_versions == (2,)
    assert rollback("flight-delay", registry=registry).version == 1


@pytest.mark.parametrize("attempt", range(3))
def test_killed_while_it_writes(tmp_path: Path, attempt: int) -> None:
    """A publish that is killed as soon as its bytes appear leaves no version, and the same bytes go in again."""
    blobs = tmp_path / "blobs" / "sha256"
    with subprocess.Popen([sys.executable, "-c", LARGE, str(tmp_path), str(attempt)]) as publisher:
        while publisher.poll() is None and not (blobs.is_dir() and any(blobs.iterdir())):
            time.sleep(0.0005)
        publisher.send_signal(signal.SIGKILL)
    registry = Registry(str(tmp_path))
    versions = _whole(registry)

    data = bytes(64 * 2**20) + str(attempt).encode()
    manifest = registry.publish("flight-delay", data, lambda _: Manifest())
    assert manifest.version == len(versions) + 1
    assert registry.blob(manifest.artifact) == data


def test_what_a_cut_write_left_is_not_seen(tmp_path: Path) -> None:
    """A file that was being written when its writer died has another name until it is whole: nobody lists it."""
    registry = Registry(str(tmp_path))
    registry.publish("flight-delay", b"a graph", lambda _: Manifest())
    versions = tmp_path / "models" / "flight-delay" / "versions"
    (versions / "00000002.json#1").write_text('{"model": "fli')

    assert _whole(registry) == [1]
    assert registry.publish("flight-delay", b"a graph", lambda _: Manifest()).version == 2
    assert registry.versions("flight-delay") == [1, 2]


def _exporting(arguments: list[str]) -> subprocess.Popen[str]:
    """The command line with a write to be killed at that never comes."""
    command = [sys.executable, "-c", COMMAND, "before", "99", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_exports_at_once_are_two_versions(tmp_path: Path, arguments: list[str]) -> None:
    """Two programs that export one model at the same time both succeed, with different versions."""
    programs = [_exporting(arguments) for _ in range(2)]
    for program in programs:
        _, said = program.communicate(timeout=120)
        assert program.returncode == 0, said

    assert _whole(Registry(str(tmp_path / "registry"))) == [1, 2]
