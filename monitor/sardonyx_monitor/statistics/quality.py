"""How right a version was: figures with intervals, from sums over the rows whose truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sardonyx_monitor.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Iterable


#: Of the metrics that practice can know; of all others less is better.
HIGHER_IS_BETTER: Final = frozenset({"accuracy", "balanced_accuracy", "f1"})
#: Those that are known only from which class came true where which was answered.
OF_CONFUSION: Final = frozenset({"balanced_accuracy", "f1"})


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric in practice.

    Attributes:
        name: as the manifest's evaluation names it.
        value: its value.
        low, high: the interval at intervals.CONFIDENCE; NaN where none is known.
        rows: the recorded rows that stand behind it.
        effective_rows: as how many rows of equal weight they count: fewer where they are a sample with weights.
    """

    name: str
    value: float
    low: float
    high: float
    rows: int
    effective_rows: float


class Evidence(NamedTuple):
    """The rows that stand behind a figure.

    Attributes:
        rows: how many were recorded.
        weight: how many they stand for: the sum of their weights.
        squares: the sum of the squares of their weights.
    """

    rows: int = 0
    weight: float = 0.0
    squares: float = 0.0

    @property
    def effective(self) -> float:
        """As how many rows of equal weight they count."""
        return intervals.effective_size(self.weight, self.squares)


NO_EVIDENCE: Final = Evidence()


class Confusion(NamedTuple):
    """How often class i came true where class j was answered.

    Attributes:
        weights: the sums of the weights, shape [classes, classes].
        rows: how many rows were recorded.
    """

    weights: npt.NDArray[np.float64]
    rows: int


@dataclass(frozen=True, slots=True)
class Sums:
    """What is summed over the rows of one version in one span of time, each row times its weight.

    A row's weight is that of its request: how many requests that one stands for. So a figure is a ratio of two weighted
    sums (Hájek's estimator), and the same for a sample as for the whole but for chance.

    Attributes:
        answered: rows answered and recorded.
        labelled: of them, those whose truth is known.
        unreadable: of the labelled, those whose truth is no class, or no number, of this model.
        correct: readable rows whose class was right.
        readable: the labelled rows that are not unreadable, where a class was answered.
        scored: rows with a probability for the class that came true.
        log_loss, log_loss_squares: sums of -ln(p) of the class that came true, and of its square.
        brier, brier_squares: sums of the squared distance between probabilities and truth, and of its square.
        measured: rows with a value and a number to compare.
        absolute, squares, quartics: sums of |error|, error² and error⁴.
    """

    answered: float = 0.0
    labelled: float = 0.0
    unreadable: float = 0.0
    correct: float = 0.0
    readable: Evidence = NO_EVIDENCE
    scored: Evidence = NO_EVIDENCE
    log_loss: float = 0.0
    log_loss_squares: float = 0.0
    brier: float = 0.0
    brier_squares: float = 0.0
    measured: Evidence = NO_EVIDENCE
    absolute: float = 0.0
    squares: float = 0.0
    quartics: float = 0.0

    @property
    def coverage(self) -> float:
        """The share of answered rows whose truth is known; NaN where nothing was answered."""
        return self.labelled / self.answered if self.answered else math.nan


def share(name: str, successes: float, evidence: Evidence) -> Figure:
    """A share of rows, with Wilson's interval.

    Args:
        name: the figure's.
        successes: the sum of the weights of the rows that count.
        evidence: all rows; at least one.
    """
    interval = intervals.of_share(successes, evidence.weight, evidence.effective)
    return Figure(name, successes / evidence.weight, *interval, evidence.rows, evidence.effective)


def of_classes(sums: Sums, confusion: Confusion | None = None) -> list[Figure]:
    """Accuracy first, then what else is known of a classifier.

    Args:
        sums: over its rows.
        confusion: of its rows; None where its classes are not known.
    """
    # A truth that is no class of the model says something of the job that reports it, and nothing of the answer.
    if not sums.readable.rows:
        return []
    figures = [share("accuracy", sums.correct, sums.readable)]
    if confusion is not None and confusion.rows:
        figures += _of_confusion(confusion, sums.readable)
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
    return replace(square, value=value, low=low, high=high)


def _mean(name: str, total: float, squares: float, evidence: Evidence) -> Iterable[Figure]:
    """The mean of what is never negative, so its interval does not go below 0 either."""
    if evidence.rows:
        low, high = intervals.of_mean(total, squares, evidence.weight, evidence.effective)
        low = low if math.isnan(low) else max(0.0, low)
        yield Figure(name, total / evidence.weight, low, high, evidence.rows, evidence.effective)


def _of_confusion(confusion: Confusion, evidence: Evidence) -> Iterable[Figure]:
    """Balanced accuracy and F1 as scikit-learn has them: F1 of the second of two classes, the mean over more."""
    weights = confusion.weights
    hits = np.diag(weights)
    actual, chosen = weights.sum(axis=1), weights.sum(axis=0)
    seen = actual > 0
    behind = (*intervals.UNKNOWN, confusion.rows, evidence.effective)
    yield Figure("balanced_accuracy", float(np.mean(hits[seen] / actual[seen])), *behind)
    met = (actual + chosen) > 0
    f1 = np.divide(2 * hits, actual + chosen, out=np.zeros_like(hits), where=met)
    yield Figure("f1", float(f1[1] if len(f1) == 2 else np.mean(f1[met])), *behind)
