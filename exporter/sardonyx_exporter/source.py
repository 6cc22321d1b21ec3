"""The model that is exported, and what it says itself: the truth that everything else is held to."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.columns import ColumnSpec, Data, rows_of, specs_of, values_of
from sardonyx_exporter.errors import SourceRefused, cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Array = npt.NDArray[Any]

LABEL = "label"
PROBABILITIES = "probabilities"
VALUE = "value"


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output as callers will see it: the schema's Output, before it has a number."""

    name: str
    kind: pb.OutputKind.ValueType
    datatype: pb.Datatype.ValueType
    width: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """A fitted model with its hold-out data.

    Attributes:
        model: the estimator or pipeline, as it was given.
        features: the hold-out's inputs, as they were given: a DataFrame, or an array of shape [rows, columns].
        target: the hold-out's truth, shape [rows] or [rows, values].
        task: classification or regression.
        inputs: the inputs in order.
        outputs: the outputs in order.
        classes: the model's classes in its own order; empty for regression.
    """

    model: Any
    features: Data
    target: Array
    task: pb.Task.ValueType
    inputs: Sequence[ColumnSpec]
    outputs: Sequence[OutputSpec]
    classes: Array = field(default_factory=lambda: np.array([]))

    @property
    def rows(self) -> int:
        """How many rows the hold-out has."""
        return len(self.features)

    @property
    def class_names(self) -> list[str]:
        """The classes as text, in order."""
        return [str(value) for value in self.classes.tolist()]

    @property
    def values(self) -> dict[str, Array]:
        """The hold-out's inputs by name."""
        return values_of(self.features, self.inputs)

    def answer(self, features: Data) -> dict[str, Array]:
        """What the model itself says, by output name; whatever it raises is raised."""
        return _answers(self.model, features, [output.name for output in self.outputs])


def read_source(model: Any, features: Any, target: Any) -> Source:
    """Find out what a model is, from the model and its hold-out.

    Raises:
        SourceRefused: it is not fitted, is neither classifier nor regressor, does not take these columns, or the
            hold-out cannot be used; the message says what to do.
    """
    _check_fitted(model)
    data = _known_columns(model, _as_data(features))
    truth = _as_target(target, len(data))
    inputs = specs_of(data)
    values_of(data, inputs)
    names = [LABEL, PROBABILITIES] if hasattr(model, "predict_proba") else [LABEL]
    if is_regressor(model):
        names = [VALUE]
    elif not is_classifier(model):
        raise SourceRefused(f"{type(model).__name__} is neither a classifier nor a regressor. Export one of the two.")
    try:
        answers = _answers(model, rows_of(data, slice(0, 2)), names)
    except Exception as error:
        raise SourceRefused(
            f"The model does not predict the hold-out's rows: {cause(error)}. Give the columns that it was fitted on."
        ) from error
    if is_regressor(model):
        return Source(model, data, _numbers(truth), pb.TASK_REGRESSION, inputs, [_value_spec(answers[VALUE])])
    return _classifier(model, data, truth, inputs, answers)


def _classifier(
    model: Any, data: Data, truth: Array, inputs: Sequence[ColumnSpec], answers: Mapping[str, Array]
) -> Source:
    classes = np.asarray(model.classes_) if not isinstance(model.classes_, list) else np.array([])
    if classes.ndim != 1 or not len(classes):
        raise SourceRefused("The model predicts several labels at once. Export one model for each label.")
    truth = _as_classes(truth, classes)
    if len(np.unique(truth)) < 2:
        raise SourceRefused(
            "The hold-out's target holds one class only: nothing can be evaluated on it. Use more rows."
        )
    outputs = [OutputSpec(LABEL, pb.OUTPUT_KIND_LABEL, _label_type(classes))]
    if PROBABILITIES in answers:
        outputs.append(OutputSpec(PROBABILITIES, pb.OUTPUT_KIND_PROBABILITIES, pb.DATATYPE_FP64, len(classes)))
    return Source(model, data, truth, pb.TASK_CLASSIFICATION, inputs, outputs, classes)


