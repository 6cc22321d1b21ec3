"""One monitor for all tests that bring their own ids, and stores of their own for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor.scene import Stage, Watch, staged, watching
from monitor.stored import Store, opened
from monitor.tried import Tried, trying

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A monitor whose registry does not exist."""
    folder = tmp_path_factory.mktemp("monitor")
    with watching(folder / "registry", folder / "data") as watch:
        yield watch


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """All three parts at work, with requests and truths of which the tests know everything."""
    with staged(tmp_path_factory.mktemp("stage")) as stage:
        yield stage


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store, without its doors."""
    with opened(tmp_path) as store:
        yield store


@pytest.fixture(scope="session")
def tried(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """A monitor that has seen a canary and a shadow beside a live version."""
    with trying(stage.registry, tmp_path_factory.mktemp("tried")) as tried:
        yield tried
