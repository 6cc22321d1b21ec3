"""One monitor for all tests that bring their own ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from monitor.scene import Stage, Watch, staged, watching

if TYPE_CHECKING:
    from collections.abc import Iterator


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