def _as_classes(truth: Array, classes: Array) -> Array:
    """The truth in the classes' own type: a CSV file may hold True as text."""
    by_name = {str(value): value for value in classes.tolist()}
    names = [str(value) for value in truth.tolist()]
    unknown = sorted(set(names) - by_name.keys())
    if unknown:
        raise SourceRefused(
            f"The hold-out's target holds {', '.join(unknown[:5])}, and the model's classes are "
            f"{', '.join(by_name)}. Write the truth as the classes are, and leave out rows of any other class."
        )
    return np.array([by_name[name] for name in names], dtype=classes.dtype)


def _label_type(classes: Array) -> pb.Datatype.ValueType:
    kinds = {"b": pb.DATATYPE_BOOL, "i": pb.DATATYPE_INT64, "u": pb.DATATYPE_INT64}
    if classes.dtype.kind in kinds:
        return kinds[classes.dtype.kind]
    if all(isinstance(value, str) for value in classes.tolist()):
        return pb.DATATYPE_BYTES
    raise SourceRefused(f"The classes are {classes.tolist()[:3]}. Fit the model on text, integers or booleans.")


def _value_spec(values: Array) -> OutputSpec:
    return OutputSpec(VALUE, pb.OUTPUT_KIND_VALUE, pb.DATATYPE_FP64, values.shape[1] if values.ndim == 2 else 0)


def _check_fitted(model: Any) -> None:
    if not hasattr(model, "predict"):
        raise SourceRefused(f"{type(model).__name__} has no predict(). Give a fitted estimator or pipeline.")
    try:
        check_is_fitted(model)
    except NotFittedError:
        raise SourceRefused("The model is not fitted. Call fit() first.") from None
    except TypeError as error:
        raise SourceRefused(f"{type(model).__name__} is no scikit-learn estimator: {error}") from None


def _as_data(features: Any) -> Data:
    data: Data = features if isinstance(features, pd.DataFrame) else np.asarray(features)
    if not data.ndim:
        kind = type(features).__name__
        raise SourceRefused(f"The hold-out is a {kind}. Give a DataFrame, or a dense array of shape [rows, columns].")
    if not len(data):
        raise SourceRefused("The hold-out has no rows. Give the rows that were held out.")
    return data


def _known_columns(model: Any, data: Data) -> Data:
    """The columns that the model was fitted on, in that order."""
    fitted = getattr(model, "feature_names_in_", None)
    if fitted is None or not isinstance(data, pd.DataFrame):
        return data
    missing = [name for name in fitted if name not in data.columns]
    if missing:
        raise SourceRefused(
            f"The hold-out lacks {', '.join(map(repr, missing))}, which the model was fitted on. Add them."
        )
    return data[list(fitted)]


def _as_target(target: Any, rows: int) -> Array:
    truth = np.asarray(target)
    if not truth.ndim:
        raise SourceRefused(f"The target is a {type(target).__name__}. Give one value a row, as a column or an array.")
    if truth.ndim == 2 and truth.shape[1] == 1:
        # A DataFrame of one column is a column.
        truth = truth.ravel()
    if len(truth) != rows:
        raise SourceRefused(f"The hold-out has {rows} rows and {len(truth)} targets. Give one target a row.")
    missing = np.flatnonzero(pd.isna(truth).reshape(rows, -1).any(axis=1))
    if len(missing):
        raise SourceRefused(f"The target is missing in {len(missing)} rows, first in row {missing[0]}. Remove them.")
    return truth


def _numbers(truth: Array) -> Array:
    if truth.dtype.kind not in "iuf":
        raise SourceRefused(f"The target has type {truth.dtype}; a regressor's truth is numbers. Convert it.")
    return truth.astype(np.float64)


def _answers(model: Any, features: Data, names: Sequence[str]) -> dict[str, Array]:
    methods = {LABEL: "predict", VALUE: "predict", PROBABILITIES: "predict_proba"}
    with warnings.catch_warnings():
        # An unknown category is a warning of scikit-learn's; here it is asked on purpose.
        warnings.simplefilter("ignore")
        return {name: np.asarray(getattr(model, methods[name])(features)) for name in names}
