"""Shares of calls: as large as they are said to be, and always the same ones."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx_server.life.lanes import Lane
from sardonyx_server.life.portion import Portion
from server.loaded import load_served
from server.scene import export_regressor

if TYPE_CHECKING:
    from pathlib import Path

    from sardonyx_server.served import Served

KEYS = [f"customer-{number}" for number in range(20_000)]

# The same question in a process whose own hashes are salted otherwise.
ASK = """
import sys
from pathlib import Path
from sardonyx_server.life.lanes import Lane
from sardonyx_server.life.portion import Portion
from server.loaded import load_served
portion = Portion(load_served(Path(sys.argv[1]), "shared", 1), Lane("canary", 30.0))
print(*[int(portion.takes(f"customer-{number}")) for number in range(1000)], sep="")
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions."""
    registry = tmp_path_factory.mktemp("portion") / "registry"
    for seed in (1, 2):
        export_regressor(registry, "shared", seed=seed)
    return registry


@pytest.fixture(scope="module")
def versions(registry: Path) -> tuple[Served, Served]:
    """Both, loaded."""
    return load_served(registry, "shared", 1), load_served(registry, "shared", 2)


PERCENTS = st.floats(0, 100)


@given(percents=st.tuples(PERCENTS, PERCENTS), keys=st.lists(st.text(), max_size=50))
def test_a_larger_share_adds_keys_and_drops_none(
    versions: tuple[Served, Served], percents: tuple[float, float], keys: list[str]
) -> None:
    """Whatever the keys: those of a share are among those of every larger one, and a share of 100 % has them all."""
    small, large, all_of_them = (
        {key for key in keys if Portion(versions[0], Lane("canary", percent)).takes(key)}
        for percent in (*sorted(percents), 100.0)
    )
    assert small <= large <= all_of_them == set(keys)


@pytest.mark.parametrize("percent", [0.5, 5, 30, 50, 99])
def test_a_share_is_as_large_as_it_says(versions: tuple[Served, Served], percent: float) -> None:
    """Keys that differ by a digit are as good as random ones: five standard deviations are not exceeded."""
    portion = Portion(versions[0], Lane("canary", percent))
    taken = sum(portion.takes(key) for key in KEYS) / len(KEYS)
    share = percent / 100
    assert abs(taken - share) < 5 * (share * (1 - share) / len(KEYS)) ** 0.5


def test_shares_do_not_depend_on_each_other(versions: tuple[Served, Served]) -> None:
    """Another version, or another route, takes other keys: of two halves a quarter is common."""
    lanes = (Lane("canary", 50.0), Lane("shadow", 50.0))
    halves = [Portion(served, lane) for served in versions for lane in lanes]
    for one, other in itertools.combinations(halves, 2):
        common = sum(one.takes(key) and other.takes(key) for key in KEYS) / len(KEYS)
        assert abs(common - 0.25) < 5 * (0.25 * 0.75 / len(KEYS)) ** 0.5


def test_a_key_is_taken_by_every_process_or_by_none(registry: Path, versions: tuple[Served, Served]) -> None:
    """Another worker, or the next one after a restart, shares out alike."""
    portion = Portion(versions[0], Lane("canary", 30.0))
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(registry)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "7"},
    )
    assert done.stdout.strip() == "".join(str(int(portion.takes(key))) for key in KEYS[:1000]), done.stderr
