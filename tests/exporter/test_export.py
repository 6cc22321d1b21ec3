"""An export publishes a graph that answers as the source model does, or refuses with a sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from sardonyx.errors import InvalidInput, RegistryError
from sardonyx.interface import dtype_of
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest, Tolerance
from sardonyx.verdict import Kind
from sardonyx_exporter import ConversionFailed, ExportRefused, ParityFailed, SourceRefused, export, promote
from sardonyx_exporter.convert import float32_step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Array = npt.NDArray[Any]
Frame = tuple[pd.DataFrame, "pd.Series[Any]"]
Data = pd.DataFrame | Array


pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture
def registry(tmp_path: Path) -> str:
    """Where versions go; it does not exist yet."""
    return str(tmp_path / "registry")


def _ask(registry: str, manifest: Manifest, rows: Data) -> dict[str, Array]:
    """What the published graph says, fed by the manifest alone, as a server in any language would."""
    session = ort.InferenceSession(Registry(registry).blob(manifest.artifact), providers=["CPUExecutionProvider"])
    feed = {}
    for tensor, binding in zip(manifest.interface.inputs, manifest.graph.inputs, strict=True):
        assert binding.name == tensor.name
        values = rows[tensor.name].to_numpy() if isinstance(rows, pd.DataFrame) else rows
        sent = values.astype(dtype_of(tensor.datatype)).astype(dtype_of(binding.datatype or tensor.datatype))
        feed[binding.tensor] = sent.reshape(len(rows), -1)
    answers = session.run([binding.tensor for binding in manifest.graph.outputs], feed)
    return {
        output.name: np.asarray(answer).reshape((len(rows), output.width) if output.width else len(rows))
        for output, answer in zip(manifest.interface.outputs, answers, strict=True)
    }


def _assert_same_answers(registry: str, manifest: Manifest, model: Any, rows: Data) -> None:
    answers = _ask(registry, manifest, rows)
    expected = model.predict(rows)
    if "value" in answers:
        np.testing.assert_allclose(answers["value"].reshape(expected.shape), expected, rtol=1e-4, atol=1e-4)
        return
    label = next(output for output in manifest.interface.outputs if output.name == "label")
    assert answers["label"].astype(dtype_of(label.datatype)).tolist() == expected.tolist()
    if "probabilities" in answers:
        np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-4)


# ------------------------------------------------------------------------------------------------------------- answers


def _classes(kind: str, late: pd.Series[Any], frame: pd.DataFrame) -> Any:
    match kind:
        case "text":
            return np.where(late, "late", "on time")
        case "three integers":
            return np.digitize(frame["distance"], [-0.5, 0.5]) * 10
        case "three texts":
            return np.array(["far", "middle", "near"])[np.digitize(frame["distance"], [-0.5, 0.5])]
        case _:
            return late


@pytest.mark.parametrize("kind", ["bool", "text", "three integers", "three texts"])
@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(10, random_state=0)], ids=str)
def test_a_pipeline_over_numbers_and_texts_answers_alike(
    registry: str, pipeline: Pipeline, train: Frame, holdout: Frame, estimator: Any, kind: str
) -> None:
    """The published graph gives the source model's classes and probabilities on rows that it never saw."""
    frame, late = train
    model = make_pipeline(clone(pipeline[0]), clone(estimator)).fit(frame, _classes(kind, late, frame))
    rows, truth = holdout
    result = export(model, name="flight-delay", holdout=(rows, _classes(kind, truth, rows)), registry=registry)

    _assert_same_answers(registry, result.manifest, model, rows)
    assert list(result.manifest.interface.outputs[0].classes) == [str(each) for each in model.classes_.tolist()]
    assert result.manifest.parity.holdout_rows == len(rows)


@pytest.mark.parametrize(
    ("kind", "datatype"),
    [("bool", pb.DATATYPE_BOOL), ("text", pb.DATATYPE_BYTES), ("three integers", pb.DATATYPE_INT64)],
)
def test_a_class_has_the_type_that_the_model_gives_it(
    registry: str, pipeline: Pipeline, train: Frame, holdout: Frame, kind: str, datatype: int
) -> None:
    """Booleans, texts and integers reach callers as what they are, with one probability a class."""
    frame, late = train
    model = clone(pipeline).fit(frame, _classes(kind, late, frame))
    rows, truth = holdout
    result = export(model, name="flight-delay", holdout=(rows, _classes(kind, truth, rows)), registry=registry)
    label, probabilities = result.manifest.interface.outputs

    assert (label.name, label.datatype, label.width) == ("label", datatype, 0)
    assert (probabilities.name, probabilities.datatype) == ("probabilities", pb.DATATYPE_FP64)
    assert probabilities.width == len(label.classes) == len(model.classes_)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["double", "single"])
