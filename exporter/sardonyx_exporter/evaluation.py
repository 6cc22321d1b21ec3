"""What a version promises: its quality on the hold-out, by scikit-learn, of the graph's own answers."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from sardonyx.registry.v1.interface_pb2 import TASK_CLASSIFICATION
from sardonyx.registry.v1.manifest_pb2 import Evaluation, Metric
from sardonyx_exporter.errors import SourceRefused
from sardonyx_exporter.source import LABEL, PROBABILITIES, VALUE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sardonyx_exporter.source import Source

Array = npt.NDArray[Any]

CONFIDENCE: Final = 0.95
#: Rows times resamples: 28,000 rows get 100 resamples, which take 4 s on two shared cores; small hold-outs get all.
ROWS_RESAMPLED: Final = 2_800_000
RESAMPLES_MIN: Final = 100
RESAMPLES_MAX: Final = 200
LOWER_IS_BETTER: Final = frozenset({"log_loss", "brier", "mae", "rmse"})


def evaluate(source: Source, answers: Mapping[str, Array], primary: str | None = None) -> Evaluation:
    """Compute every metric of the task with a percentile bootstrap interval.

    Args:
        source: the model with its hold-out.
        answers: the graph's answers to all of its rows.
        primary: the metric that the monitor compares first; by default accuracy, or mae.

    Raises:
        SourceRefused: there is no metric of that name for this model.
    """
    compute = _classification(source, answers) if source.task == TASK_CLASSIFICATION else _regression(source, answers)
    with warnings.catch_warnings():
        # A resample without a class makes some metrics undefined: those resamples are left out below.
        warnings.simplefilter("ignore")
        values = compute(np.arange(source.rows))
        chosen = primary or next(iter(values))
        if chosen not in values:
            raise SourceRefused(f"There is no metric {chosen!r} for this model. Choose one of {', '.join(values)}.")
        resamples = int(np.clip(ROWS_RESAMPLED // source.rows, RESAMPLES_MIN, RESAMPLES_MAX))
        samples = _bootstrap(compute, source.rows, resamples)
    return Evaluation(
        holdout_digest=holdout_digest(source),
        rows=source.rows,
        metrics=[_metric(name, value, [sample[name] for sample in samples]) for name, value in values.items()],
        primary=chosen,
        resamples=resamples,
    )


def holdout_digest(source: Source) -> str:
    """SHA-256 over names, types and values of the hold-out's columns and its target, in hex."""
    digest = hashlib.sha256()
    for name, values in {**source.values, "": source.target}.items():
        digest.update(f"{name}\0{values.dtype.kind}\0".encode())
        plain = values.dtype.kind in "biuf"
        digest.update(np.ascontiguousarray(values).tobytes() if plain else "\0".join(map(str, values)).encode())
    return digest.hexdigest()


def _bootstrap(compute: Callable[[Array], dict[str, float]], rows: int, resamples: int) -> list[dict[str, float]]:
    # A fixed seed: the same export twice gives the same intervals.
    random = np.random.default_rng(20130101)
    return [compute(random.integers(0, rows, rows)) for _ in range(resamples)]


def _metric(name: str, value: float, samples: list[float]) -> Metric:
    tail = 100 * (1 - CONFIDENCE) / 2
    defined = np.array([sample for sample in samples if np.isfinite(sample)] or [value])
    low, high = np.percentile(defined, [tail, 100 - tail])
    return Metric(
        name=name,
        value=value,
        low=min(low, value),
        high=max(high, value),
        confidence=CONFIDENCE,
        higher_is_better=name not in LOWER_IS_BETTER,
    )


def _classification(source: Source, answers: Mapping[str, Array]) -> Callable[[Array], dict[str, float]]:
    """Metrics by row positions; classes become their positions, which scikit-learn handles faster than text."""
    positions = {value: position for position, value in enumerate(source.classes.tolist())}
    truth = np.array([positions[value] for value in source.target.tolist()])
    label_type = source.classes.dtype
    chosen = np.array([positions[value] for value in answers[LABEL].astype(label_type).tolist()])
    likely = answers.get(PROBABILITIES)
    labels = np.arange(len(positions))
    binary = len(positions) == 2

    def compute(rows: Array) -> dict[str, float]:
        actual, predicted = truth[rows], chosen[rows]
        average = "binary" if binary else "macro"
        values = {
            "accuracy": metrics.accuracy_score(actual, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(actual, predicted),
            "f1": metrics.f1_score(actual, predicted, average=average, zero_division=0.0),
        }
        if likely is not None:
            values |= _of_probabilities(actual, likely[rows], labels, binary=binary)
        return {name: float(value) for name, value in values.items()}

    return compute


def _of_probabilities(actual: Array, likely: Array, labels: Array, *, binary: bool) -> dict[str, float]:
    # Single precision leaves -1e-7, and sums that are not quite 1.
    likely = np.clip(likely, 0.0, 1.0)
    likely = likely / likely.sum(axis=1, keepdims=True)
    return {
        "roc_auc": _roc_auc(actual, likely, labels, binary=binary),
        "log_loss": metrics.log_loss(actual, likely, labels=labels),
        # Binary: of the second class, as scikit-learn has it. More classes: the sum over classes (Brier 1950).
        "brier": metrics.brier_score_loss(actual, likely[:, 1])
        if binary
        else float(np.mean(np.sum((likely - np.eye(len(labels))[actual]) ** 2, axis=1))),
    }


def _roc_auc(actual: Array, likely: Array, labels: Array, *, binary: bool) -> float:
    if len(np.unique(actual)) < len(labels):
        return float("nan")
    if binary:
        return float(metrics.roc_auc_score(actual, likely[:, 1]))
    return float(metrics.roc_auc_score(actual, likely, multi_class="ovr", labels=labels))


def _regression(source: Source, answers: Mapping[str, Array]) -> Callable[[Array], dict[str, float]]:
    truth, found = source.target, answers[VALUE].reshape(source.target.shape)

    def compute(rows: Array) -> dict[str, float]:
        actual, predicted = truth[rows], found[rows]
        return {
            "mae": float(metrics.mean_absolute_error(actual, predicted)),
            "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
            "r2": float(metrics.r2_score(actual, predicted)) if len(rows) > 1 else float("nan"),
        }

    return compute
