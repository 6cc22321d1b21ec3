"""Versions change hands under load, by the exporter's own acts, and no caller notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sardonyx import AsyncClient
from sardonyx_exporter import export, promote, rollback
from support.programs import running_server

if TYPE_CHECKING:
    from pathlib import Path

    from sardonyx import Answer

CALLERS = 16
SWAPS = 10


def _frame(seed: int, rows: int = 400) -> tuple[pd.DataFrame, pd.Series[bool]]:
    """Rows with two numbers and a text, and a class that depends on all three."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "distance": random.normal(size=rows),
            "hour": random.integers(0, 24, size=rows),
            "carrier": random.choice(["AA", "B6", "UA"], size=rows),
        }
    )
    late = frame["distance"] + frame["hour"] / 12 + (frame["carrier"] == "UA") + random.normal(size=rows) > 1.5
    return frame, late


def _model(seed: int) -> Pipeline:
    prepare = make_column_transformer(
        (StandardScaler(), ["distance", "hour"]), (OneHotEncoder(handle_unknown="ignore"), ["carrier"])
    )
    return make_pipeline(prepare, LogisticRegression()).fit(*_frame(seed))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Pipeline]]:
    """A registry with two versions of one model, the first live, and the source model of each."""
    registry = tmp_path_factory.mktemp("swap") / "registry"
    sources = {version: _model(seed=version) for version in (1, 2)}
    for version, source in sources.items():
        result = export(source, name="flight-delay", holdout=_frame(seed=9), registry=str(registry))
        assert result.manifest.version == version
    promote("flight-delay", 1, registry=str(registry))
    return registry, sources


async def test_promote_and_rollback_ten_times_under_load(models: tuple[Path, dict[int, Pipeline]]) -> None:
    """While promote and rollback alternate ten times, no call fails and each answer is its stated version's own."""
    registry, sources = models
    rows, _ = _frame(seed=5)
    truth = {version: source.predict_proba(rows) for version, source in sources.items()}
    answers: list[tuple[int, Answer]] = []
    stop = asyncio.Event()

    async def call(client: AsyncClient, caller: int) -> None:
        position = caller
        while not stop.is_set():
            row = position % len(rows)
            answers.append((row, await client.predict("flight-delay", rows.iloc[row : row + 1])))
            position += CALLERS

    with running_server(registry, "--workers", "2", "--poll-interval-s", "0.05") as address:
        async with AsyncClient(address) as client:
            callers = [asyncio.create_task(call(client, caller)) for caller in range(CALLERS)]
            for swap in range(SWAPS):
                version = 2 if swap % 2 == 0 else 1
                act = (
                    (lambda: promote("flight-delay", 2, registry=str(registry)))
                    if version == 2
                    else (lambda: rollback("flight-delay", registry=str(registry)))
                )
                await asyncio.to_thread(act)
                seen = len(answers)
                while not any(answer.version == version for _, answer in answers[seen:]):
                    assert not any(caller.done() for caller in callers), "a caller stopped: a call failed"
                    await asyncio.sleep(0.01)
            stop.set()
            await asyncio.gather(*callers)

    assert {answer.version for _, answer in answers} == {1, 2}
    for row, answer in answers:
        assert answer.probabilities is not None
        np.testing.assert_allclose(answer.probabilities[0], truth[answer.version][row], atol=1e-6)
        assert answer.labels is not None
        assert answer.labels[0] == sources[answer.version].classes_[truth[answer.version][row].argmax()]