def test_a_plain_array_answers_alike(registry: str, matrix: tuple[Array, Array], dtype: type[np.floating[Any]]) -> None:
    """A model on an array has one input, the matrix of all columns, of the array's own type."""
    features, truth = matrix[0].astype(dtype), matrix[1]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features[:100], truth[:100])
    result = export(model, name="iris", holdout=(features[100:], truth[100:]), registry=registry)
    (features_input,) = result.manifest.interface.inputs

    assert (features_input.name, features_input.width) == ("features", 4)
    assert dtype_of(features_input.datatype) == np.dtype(dtype)
    _assert_same_answers(registry, result.manifest, model, features[100:])


@pytest.mark.parametrize(
    "estimator",
    [LinearRegression(), RandomForestRegressor(10, random_state=0), GradientBoostingRegressor(n_estimators=20)],
    ids=lambda model: type(model).__name__,
)
def test_a_regressor_answers_alike(
    registry: str, pipeline: Pipeline, train: Frame, holdout: Frame, estimator: Any
) -> None:
    """A regressor has one output, the value, and the graph gives the source model's."""
    model = make_pipeline(clone(pipeline[0]), clone(estimator)).fit(train[0], train[0]["distance"] * 30 + train[1])
    rows = holdout[0]
    result = export(model, name="arr-delay", holdout=(rows, rows["distance"] * 30 + holdout[1]), registry=registry)

    assert [output.name for output in result.manifest.interface.outputs] == ["value"]
    assert set(result.metrics) == {"mae", "rmse", "r2"}
    _assert_same_answers(registry, result.manifest, model, rows)


def test_a_regressor_of_two_values_answers_alike(registry: str, matrix: tuple[Array, Array]) -> None:
    """Two targets are one output of two columns."""
    features = matrix[0]
    truth = features[:, :2] * [2.0, 3.0] + 1
    model = LinearRegression().fit(features[:100], truth[:100])
    result = export(model, name="two", holdout=(features[100:], truth[100:]), registry=registry)

    assert result.manifest.interface.outputs[0].width == 2
    _assert_same_answers(registry, result.manifest, model, features[100:])


def test_each_of_two_values_is_held_to_its_own_spread(registry: str) -> None:
    """A graph that is wrong by the whole spread of one value is not taken for right beside a value of millions."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"kind": random.choice([5, 2**24], 300), "x": random.normal(size=300)})
    truth = np.c_[rows["x"] * 1e6, np.where(rows["kind"] == 5, 0.03, 0.0)]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    prepare = make_column_transformer((encoder, ["kind"]), remainder="passthrough")
    model = make_pipeline(prepare, LinearRegression()).fit(rows, truth)
    # In single precision the next number is the same category.
    unseen = rows.assign(kind=rows["kind"] + (rows["kind"] > 5))
    with pytest.raises(ParityFailed, match="hold-out rows differently"):
        export(model, name="two", holdout=(unseen, truth), registry=registry)


def test_a_classifier_without_probabilities_answers_alike(registry: str, matrix: tuple[Array, Array]) -> None:
    """A model that has no predict_proba is exported with its label alone."""
    features, truth = matrix
    model = LinearSVC().fit(features[:100], truth[:100])
    result = export(model, name="svc", holdout=(features[100:], truth[100:]), registry=registry)

    assert [output.name for output in result.manifest.interface.outputs] == ["label"]
    assert "roc_auc" not in result.metrics
    _assert_same_answers(registry, result.manifest, model, features[100:])


def test_a_search_is_exported_as_what_it_found(registry: str, pipeline: Pipeline, train: Frame, holdout: Frame) -> None:
    """A fitted grid search answers as its best estimator does."""
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2).fit(*train)
    result = export(search, name="flight-delay", holdout=holdout, registry=registry)

    _assert_same_answers(registry, result.manifest, search, holdout[0])


def test_a_frame_without_a_column_transformer_answers_alike(registry: str, train: Frame, holdout: Frame) -> None:
    """A model that was fitted on a frame of numbers has one input a column."""
    columns = ["distance", "hour"]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(train[0][columns], train[1])
    result = export(model, name="flight-delay", holdout=(holdout[0][columns], holdout[1]), registry=registry)

    assert [tensor.name for tensor in result.manifest.interface.inputs] == columns
    _assert_same_answers(registry, result.manifest, model, holdout[0][columns])


def test_columns_are_found_by_name(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """A hold-out in another order with a column too many gives the same version as one in the right order."""
    rows, truth = holdout
    mixed = rows.assign(tailnum="N1")[["carrier", "tailnum", "hour", "distance"]]
    first = export(pipeline, name="flight-delay", holdout=holdout, registry=registry)
    second = export(pipeline, name="flight-delay", holdout=(mixed, truth), registry=registry)

    assert second.verdict.kind is Kind.RETRAIN
    assert second.manifest.artifact == first.manifest.artifact
    assert second.manifest.evaluation.holdout_digest == first.manifest.evaluation.holdout_digest


def test_column_names_that_onnx_renames_stay_the_callers(registry: str, train: Frame, holdout: Frame) -> None:
    """Names with spaces, dashes and other letters reach callers as they are."""
    names = {"distance": "distance (mi)", "hour": "sched-hour", "carrier": "Fluggesellschaft ü"}
    prepare = make_column_transformer(
        (StandardScaler(), ["distance (mi)", "sched-hour"]),
        (OneHotEncoder(handle_unknown="ignore"), ["Fluggesellschaft ü"]),
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(train[0].rename(columns=names), train[1])
    rows = holdout[0].rename(columns=names)
    result = export(model, name="flight-delay", holdout=(rows, holdout[1]), registry=registry)

    assert [tensor.name for tensor in result.manifest.interface.inputs] == list(names.values())
    _assert_same_answers(registry, result.manifest, model, rows)


def test_categorical_columns_are_texts(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """A column of pandas' categories is sent as text."""
    rows = holdout[0].astype({"carrier": "category"})
    result = export(pipeline, name="flight-delay", holdout=(rows, holdout[1]), registry=registry)

    assert result.manifest.interface.inputs[2].datatype == pb.DATATYPE_BYTES


