"""What a version promises are scikit-learn's own figures, each with an interval around it."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression

from sardonyx_exporter import SourceRefused, export
from sardonyx_exporter.evaluation import RESAMPLES_MAX, RESAMPLES_MIN, evaluate, holdout_digest
from sardonyx_exporter.source import PROBABILITIES, Source, read_source

if TYPE_CHECKING:
    from pathlib import Path

    from sklearn.pipeline import Pipeline

    from sardonyx.registry.v1.manifest_pb2 import Evaluation

Array = npt.NDArray[Any]
Frame = tuple[pd.DataFrame, "pd.Series[bool]"]


@pytest.fixture(scope="module")
def binary(pipeline: Pipeline, holdout: Frame) -> tuple[Source, Evaluation]:
    """A classifier of two classes and its evaluation."""
    source = read_source(pipeline, *holdout)
    return source, evaluate(source, source.answer(source.features))


@pytest.fixture(scope="module")
def multiclass(matrix: tuple[Array, Array]) -> tuple[Source, Evaluation]:
    """A classifier of three classes and its evaluation."""
    features, truth = matrix
    source = read_source(LogisticRegression().fit(features[:80], truth[:80]), features[80:], truth[80:])
    return source, evaluate(source, source.answer(source.features))


@pytest.fixture(scope="module")
def regression(matrix: tuple[Array, Array]) -> tuple[Source, Evaluation]:
    """A regressor and its evaluation."""
    features = matrix[0]
    truth = features[:, 0] + features[:, 1] ** 2
    source = read_source(LinearRegression().fit(features[:80], truth[:80]), features[80:], truth[80:])
    return source, evaluate(source, source.answer(source.features))


def _values(evaluation: Evaluation) -> dict[str, float]:
    return {metric.name: metric.value for metric in evaluation.metrics}


def test_two_classes(binary: tuple[Source, Evaluation]) -> None:
    """Every figure of two classes is scikit-learn's, of the second class where it needs one."""
    source, evaluation = binary
    truth, chosen = source.target, source.model.predict(source.features)
    likely = source.model.predict_proba(source.features)

    assert _values(evaluation) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, chosen),
            "f1": metrics.f1_score(truth, chosen),
            "roc_auc": metrics.roc_auc_score(truth, likely[:, 1]),
            "log_loss": metrics.log_loss(truth, likely),
            "brier": metrics.brier_score_loss(truth, likely[:, 1]),
        }
    )


def test_three_classes(multiclass: tuple[Source, Evaluation]) -> None:
    """Every figure of three classes is scikit-learn's, as a mean over the classes; Brier is the sum over them."""
    source, evaluation = multiclass
    truth, chosen = source.target, source.model.predict(source.features)
    likely = source.model.predict_proba(source.features)

    assert _values(evaluation) == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, chosen),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, chosen),
            "f1": metrics.f1_score(truth, chosen, average="macro"),
            "roc_auc": metrics.roc_auc_score(truth, likely, multi_class="ovr"),
            "log_loss": metrics.log_loss(truth, likely),
            "brier": np.mean([np.sum((likely[row] - np.eye(3)[actual]) ** 2) for row, actual in enumerate(truth)]),
        }
    )


def test_a_regressor(regression: tuple[Source, Evaluation]) -> None:
    """Every figure of a regressor is scikit-learn's."""
    source, evaluation = regression
    found = source.model.predict(source.features)

    assert _values(evaluation) == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(source.target, found),
            "rmse": metrics.root_mean_squared_error(source.target, found),
            "r2": metrics.r2_score(source.target, found),
        }
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_an_interval_contains_its_value(kind: str, request: pytest.FixtureRequest) -> None:
    """Each figure lies within its interval, which is not a point, at the confidence that is stated."""
    source, evaluation = request.getfixturevalue(kind)
    for metric in evaluation.metrics:
        assert metric.low <= metric.value <= metric.high
        assert metric.low < metric.high
        assert metric.confidence == 0.95
    assert RESAMPLES_MIN <= evaluation.resamples <= RESAMPLES_MAX
    assert evaluation.rows == source.rows


def test_an_interval_covers_as_often_as_it_says(binary: tuple[Source, Evaluation]) -> None:
    """The interval of accuracy is as wide as the binomial one, within what a bootstrap leaves."""
    source, evaluation = binary
    accuracy = evaluation.metrics[0]
    half_width = 1.96 * math.sqrt(accuracy.value * (1 - accuracy.value) / source.rows)

    assert accuracy.high - accuracy.low == pytest.approx(2 * half_width, rel=0.35)


