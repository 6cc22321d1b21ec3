"""From a fitted model to ONNX: a ladder of strategies, of which the first that gives equal answers is taken.

scikit-learn computes in double precision, and compares in single precision within its forests. A graph that does the
one where the model does the other answers differently near thresholds. So a graph gets doubles; where that does not
answer as the model does, a cast to single precision goes in front of the last step, which is where forests have theirs.
"""

from __future__ import annotations

import logging
import warnings
from copy import deepcopy
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx.helper import make_attribute
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from skl2onnx.sklapi import CastTransformer
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.columns import rows_of
from sardonyx_exporter.errors import ConversionFailed
from sardonyx_exporter.graph import Graph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sardonyx_exporter.source import Source

# Old servers load these: ONNX Runtime of 2024 knows opset 21. Beyond 25 the file format itself changes.
OPSET: Final = 21
OPSET_ML: Final = 3

LOCALE: Final = "C.UTF-8"

# What skl2onnx makes of a vectorizer's usual token_pattern, and what that means: two letters or more, of any script.
WORDS_OF_ASCII: Final = "[a-zA-Z0-9_]+"
WORDS: Final = r"[\p{L}\p{N}_][\p{L}\p{N}_]+"

DOUBLE: Final = "double"
DOUBLE_CAST: Final = "double+cast"
SINGLE: Final = "single"


def convert(source: Source) -> Iterator[tuple[str, Callable[[], Graph]]]:
    """The strategies, best first: a name, and what makes the graph; making it raises where it cannot be made.

    Raises:
        ConversionFailed: skl2onnx would never come to an end.
    """
    if any(np.isinf(tree.tree_.threshold).any() for tree in _trees(source.model)):
        # Behind such a threshold are missing values and nothing else. skl2onnx looks for the number next to it.
        raise ConversionFailed(
            "The model's trees have learned from missing values, which ONNX's do not. Put a SimpleImputer before them"
            " and fit again."
        )
    yield DOUBLE, lambda: _graph(source, _framed(source, _unwrapped(source.model)), DoubleTensorType, DOUBLE)
    yield (
        DOUBLE_CAST,
        lambda: _graph(source, _framed(source, _with_cast(_unwrapped(source.model))), DoubleTensorType, DOUBLE_CAST),
    )
    yield SINGLE, lambda: _graph(source, _framed(source, _unwrapped(source.model)), FloatTensorType, SINGLE)


def float32_step() -> CastTransformer:
    """A step that casts to single precision, to be fitted right before a gradient-boosted tree.

    HistGradientBoosting and LightGBM compare in double precision, which ONNX's trees do not: fitted behind this step
    they never see a value that single precision cannot hold.
    """
    return CastTransformer(dtype=np.float32)


def _graph(source: Source, model: Any, number: type[Any], strategy: str) -> Graph:
    types = [
        (spec.name, (StringTensorType if spec.is_text else number)([None, spec.width or 1])) for spec in source.inputs
    ]
    # No ZipMap, which would turn probabilities into maps.
    options = {"zipmap": False} if source.task == pb.TASK_CLASSIFICATION else None
    try:
        onnx = _converted(model, types, options)
    except NameError:
        # The converters of some classifiers without probabilities do not know the word, and refuse it so.
        onnx = _converted(model, types, {})
    _use_common_locale(onnx)
    _read_all_letters(onnx, source.model)
    return Graph(onnx.SerializeToString(), source, strategy)


def _use_common_locale(onnx: Any) -> None:
    """Lower-casing in a locale that every server has: skl2onnx asks for en_US.UTF-8, which containers lack."""
    for node in onnx.graph.node:
        if node.op_type == "StringNormalizer":
            kept = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, make_attribute("locale", LOCALE)])


def _read_all_letters(onnx: Any, model: Any) -> None:
    """Words as scikit-learn has them: skl2onnx's end at the first letter beyond ASCII, and may be one letter long."""
    if any(isinstance(value, str) and value == WORDS_OF_ASCII for value in model.get_params().values()):
        # Such words are what the author asked for.
        return
    for node in onnx.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Tokenizer" and attribute.s == WORDS_OF_ASCII.encode():
                attribute.s = WORDS.encode()


def _converted(model: Any, types: Sequence[Any], options: dict[str, bool] | None) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The name is fixed: a random one would give equal models different digests.
        return convert_sklearn(
            model,
            name="sardonyx",
            initial_types=types,
            target_opset={"": OPSET, "ai.onnx.ml": OPSET_ML},
            # A pipeline asks for a ZipMap itself where its last step has no options at all, not even empty ones.
            options=None if options is None else {id(_last(model)): options},
        )


def _unwrapped(model: Any) -> Any:
    """The model itself, without the search that found it."""
    model = getattr(model, "best_estimator_", model)
    if not (isinstance(model, Pipeline) and _is_boosted_behind_cast(model)):
        return model
    name, boosted = model.steps[-1]
    return Pipeline([*model.steps[:-1], (name, _with_single_thresholds(boosted))])


def _is_boosted_behind_cast(model: Pipeline) -> bool:
    *_, before, last = [None, *(step for _, step in model.steps)]
    boosted = isinstance(last, HistGradientBoostingClassifier | HistGradientBoostingRegressor)
    return boosted and isinstance(before, CastTransformer)


def _with_single_thresholds(boosted: Any) -> Any:
    """A copy whose trees split numbers of single precision as they did, by thresholds of single precision.

    skl2onnx takes the nearest such threshold. Where that is the greater one, a number that equals it changes sides.
    Of numbers of double precision the nearest is right more often: a threshold may be one of them.
    """
    boosted = deepcopy(boosted)
    for tree in chain.from_iterable(boosted._predictors):  # noqa: SLF001 - it is what skl2onnx reads
        exact = tree.nodes["num_threshold"]
        with np.errstate(over="ignore"):
            single = exact.astype(np.float32)
        tree.nodes["num_threshold"] = np.where(single > exact, np.nextafter(single, np.float32(-np.inf)), single)
    return boosted


def _with_cast(model: Any) -> Any:
    """A copy with a cast in front of the last step. A cast learns nothing, so nothing needs to be fitted again."""
    # Steps are shared with the original, which is never changed: only the list of steps is new.
    steps = list(model.steps) if isinstance(model, Pipeline) else [("model", model)]
    return Pipeline([*steps[:-1], ("sardonyx_cast", float32_step()), steps[-1]])


def _trees(part: Any) -> Iterator[Any]:
    """The fitted trees in a model, however deep."""
    if hasattr(part, "tree_"):
        yield part
    elif isinstance(part, list | tuple) or (isinstance(part, np.ndarray) and part.dtype.kind == "O"):
        for each in part:
            yield from _trees(each)
    elif isinstance(part, BaseEstimator):
        yield from _trees(list(vars(part).values()))


def _framed(source: Source, model: Any) -> Any:
    """A pipeline that takes a DataFrame's columns one by one, as callers send them."""
    first = model.steps[0][1] if isinstance(model, Pipeline) else model
    if len(source.inputs) == 1 or isinstance(first, ColumnTransformer):
        return model
    names = [spec.name for spec in source.inputs]
    joined = ColumnTransformer([("columns", "passthrough", names)]).fit(rows_of(source.features, slice(0, 2)))
    steps = list(model.steps) if isinstance(model, Pipeline) else [("model", model)]
    return Pipeline([("sardonyx_join", joined), *steps])


def _last(model: Any) -> Any:
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


# skl2onnx logs what it does to the root of its own tree; an export has its own way of saying it.
logging.getLogger("skl2onnx").setLevel(logging.ERROR)
