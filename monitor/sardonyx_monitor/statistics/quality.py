"""How right a version was: figures with intervals, from sums over the rows whose truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sardonyx_monitor.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in practice.

    Attributes:
        name: as the manifest's evaluation names it.
        value: its value.
        low, high: the interval at intervals.CONFIDENCE; NaN where none is known.
        rows: the rows that stand behind it.
    """

    name: str
    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What is summed over the labelled rows of one version in one span of time.

    Attributes:
        answered: rows answered and recorded.
        labelled: of them, those whose truth is known.
        unreadable: of the labelled, those whose truth is no class, or no number, of this model.
        correct: labelled rows whose class was right.
        scored: rows with a probability for the class that came true.
        log_loss, log_loss_squares: sums of -ln(p) of the class that came true, and of its square.
        brier, brier_squares: sums of the squared distance between probabilities and truth, and of its square.
        measured: rows with a value and a number to compare.
        absolute, squares, quartics: sums of |error|, error² and error⁴.
    """

    answered: int = 0
    labelled: int = 0
    unreadable: int = 0
    correct: int = 0
    scored: int = 0
    log_loss: float = 0.0
    log_loss_squares: float = 0.0
    brier: float = 0.0
    brier_squares: float = 0.0
    measured: int = 0
    absolute: float = 0.0
    squares: float = 0.0
    quartics: float = 0.0

    @property
    def coverage(self) -> float:
        """The share of answered rows whose truth is known; NaN where nothing was answered."""
        return self.labelled / self.answered if self.answered else math.nan


def of_classes(sums: Sums, confusion: npt.NDArray[np.int64] | None = None) -> list[Figure]:
    """Accuracy first, then what else is known of a classifier.

    Args:
        sums: over its rows.
        confusion: how often class i came true where class j was answered, shape [classes, classes].
    """
    # A truth that is no class of the model says something of the job that reports it, and nothing of the answer.
    rows = sums.labelled - sums.unreadable
    if not rows:
        return []
    figures = [Figure("accuracy", sums.correct / rows, *intervals.of_share(sums.correct, rows), rows)]
    if confusion is not None and confusion.sum():
        figures += _of_confusion(confusion)
    figures += _mean("log_loss", sums.log_loss, sums.log_loss_squares, sums.scored)
    figures += _mean("brier", sums.brier, sums.brier_squares, sums.scored)
    return figures


def of_values(sums: Sums) -> list[Figure]:
    """Mean absolute error, and the root of the mean squared one."""
    root = (_root(figure) for figure in _mean("rmse", sums.squares, sums.quartics, sums.measured))
    return [*_mean("mae", sums.absolute, sums.squares, sums.measured), *root]


def _root(square: Figure) -> Figure:
    """The root grows with what is under it, so an interval of the square is one of the root."""
    value, low, high = (math.sqrt(each) for each in (square.value, square.low, square.high))
    return Figure(square.name, value, low, high, square.rows)


def _mean(name: str, total: float, squares: float, count: int) -> Iterable[Figure]:
    """The mean of what is never negative, so its interval does not go below 0 either."""
    if count:
        low, high = intervals.of_mean(total, squares, count)
        yield Figure(name, total / count, low if math.isnan(low) else max(0.0, low), high, count)


def _of_confusion(confusion: npt.NDArray[np.int64]) -> Iterable[Figure]:
    """Balanced accuracy and F1 as scikit-learn has them: F1 of the second of two classes, the mean over more."""
    rows = int(confusion.sum())
    hits = np.diag(confusion).astype(float)
    actual, chosen = confusion.sum(axis=1), confusion.sum(axis=0)
    seen = actual > 0
    yield Figure("balanced_accuracy", float(np.mean(hits[seen] / actual[seen])), *intervals.UNKNOWN, rows)
    met = (actual + chosen) > 0
    f1 = np.divide(2 * hits, actual + chosen, out=np.zeros_like(hits), where=met)
    yield Figure("f1", float(f1[1] if len(f1) == 2 else np.mean(f1[met])), *intervals.UNKNOWN, rows)