def test_an_evaluation_twice_is_the_same(binary: tuple[Source, Evaluation]) -> None:
    """The resamples are drawn by a fixed seed."""
    source, evaluation = binary

    assert evaluate(source, source.answer(source.features)) == evaluation


def test_better_is_said(binary: tuple[Source, Evaluation], regression: tuple[Source, Evaluation]) -> None:
    """Whether more is better is kept with each figure."""
    both = [*binary[1].metrics, *regression[1].metrics]

    assert {metric.name for metric in both if not metric.higher_is_better} == {"log_loss", "brier", "mae", "rmse"}


@pytest.mark.usefixtures("few_resamples")
def test_the_primary_metric_is_the_first_or_the_authors(binary: tuple[Source, Evaluation]) -> None:
    """Accuracy is compared first unless the author says otherwise."""
    source, evaluation = binary
    answers = source.answer(source.features)

    assert evaluation.primary == "accuracy"
    assert evaluate(source, answers, "roc_auc").primary == "roc_auc"
    with pytest.raises(SourceRefused, match="Choose one of accuracy, balanced_accuracy, f1, roc_auc, log_loss, brier"):
        evaluate(source, answers, "auc")


@pytest.mark.usefixtures("few_resamples")
def test_probabilities_of_single_precision_are_evaluated(binary: tuple[Source, Evaluation]) -> None:
    """What single precision leaves beside 0 and 1 is no error and no other figure."""
    source, evaluation = binary
    answers = source.answer(source.features)
    answers[PROBABILITIES] = np.where(answers[PROBABILITIES] > 0.5, 1 + 1.2e-7, -1.2e-7)
    values = _values(evaluate(source, answers))

    assert values["accuracy"] == _values(evaluation)["accuracy"]
    assert 0 <= values["brier"] <= 1
    assert math.isfinite(values["log_loss"])


@pytest.mark.usefixtures("few_resamples")
def test_labels_of_text_are_evaluated(pipeline: Pipeline, train: Frame, holdout: Frame) -> None:
    """Classes by name give the figures of the same classes as booleans."""
    named = clone(pipeline).fit(train[0], np.where(train[1], "late", "at time"))
    source = read_source(named, holdout[0], np.where(holdout[1], "late", "at time"))
    plain = read_source(pipeline, *holdout)

    assert _values(evaluate(source, source.answer(source.features))) == pytest.approx(
        _values(evaluate(plain, plain.answer(plain.features)))
    )


@pytest.mark.usefixtures("few_resamples")
def test_a_hold_out_without_a_class_says_what_it_can(multiclass: tuple[Source, Evaluation]) -> None:
    """Where a class never came true, figures that need it are no number, and the others stand."""
    source, _ = multiclass
    kept = source.target < 2
    part = read_source(source.model, np.asarray(source.features)[kept], source.target[kept])
    values = _values(evaluate(part, part.answer(part.features)))

    assert math.isnan(values["roc_auc"])
    assert values["accuracy"] == metrics.accuracy_score(part.target, source.model.predict(part.features))
    assert all(math.isfinite(value) for name, value in values.items() if name != "roc_auc")


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("dtype", [str, object])
def test_a_truth_written_as_text_is_understood_or_refused(
    tmp_path: Path, pipeline: Pipeline, holdout: Frame, dtype: type
) -> None:
    """A target of 'True' and 'False' for boolean classes gives the right figures or a sentence, never a KeyError."""
    rows, truth = holdout
    expected = metrics.accuracy_score(truth, pipeline.predict(rows))
    text = truth.astype(str).to_numpy(dtype=dtype)
    with contextlib.suppress(SourceRefused):
        result = export(pipeline, name="flight-delay", holdout=(rows, text), registry=str(tmp_path))
        assert result.metrics["accuracy"] == expected
        for each in result.manifest.baseline.calibration:
            assert each.observed_rate <= 1


def test_a_digest_names_the_rows(pipeline: Pipeline, holdout: Frame) -> None:
    """Equal rows have one digest, and any other row, order or truth another."""
    rows, truth = holdout
    changed = rows.copy()
    changed.loc[7, "carrier"] = "ZZ"
    others = [(changed, truth), (rows.iloc[::-1], truth.iloc[::-1]), (rows, ~truth), (rows.iloc[1:], truth.iloc[1:])]
    digest = holdout_digest(read_source(pipeline, rows, truth))

    assert holdout_digest(read_source(pipeline, rows.copy(), truth.copy())) == digest
    assert len({digest, *(holdout_digest(read_source(pipeline, *other)) for other in others)}) == 5
