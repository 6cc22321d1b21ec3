"""Small hold-outs and models that are fitted once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sardonyx_exporter import evaluation

Matrix = npt.NDArray[np.float64]
Frame = tuple[pd.DataFrame, "pd.Series[bool]"]


def flights(seed: int, rows: int = 120) -> Frame:
    """Rows with two numbers and a text, and whether the flight was late, which depends on all three."""
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


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals take most of an export's time: test_evaluation.py has them in full."""
    monkeypatch.setattr(evaluation, "RESAMPLES_MIN", 2)
    monkeypatch.setattr(evaluation, "RESAMPLES_MAX", 2)


@pytest.fixture(scope="session")
def train() -> Frame:
    """What models are fitted on."""
    return flights(seed=1)


@pytest.fixture(scope="session")
def holdout() -> Frame:
    """What no model has seen."""
    return flights(seed=2)


@pytest.fixture(scope="session")
def pipeline(train: Frame) -> Pipeline:
    """A classifier over two numbers and a text, fitted."""
    prepare = make_column_transformer(
        (StandardScaler(), ["distance", "hour"]), (OneHotEncoder(handle_unknown="ignore"), ["carrier"])
    )
    return make_pipeline(prepare, LogisticRegression()).fit(*train)


@pytest.fixture(scope="session")
def matrix() -> tuple[Matrix, npt.NDArray[np.int64]]:
    """A plain array of four columns and a class of three."""
    random = np.random.default_rng(3)
    features = random.normal(size=(150, 4))
    return features, np.digitize(features @ [1.0, -1.0, 0.5, 0.0] + random.normal(size=150) / 4, [-0.7, 0.7])
