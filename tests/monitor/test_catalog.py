"""What the monitor knows of the registry, and keeps when that cannot be read."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from monitor.scene import connected, doors_of, span_of, start_monitor
from sardonyx_exporter import promote
from sardonyx_monitor.catalog import Catalog
from server.scene import export_regressor
from server.test_silent_registry import silent_bucket

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Two models, a version of each live."""
    for name in ("broken", "sound"):
        promote(name, export_regressor(tmp_path, name, seed=1), registry=str(tmp_path))
    return tmp_path


def _live(catalog: Catalog, name: str) -> tuple[int, ...]:
    return catalog.snapshot.models[name].routes.live_versions


@pytest.mark.parametrize("place", ["models/broken/events/00000001.json", "models/broken/versions/00000001.json"])
def test_a_model_that_cannot_be_read_hides_no_other(registry: Path, place: str) -> None:
    """While one model's files are broken it stays as it was known, others go on, and what is wrong is said."""
    catalog = Catalog(str(registry), interval_s=60)
    if "events" in place:
        catalog.refresh()
    whole = (registry / place).read_bytes()
    (registry / place).write_text("{")
    promote("sound", export_regressor(registry, "sound", seed=2), registry=str(registry))
    catalog.refresh()
    assert _live(catalog, "sound") == (2,)
    assert place in catalog.snapshot.error
    if "events" in place:
        assert _live(catalog, "broken") == (1,)
    (registry / place).write_bytes(whole)
    catalog.refresh()
    assert catalog.snapshot.error == ""
    assert _live(catalog, "broken") == (1,)


def test_a_replaced_registry_is_read_anew(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where a log does not go on, what is known of its model's versions is what the registry holds now."""
    catalog = Catalog(str(registry), interval_s=60)
    promote("sound", export_regressor(registry, "sound", seed=2), registry=str(registry))
    catalog.refresh()
    before = catalog.snapshot.models
    another = tmp_path_factory.mktemp("another")
    promote("sound", export_regressor(another, "sound", seed=3), registry=str(another))
    shutil.rmtree(registry / "models/sound")
    shutil.copytree(another / "models/sound", registry / "models/sound")
    catalog.refresh()
    assert catalog.snapshot.models["sound"].versions.keys() == {1}
    assert catalog.snapshot.models["sound"].versions[1] != before["sound"].versions[1]
    assert catalog.snapshot.models["broken"] == before["broken"]


def test_a_stray_folder_hides_no_model(registry: Path) -> None:
    """A folder that is no model's is named, and the models are read."""
    (registry / "models" / "No Model" / "events").mkdir(parents=True)
    shutil.copy(registry / "models/sound/events/00000001.json", registry / "models/No Model/events")
    catalog = Catalog(str(registry), interval_s=60)
    catalog.refresh()
    assert set(catalog.snapshot.models) == {"broken", "sound"}
    assert "No Model" in catalog.snapshot.error


@pytest.mark.parametrize("place", ["models", "models/sound", "models/sound/events", "models/sound/versions"])
def test_what_vanishes_stays_as_it_was_known(registry: Path, place: str) -> None:
    """A registry that is removed file by file takes nothing along: what was known stays, and the loss is said."""
    catalog = Catalog(str(registry), interval_s=60)
    catalog.refresh()
    before = catalog.snapshot.models
    (registry / place).rename(registry / "away")
    catalog.refresh()
    assert catalog.snapshot.models == before
    assert "no longer holds model 'sound'" in catalog.snapshot.error
    (registry / "away").rename(registry / place)
    catalog.refresh()
    assert (catalog.snapshot.models, catalog.snapshot.error) == (before, "")


def test_a_registry_that_does_not_answer_holds_neither_start_nor_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Doors open and spans are stored while a bucket says nothing; that is logged, and SIGTERM ends the monitor."""
    with silent_bucket(monkeypatch):
        program = start_monitor("s3://bucket/models", tmp_path / "data")
        with connected(*doors_of(program)) as watch:
            watch.export(span_of())
            assert watch.health()["stored"]["spans"] == 1
        assert program.stop() == 0, "".join(program.lines)
        assert "has not answered for 3 s" in "".join(program.lines)
