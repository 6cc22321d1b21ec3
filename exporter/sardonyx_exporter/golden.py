"""Golden rows: few rows with the model's own answers, which the server replays before it serves a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from sardonyx.registry.v1.manifest_pb2 import Booleans, Column, Doubles, Golden, Integers, Texts, Tolerance
from sardonyx_exporter.columns import Data, rows_of, values_of
from sardonyx_exporter.source import PROBABILITIES, VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_exporter.source import Source

Array = npt.NDArray[Any]

ROWS: Final = 32
EDGE_ROWS: Final = 16


def choose(source: Source, answers: Mapping[str, Array], edge_rows: Sequence[Data], tolerance: Tolerance) -> Golden:
    """Choose rows that cover the answers from end to end, with the edge rows behind them.

    Args:
        source: the model with its hold-out.
        answers: the model's own answers to the hold-out.
        edge_rows: rows with missing and unknown values, each a piece of data of one row.
        tolerance: how far a replay may be apart.
    """
    rows = _join([rows_of(source.features, _spread(answers)), *edge_rows[:EDGE_ROWS]])
    truth = source.answer(rows)
    return Golden(
        inputs=[column(name, values) for name, values in values_of(rows, source.inputs).items()],
        outputs=[column(name, values) for name, values in truth.items()],
        tolerance=tolerance,
    )


def column(name: str, values: Array) -> Column:
    """A column of values, row-major."""
    flat = values.ravel()
    match flat.dtype.kind:
        case "f":
            return Column(name=name, doubles=Doubles(values=flat.astype(np.float64)))
        case "i" | "u":
            return Column(name=name, integers=Integers(values=flat.astype(np.int64)))
        case "b":
            return Column(name=name, booleans=Booleans(values=flat))
        case _:
            return Column(name=name, texts=Texts(values=[str(value) for value in flat]))


def _spread(answers: Mapping[str, Array]) -> Array:
    """Positions of rows whose answers lie evenly between the lowest and the highest."""
    score = answers.get(PROBABILITIES, answers.get(VALUE))
    rows = len(next(iter(answers.values())))
    order = np.argsort(score.reshape(rows, -1)[:, -1]) if score is not None else np.arange(rows)
    return np.unique(order[np.linspace(0, rows - 1, min(ROWS, rows)).astype(int)])


def _join(pieces: Sequence[Data]) -> Data:
    if isinstance(pieces[0], pd.DataFrame):
        return pd.concat([pd.DataFrame(piece) for piece in pieces], ignore_index=True)
    return np.concatenate([np.asarray(piece) for piece in pieces])