# ------------------------------------------------------------------------------------------------- what is kept of it


def test_a_version_is_whole(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """The manifest holds the interface, parity, golden rows, evaluation, baseline and lineage, and who made it."""
    result = export(
        pipeline,
        name="flight-delay",
        holdout=holdout,
        registry=registry,
        author="ada",
        description="late by 15 minutes",
        training_data="January",
    )
    manifest = Registry(registry).manifest("flight-delay", 1)

    assert manifest == result.manifest
    assert (manifest.author, manifest.description) == ("ada", "late by 15 minutes")
    assert (manifest.lineage.training_data, bool(manifest.lineage.environment["scikit-learn"])) == ("January", True)
    assert manifest.lineage.source_model.startswith("Pipeline(")
    assert (len(manifest.golden.inputs), len(manifest.golden.outputs)) == (3, 2)
    assert {distribution.name for distribution in manifest.baseline.inputs} == {"distance", "hour", "carrier"}
    assert manifest.interface_digest
    assert manifest.interface_major == 1


def test_golden_rows_hold_the_source_models_answers(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """Golden rows are inputs with what the source model itself says, edge rows among them."""
    golden = export(pipeline, name="flight-delay", holdout=holdout, registry=registry).manifest.golden
    columns = {column.name: column for column in golden.inputs}
    rows = pd.DataFrame(
        {
            "distance": list(columns["distance"].doubles.values),
            "hour": list(columns["hour"].integers.values),
            "carrier": list(columns["carrier"].texts.values),
        }
    )
    outputs = {column.name: column for column in golden.outputs}

    assert not set(rows["carrier"]) <= set(holdout[0]["carrier"])
    assert list(outputs["label"].booleans.values) == pipeline.predict(rows).tolist()
    np.testing.assert_allclose(outputs["probabilities"].doubles.values, pipeline.predict_proba(rows).ravel())


def test_baseline_counts_every_row(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """Every distribution accounts for all rows of the hold-out."""
    baseline = export(pipeline, name="flight-delay", holdout=holdout, registry=registry).manifest.baseline
    for distribution in [*baseline.inputs, *baseline.outputs]:
        counts = distribution.numeric.counts or distribution.categories.counts
        assert sum(counts) + distribution.missing + distribution.categories.other == len(holdout[0])
    carriers = next(each for each in baseline.inputs if each.name == "carrier").categories

    assert dict(zip(carriers.values, carriers.counts, strict=True)) == holdout[0]["carrier"].value_counts().to_dict()


def test_a_number_called_label_is_a_number_in_the_baseline(registry: str, matrix: tuple[Array, Array]) -> None:
    """Only the output of that name holds classes, which are counted one by one, numbers or not."""
    features, truth = matrix
    rows = pd.DataFrame(features[:, :2], columns=["label", "x"])
    model = LogisticRegression().fit(rows, truth)
    baseline = export(model, name="label", holdout=(rows, truth), registry=registry).manifest.baseline

    assert [each.WhichOneof("shape") for each in baseline.inputs] == ["numeric", "numeric"]
    assert baseline.outputs[0].WhichOneof("shape") == "categories"
    assert sorted(baseline.outputs[0].categories.values) == ["0", "1", "2"]


def test_the_same_export_twice_is_the_same_graph(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """A second export is a second version with the same bytes, metrics and interface."""
    first, second = (export(pipeline, name="flight-delay", holdout=holdout, registry=registry) for _ in range(2))

    assert (first.version, second.version) == (1, 2)
    assert first.manifest.artifact == second.manifest.artifact
    assert first.manifest.evaluation == second.manifest.evaluation
    assert (first.verdict.kind, second.verdict.kind) == (Kind.FIRST, Kind.RETRAIN)


def test_an_exported_version_serves_nobody(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """An export moves no route."""
    export(pipeline, name="flight-delay", holdout=holdout, registry=registry)

    assert Registry(registry).routes("flight-delay").live_versions == ()


def test_a_changed_interface_is_the_next_generation(
    registry: str, pipeline: Pipeline, train: Frame, holdout: Frame
) -> None:
    """A version with other inputs becomes v2, says what differs, and the old interface's next version stays v1."""
    columns = ["distance", "hour"]
    narrow = make_pipeline(StandardScaler(), LogisticRegression()).fit(train[0][columns], train[1])
    export(pipeline, name="flight-delay", holdout=holdout, registry=registry)
    promote("flight-delay", 1, registry=registry)
    second = export(narrow, name="flight-delay", holdout=(holdout[0][columns], holdout[1]), registry=registry)
    third = export(pipeline, name="flight-delay", holdout=holdout, registry=registry)
    fourth = export(narrow, name="flight-delay", holdout=(holdout[0][columns], holdout[1]), registry=registry)

    majors = [result.manifest.interface_major for result in (second, third, fourth)]
    assert (majors, second.verdict.kind) == ([2, 1, 2], Kind.BREAKING)
    assert [reason.rule for reason in second.verdict.reasons] == ["INPUT_REMOVED"]
    assert "breaks: input 'carrier' is gone (INPUT_REMOVED). Calls that send it are refused." in str(second)
    assert (fourth.verdict.kind, fourth.manifest.verdict.version) == (Kind.RETRAIN, 2)


def test_a_result_reads_well_in_a_notebook(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """Printed, a result says model, version, parity and every metric with its interval."""
    text = str(export(pipeline, name="flight-delay", holdout=holdout, registry=registry))

    assert text.startswith("flight-delay version 1 (interface v1, first)\n")
    assert re.search(r"parity: 120 rows, at most \d\.\de-\d\d apart", text)
    assert re.search(r"accuracy: 0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]", text)


def test_progress_is_told(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """Whoever waits is told of each step, and publishing is the last."""
    steps: list[str] = []

    def note(step: str) -> None:
        steps.append(step)

    export(pipeline, name="flight-delay", holdout=holdout, registry=registry, progress=note)

    assert len(steps) > 3
    assert steps[-1] == "publishing"


# ------------------------------------------------------------------------------------------------------------ policies


def _policy(manifest: Manifest, name: str) -> pb.Input:
    return next(tensor for tensor in manifest.interface.inputs if tensor.name == name)


def test_missing_values_are_refused_where_the_model_refuses_them(
    registry: str, pipeline: Pipeline, holdout: Frame
) -> None:
    """LogisticRegression raises on NaN: so the interface refuses it."""
    manifest = export(pipeline, name="flight-delay", holdout=holdout, registry=registry).manifest

    assert _policy(manifest, "distance").missing == pb.MISSING_POLICY_REFUSED


def test_missing_values_are_allowed_where_the_model_knows_them(registry: str, train: Frame, holdout: Frame) -> None:
    """Behind an imputer NaN is a value, in the interface, in the golden rows and in the graph."""
    prepare = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["distance", "hour"]),
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(*train)
    manifest = export(model, name="flight-delay", holdout=holdout, registry=registry).manifest
    rows = holdout[0].assign(distance=np.nan)

    assert _policy(manifest, "distance").missing == pb.MISSING_POLICY_ALLOWED
    assert np.isnan(manifest.golden.inputs[0].doubles.values).any()
    _assert_same_answers(registry, manifest, model, rows)


def test_missing_values_are_refused_that_are_answered_otherwise_together(
    registry: str, train: Frame, holdout: Frame
) -> None:
    """A graph that answers each missing value, and fails where a row misses several, is spared all of them."""
    columns = ["distance", "other"]
    rows, others = (each[0].assign(other=each[0]["distance"] ** 2)[columns] for each in (train, holdout))
    model = make_pipeline(KNNImputer(), LogisticRegression()).fit(rows, train[1])
    result = export(model, name="flight-delay", holdout=(others, holdout[1]), registry=registry)

    assert {tensor.missing for tensor in result.manifest.interface.inputs} == {pb.MISSING_POLICY_REFUSED}
    assert result.notes == (
        "distance, other: the ONNX form answers several missing values of a row otherwise: they are refused.",
    )
    assert not any(np.isnan(column.doubles.values).any() for column in result.manifest.golden.inputs)


def test_missing_values_are_refused_where_few_rows_tell(registry: str) -> None:
    """An input that a tree looks at in one row of twenty is asked about in more than a few."""
    random = np.random.default_rng(17)
    rows = pd.DataFrame({name: random.normal(size=1000) for name in "abc"})
    truth = (rows["a"] > 0) & ~((rows["a"] > 1.5) & (rows["c"] > 0))
    model = DecisionTreeClassifier(max_depth=3, random_state=17).fit(rows[:500], truth[:500])
    manifest = export(model, name="rare", holdout=(rows[500:], truth[500:]), registry=registry).manifest

    assert _policy(manifest, "c").missing == pb.MISSING_POLICY_REFUSED


@pytest.mark.parametrize(
    ("handle", "policy", "categories"),
    [
        ("ignore", pb.UNKNOWN_CATEGORY_POLICY_ALLOWED, []),
        ("error", pb.UNKNOWN_CATEGORY_POLICY_REFUSED, ["AA", "B6", "UA"]),
    ],
)
def test_unknown_categories_follow_the_model(
    registry: str, train: Frame, holdout: Frame, handle: str, policy: int, categories: list[str]
) -> None:
    """What the encoder ignores is allowed; what it refuses is refused, and the interface lists what it knows."""
    prepare = make_column_transformer(
        (StandardScaler(), ["distance", "hour"]), (OneHotEncoder(handle_unknown=handle), ["carrier"])
    )
    model = make_pipeline(prepare, LogisticRegression()).fit(*train)
    carrier = _policy(export(model, name="flight-delay", holdout=holdout, registry=registry).manifest, "carrier")

    assert (carrier.unknown_category, list(carrier.categories)) == (policy, categories)


# ------------------------------------------------------------------------------------------------------------ refusals


class Coin(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that no converter has heard of."""

    def fit(self, features: Any, target: Any) -> Coin:
        """Learn nothing."""
        self.classes_ = np.unique(target)
        self.n_features_in_ = np.shape(features)[1]
        return self

    def predict(self, features: Any) -> Array:
        """Always the first class."""
        return np.full(len(features), self.classes_[0])


def _boosted(train: Frame) -> Any:
    """A model whose ONNX form differs: it compares in double precision, right at values that single precision lacks."""
    frame = train[0][["distance"]] + 1e7
    return HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=2).fit(frame, train[1])


def _is_empty(registry: str) -> bool:
    try:
        return not Registry(registry).models()
    except RegistryError:
        return True


def test_other_answers_are_refused_with_the_worst_rows(registry: str, train: Frame) -> None:
    """A graph beyond the tolerance is not published; the message counts the rows, shows the worst, and advises."""
    rows = train[0][["distance"]] + 1e7
    with pytest.raises(ParityFailed, match="hold-out rows differently") as caught:
        export(_boosted(train), name="flight-delay", holdout=(rows, train[1]), registry=registry)
    message, worst = caught.value.message, caught.value.worst
    distances = [row.absolute_difference for row in worst]

    assert 1 <= len(worst) <= 5
    assert distances == sorted(distances, reverse=True)
    assert all(f"row {row.row}: {row.output} is {row.source} by the model, {row.converted}" in message for row in worst)
    assert "float32_step()" in message
    assert _is_empty(registry)


def _on_steps(estimator: Any) -> tuple[Any, Frame]:
    """A model fitted on numbers in steps of 0.2, and a hold-out in the same steps."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame({name: np.round(random.integers(0, 25, 600) * 0.2, 1) for name in ("a", "b", "c")})
    truth = rows["a"] + rows["b"] / 2 + random.normal(size=600) > 4
    return estimator.fit(rows[:400], truth[:400]), (rows[400:], truth[400:])


def test_numbers_between_those_of_the_hold_out_are_compared(registry: str) -> None:
    """A graph that is right where the hold-out is, and wrong at numbers in between, is not published."""
    model, holdout = _on_steps(HistGradientBoostingClassifier(max_iter=30))
    with pytest.raises(ParityFailed, match="rows with numbers between those of the hold-out differently") as caught:
        export(model, name="steps", holdout=holdout, registry=registry)
    assert "float32_step()" in caught.value.message
    assert _is_empty(registry)

    model, holdout = _on_steps(make_pipeline(float32_step(), HistGradientBoostingClassifier(max_iter=30)))
    manifest = export(model, name="steps", holdout=holdout, registry=registry).manifest
    _assert_same_answers(registry, manifest, model, (holdout[0] + 0.1).round(1))


@pytest.mark.parametrize(
    ("encoder", "numbers"),
    [
        (OneHotEncoder(handle_unknown="ignore"), [0.0, 6.0, 12.0, 18.0]),
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [5, 2**24]),
        (OneHotEncoder(handle_unknown="ignore"), [5, 2**60]),
    ],
)
def test_a_number_that_is_no_category_is_not_taken_for_one(registry: str, encoder: Any, numbers: list[Any]) -> None:
    """A graph that rounds a number to a category that the model does not see there is not published."""
    rows = pd.DataFrame({"kind": numbers * 30, "x": np.random.default_rng(0).normal(size=len(numbers) * 30)})
    truth = (rows["kind"] == numbers[0]) ^ (rows["x"] > 1)
    prepare = make_column_transformer((encoder, ["kind"]), remainder="passthrough")
    model = make_pipeline(prepare, LogisticRegression()).fit(rows, truth)
    with pytest.raises(
        ParityFailed, match=r"between those of the hold-out differently(.|\n)*Numbers that are categories"
    ):
        export(model, name="kinds", holdout=(rows, truth), registry=registry)
    assert _is_empty(registry)


def test_the_advice_helps(registry: str, train: Frame) -> None:
    """What the refusal advises, a cast in front of the boosted trees, makes the export succeed."""
    rows = train[0][["distance"]]
    model = make_pipeline(float32_step(), HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=2))
    model.fit(rows, train[1])
    result = export(model, name="flight-delay", holdout=(rows, train[1]), registry=registry)

    _assert_same_answers(registry, result.manifest, model, rows)
    # A threshold is half-way between two numbers that were learned, and may be none of single precision.
    ordered = np.sort(rows["distance"].to_numpy())
    half_way = pd.DataFrame({"distance": (ordered[1:] + ordered[:-1]) / 2})
    _assert_same_answers(registry, result.manifest, model, half_way)


def test_a_tolerance_of_zero_is_kept(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """The author's tolerance counts, and the report says how far apart the answers were."""
    tight = Tolerance(absolute=1e-300)
    with pytest.raises(ParityFailed) as caught:
        export(pipeline, name="flight-delay", holdout=holdout, registry=registry, tolerance=tight)
    assert caught.value.worst
    loose = Tolerance(absolute=0.5)
    result = export(pipeline, name="flight-delay", holdout=holdout, registry=registry, tolerance=loose)

    assert result.manifest.parity.tolerance == result.manifest.golden.tolerance == loose


Case = tuple[Any, tuple[Any, Any]]


def _refused(case: str, pipeline: Pipeline, train: Frame, holdout: Frame) -> Case:
    rows, truth = holdout
    numbers = rows[["distance", "hour"]].to_numpy(dtype=float)
    plain = LogisticRegression().fit(numbers, truth)
    cases: dict[str, Callable[[], Case]] = {
        "not fitted": lambda: (clone(pipeline), holdout),
        "no estimator": lambda: ({"a": 1}, holdout),
        "no predict": lambda: (pipeline[0], holdout),
        "a class": lambda: (LogisticRegression, holdout),
        "clusterer": lambda: (KMeans(2).fit(numbers), (numbers, truth)),
        "no rows": lambda: (pipeline, (rows.iloc[:0], truth.iloc[:0])),
        "targets fewer": lambda: (pipeline, (rows, truth.iloc[:-1])),
        "target missing": lambda: (pipeline, (rows, truth.astype(object).where(np.arange(len(truth)) != 3, None))),
        "column missing": lambda: (pipeline, (rows.drop(columns=["hour", "carrier"]), truth)),
        "text missing": lambda: (pipeline, (rows.assign(carrier=rows["carrier"].where(rows.index != 4, None)), truth)),
        "one class": lambda: (pipeline, (rows, np.ones(len(rows), dtype=bool))),
        "unknown class": lambda: (pipeline, (rows, ["perhaps", *["True"] * (len(rows) - 1)])),
        "float classes": lambda: (
            LogisticRegression().fit(numbers, truth.astype(float)),
            (numbers, truth.astype(float)),
        ),
        "several labels": lambda: (
            MultiOutputClassifier(LogisticRegression()).fit(numbers, np.c_[truth, truth]),
            (numbers, np.c_[truth, truth]),
        ),
        "text truth of a regressor": lambda: (LinearRegression().fit(numbers, truth), (numbers, truth.astype(str))),
        "one dimension": lambda: (plain, (numbers[:, 0], truth)),
        "no columns": lambda: (plain, (numbers[:, :0], truth)),
        "width": lambda: (plain, (numbers[:, :1], truth)),
        "dates": lambda: (pipeline, (rows.assign(hour=pd.Timestamp("2013-04-01")), truth)),
        "complex": lambda: (plain, (numbers.astype(complex), truth)),
        "a row with a gap": lambda: (pipeline, (rows.assign(distance=rows["distance"].where(rows.index != 50)), truth)),
        "beyond any integer": lambda: (plain, (numbers.astype(np.uint64) + np.uint64(2**63), truth)),
        "same name twice": lambda: (pipeline, (rows.assign(x=1).rename(columns={"x": "hour"}), truth)),
        "number as name": lambda: (
            LogisticRegression().fit(numbers, truth),
            (pd.DataFrame(numbers, columns=[0, 1]), truth),
        ),
        "pandas integers": lambda: (pipeline, (rows.astype({"hour": "Int64"}), truth)),
    }
    return cases[case]()


REFUSED = [
    ("not fitted", "The model is not fitted. Call fit() first."),
    ("no estimator", "dict has no predict()"),
    ("no predict", "ColumnTransformer has no predict(). Give a fitted estimator or pipeline."),
    ("a class", "is a class, not an instance"),
    ("clusterer", "KMeans is neither a classifier nor a regressor"),
    ("no rows", "The hold-out has no rows. Give the rows that were held out."),
    ("targets fewer", "The hold-out has 120 rows and 119 targets. Give one target a row."),
    ("target missing", "The target is missing in 1 rows, first in row 3. Remove them."),
    ("column missing", "The hold-out lacks 'hour', 'carrier', which the model was fitted on. Add them."),
    ("text missing", "Column 'carrier' is text, but row 4 holds "),
    ("one class", "holds one class only"),
    ("unknown class", "holds perhaps, and the model's classes are"),
    ("float classes", "Fit the model on text, integers or booleans."),
    ("several labels", "predicts several labels at once. Export one model for each label."),
    ("text truth of a regressor", "a regressor's truth is numbers. Convert it."),
    ("one dimension", "has shape [120]. Give one of shape [rows, columns]."),
    ("no columns", "has shape [120, 0]. Give one of shape [rows, columns]."),
    ("width", "The model does not predict the hold-out's rows"),
    ("dates", "Column 'hour' has type datetime64"),
    ("complex", "has type complex128, which no caller can send"),
    ("a row with a gap", "The model refuses some of the hold-out's rows: ValueError: Input X contains NaN"),
    ("beyond any integer", "The hold-out array has a number beyond 2^63, which no caller can send."),
    ("same name twice", "several columns named ['hour']. Rename them."),
    ("number as name", "a column named 0. Callers need names that are text: rename it."),
    ("pandas integers", "Column 'hour' has pandas' own type Int64. Convert it"),
]


@pytest.mark.parametrize(("case", "said"), REFUSED, ids=[case for case, _ in REFUSED])
def test_a_refusal_says_what_to_do(
    registry: str, pipeline: Pipeline, train: Frame, holdout: Frame, case: str, said: str
) -> None:
    """What cannot be exported is refused in whole sentences, and nothing is published."""
    model, data = _refused(case, pipeline, train, holdout)
    with pytest.raises(SourceRefused, match=re.escape(said)):
        export(model, name="flight-delay", holdout=data, registry=registry)
    assert _is_empty(registry)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Coin, "The model has no ONNX form."),
        (lambda: make_pipeline(FunctionTransformer(np.sin), DecisionTreeClassifier()), "The model has no ONNX form."),
    ],
    ids=["custom", "function"],
)
def test_a_model_without_an_onnx_form_is_refused(
    registry: str, matrix: tuple[Array, Array], make: Callable[[], Any], said: str
) -> None:
    """What the converter does not know is a clear sentence with what was tried, and no traceback of its own."""
    with pytest.raises(ConversionFailed, match=said) as caught:
        export(make().fit(*matrix), name="coin", holdout=matrix, registry=registry)
    assert "Tried: double: " in caught.value.message
    assert isinstance(caught.value, ExportRefused)
    assert _is_empty(registry)


@pytest.mark.parametrize("wrap", [lambda forest: forest, lambda forest: VotingClassifier([("forest", forest)])])
def test_a_forest_that_learned_from_missing_values_is_refused(
    registry: str, matrix: tuple[Array, Array], wrap: Callable[[Any], Any]
) -> None:
    """Trees that tell a missing value from every number are refused, where their conversion would never end."""
    features, truth = matrix
    # Whether the value is there says all.
    told = np.where(truth[:, None] == 0, np.nan, features)
    model = wrap(RandomForestClassifier(3, random_state=0)).fit(told, truth)
    with pytest.raises(ConversionFailed, match="Put a SimpleImputer before them and fit again"):
        export(model, name="forest", holdout=(features, truth), registry=registry)
    assert _is_empty(registry)


def test_a_bad_name_is_refused_before_anything_runs(registry: str, holdout: Frame) -> None:
    """The name is checked first: not even the model is looked at."""
    with pytest.raises(InvalidInput, match="'Flight Delay' is no model name"):
        export(None, name="Flight Delay", holdout=holdout, registry=registry)
    assert _is_empty(registry)


def test_an_unknown_metric_names_those_there_are(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """A primary metric that the task does not have is refused with a choice."""
    with pytest.raises(SourceRefused, match=r"no metric 'mae' for this model\. Choose one of accuracy, balanced"):
        export(pipeline, name="flight-delay", holdout=holdout, registry=registry, primary_metric="mae")
    assert _is_empty(registry)


def test_a_registry_that_cannot_be_written_is_said(tmp_path: Path, pipeline: Pipeline, holdout: Frame) -> None:
    """A file where the registry should be is a RegistryError."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError):
        export(pipeline, name="flight-delay", holdout=holdout, registry=str(tmp_path / "file"))


def test_a_hold_out_of_one_row_of_a_regressor_is_exported(registry: str, matrix: tuple[Array, Array]) -> None:
    """The smallest hold-out gives a version all the same."""
    features = matrix[0]
    model = LinearRegression().fit(features, features[:, 0])
    result = export(model, name="one", holdout=(features[:1], features[:1, 0]), registry=registry)

    assert result.manifest.parity.holdout_rows == 1


def test_model_and_hold_out_are_left_as_they_were(registry: str, pipeline: Pipeline, holdout: Frame) -> None:
    """An export changes neither the model's steps nor the author's frame."""
    rows, truth = holdout[0].copy(), holdout[1].copy()
    steps = list(pipeline.steps)
    export(pipeline, name="flight-delay", holdout=(rows, truth), registry=registry)

    assert pipeline.steps == steps
    pd.testing.assert_frame_equal(rows, holdout[0])
    pd.testing.assert_series_equal(truth, holdout[1])


@pytest.mark.parametrize(
    ("holdout", "said"),
    [
        (None, "must be a pair: holdout=(features, target)"),
        (([[1.0]], [1.0], [1.0]), "must be a pair"),
        (({"hour": [1]}, [1]), "The hold-out is a dict. Give a DataFrame"),
        ((csr_matrix(np.eye(3)), [1.0, 2.0, 3.0]), "The hold-out is a csr_matrix. Give a DataFrame, or a dense array"),
        ((np.eye(3), None), "The target is a NoneType. Give one value a row"),
    ],
)
def test_a_holdout_of_no_shape_is_refused(registry: str, holdout: Any, said: str) -> None:
    """Whatever is given as a hold-out, the answer is a sentence."""
    with pytest.raises(SourceRefused, match=re.escape(said)):
        export(LinearRegression().fit(np.eye(3), [1.0, 2.0, 3.0]), name="odd", holdout=holdout, registry=registry)


@pytest.mark.parametrize("make", [SVC, LinearSVC, RidgeClassifier, Perceptron])
@pytest.mark.parametrize("classes", [["no", "yes"], ["a", "b", "c"], [0, 1, 2], [False, True]])
def test_every_classifier_of_labels_alone_answers_alike(
    registry: str, matrix: tuple[Array, Array], make: Callable[[], Any], classes: list[Any]
) -> None:
    """Classifiers without probabilities, in a pipeline, with classes of any type and number."""
    features = matrix[0]
    truth = np.array(classes)[np.digitize(features[:, 0], np.quantile(features[:, 0], [0.4, 0.7])[: len(classes) - 1])]
    model = make_pipeline(StandardScaler(), make()).fit(features, truth)
    result = export(model, name="labels", holdout=(features, truth), registry=registry)
    assert [output.name for output in result.manifest.interface.outputs] == ["label"]
    _assert_same_answers(registry, result.manifest, model, features)


def test_a_number_that_is_a_category_must_not_be_refused(registry: str) -> None:
    """A model that takes some numbers and no others is not registered: its callers could not know which."""
    hours = pd.DataFrame({"hour": [0, 6, 12, 18] * 10})
    late = hours["hour"] > 6
    strict = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(hours, late)
    with pytest.raises(SourceRefused, match=r"refuses a number in 'hour' that it has not seen, such as 19"):
        export(strict, name="hours", holdout=(hours, late), registry=registry)
    lenient = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression()).fit(hours, late)
    assert export(lenient, name="hours", holdout=(hours, late), registry=registry).version == 1


def test_notebook_habits_are_understood(tmp_path: Path) -> None:
    """A Path as registry, a frame of one column as truth, and a plain number as tolerance."""
    frame = pd.DataFrame({"x": np.arange(40.0)})
    truth = frame[["x"]] * 2
    model = LinearRegression().fit(frame, truth)
    result = export(model, name="line", holdout=(frame, truth), registry=tmp_path, tolerance=1e-6)
    assert result.manifest.parity.tolerance.absolute == 1e-6


def test_words_are_read_in_a_locale_that_every_server_has(registry: str) -> None:
    """A TfidfVectorizer over a text column answers alike, and its graph asks for no locale that containers lack."""
    texts = pd.DataFrame({"remark": ["Late again", "on time", "very LATE arrival", "smooth and quick"] * 20})
    late = texts["remark"].str.contains("late", case=False)
    model = make_pipeline(make_column_transformer((TfidfVectorizer(), "remark")), LogisticRegression()).fit(texts, late)
    result = export(model, name="remarks", holdout=(texts, late), registry=registry)
    graph = Registry(registry).blob(result.manifest.artifact)
    assert b"C.UTF-8" in graph
    assert b"en_US" not in graph


@pytest.mark.parametrize("pattern", [r"(?u)\b\w\w+\b", "[a-zA-Z0-9_]+"])
@pytest.mark.parametrize("make", [TfidfVectorizer, CountVectorizer])
def test_words_that_no_hold_out_has_are_read_alike(registry: str, make: Callable[..., Any], pattern: str) -> None:
    """Words of any script, and of one letter, end where the model's end: an "élate" is not late."""
    texts = pd.DataFrame({"remark": ["late again", "on time", "very late arrival", "smooth and quick"] * 20})
    late = texts["remark"].str.contains("late")
    words = make(ngram_range=(1, 2), token_pattern=pattern)
    model = make_pipeline(make_column_transformer((words, "remark")), LogisticRegression()).fit(texts, late)
    result = export(model, name="remarks", holdout=(texts, late), registry=registry)
    unseen = ["élate", "late é again", "late a again", "ÉLATE on time", "中late", "²late", "late_on time", "a é", ""]
    _assert_same_answers(registry, result.manifest, model, pd.DataFrame({"remark": unseen}))
