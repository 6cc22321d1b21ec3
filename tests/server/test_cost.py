"""What a version's runs take: timed on real sessions, and bounded in what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.registry import Registry
from sardonyx_server.life import cost as cost_module
from sardonyx_server.life.cost import ROWS_MAX, TIMED_ROWS, Cost, measure
from sardonyx_server.life.session import Runtime, Session
from server.scene import CLASSIFIER, LOOKUP, SLOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from server.scene import Scene

SECONDS = st.floats(0, 10)


@given(SECONDS, SECONDS, SECONDS)
def test_rows_within_a_time_are_the_most_that_fit(fixed_s: float, per_row_s: float, seconds: float) -> None:
    """One more row would take longer, and none of what is said takes longer; never more than a timing reaches."""
    cost = Cost(fixed_s, per_row_s)
    rows = cost.rows_within(seconds)
    assert 0 <= rows <= ROWS_MAX
    slack = 1e-9 * max(1.0, seconds)
    assert rows == 0 or cost.of(rows) <= seconds + slack
    assert rows == ROWS_MAX or cost.of(rows + 1) > seconds - slack


class Timed(Session):
    """A session that notes the rows of each run."""

    def __init__(self, manifest: Manifest, graph: bytes) -> None:
        super().__init__(manifest, graph, Runtime())
        self.runs: list[int] = []

    def run(self, feed: Mapping[str, Any]) -> Sequence[Any]:
        """As it does, and noted."""
        self.runs.append(len(next(iter(feed.values()))))
        return super().run(feed)


def timed(scene: Scene, model: str) -> tuple[Manifest, Timed]:
    """A live version's manifest and session."""
    registry = Registry(str(scene.registry))
    manifest = registry.manifest(model, 1)
    return manifest, Timed(manifest, registry.blob(manifest.artifact))


@pytest.mark.parametrize("model", [CLASSIFIER, LOOKUP])
def test_a_quick_model_is_timed_with_many_rows(scene: Scene, model: str) -> None:
    """Golden rows that take no longer than one would say that rows cost nothing: a thousand are run too."""
    manifest, session = timed(scene, model)
    cost = measure(manifest, session)
    assert max(session.runs) == TIMED_ROWS
    assert cost.of(1) > 0
    assert cost.fixed_s >= 0
    assert cost.per_row_s >= 0


def test_a_slow_model_is_timed_with_its_golden_rows(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where those take long, more rows would only hold up the start."""
    monkeypatch.setattr(cost_module, "TIMED_S_MAX", 0.0)
    manifest, session = timed(scene, SLOW)
    measure(manifest, session)
    assert max(session.runs) < TIMED_ROWS


def test_noise_does_not_make_rows_free(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever disturbs some of the runs of one row, a thousand rows are known to take longer than one."""
    ticks = iter(np.random.default_rng(3).exponential(0.0005, 10_000).cumsum().tolist())

    class Clock:
        busy_s = 0.0

        def perf_counter(self) -> float:
            return self.busy_s + float(next(ticks))

    clock = Clock()

    class Costly(Timed):
        def run(self, feed: Mapping[str, Any]) -> Sequence[Any]:
            answers = super().run(feed)
            clock.busy_s += 1e-5 + 1e-6 * self.runs[-1]
            return answers

    monkeypatch.setattr(cost_module, "time", clock)
    manifest, _ = timed(scene, CLASSIFIER)
    session = Costly(manifest, Registry(str(scene.registry)).blob(manifest.artifact))
    cost = measure(manifest, session)
    assert 500 < cost.rows_within(0.001) < 2000
