"""What a model does with missing values and unknown categories: asked of the model, not guessed from its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.columns import Data, rows_of
from sardonyx_exporter.errors import SourceRefused, cause
from sardonyx_exporter.parity import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.registry.v1.manifest_pb2 import Tolerance
    from sardonyx_exporter.columns import ColumnSpec
    from sardonyx_exporter.graph import Graph
    from sardonyx_exporter.source import Source

#: How many rows of the hold-out are changed for each question: a tree may look at an input in one row of twenty.
PROBED_ROWS_MAX: Final = 1000
#: Of many columns, each is asked about with fewer rows: so many in all, at least these.
PROBED_ROWS_IN_ALL: Final = 100_000
PROBED_ROWS_MIN: Final = 16
#: Of a wide input, so many columns give an edge row.
EDGE_COLUMNS_MAX: Final = 16
#: No model was fitted on it.
UNKNOWN: Final = "sardonyx: a category that nobody has seen"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one input allows.

    Attributes:
        missing: what a missing value does.
        unknown: what an unknown category does.
        categories: the known ones, where others are refused.
        note: what the author should know; empty where nothing is amiss.
    """

    missing: pb.MissingPolicy.ValueType = pb.MISSING_POLICY_REFUSED
    unknown: pb.UnknownCategoryPolicy.ValueType = pb.UNKNOWN_CATEGORY_POLICY_UNSPECIFIED
    categories: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies of all inputs, and the rows that they were proven with.

    Attributes:
        by_input: a policy for each input's name.
        edge_rows: changed rows which model and graph answered alike: they become golden rows.
    """

    by_input: dict[str, Policy] = field(default_factory=dict)
    edge_rows: list[Data] = field(default_factory=list)

    def of(self, name: str) -> Policy:
        """An input's; one that was not asked about refuses."""
        return self.by_input.get(name, Policy())


def probe(source: Source, graph: Graph, limits: Sequence[Tolerance]) -> Policies:
    """Ask the model, and hold the graph to what it says.

    A value that the model refuses is refused. One that the model answers is allowed if the graph answers it alike; if
    it does not, it is refused, with a note: a clear error beats a wrong answer.

    Raises:
        SourceRefused: the model refuses unknown categories and nowhere says which it knows.
    """
    policies = Policies()
    columns = sum(spec.width or 1 for spec in source.inputs)
    count = min(max(PROBED_ROWS_IN_ALL // columns, PROBED_ROWS_MIN), PROBED_ROWS_MAX)
    rows = rows_of(source.features, slice(0, count))
    gaps: list[Data] = []
    for spec in source.inputs:
        if spec.is_text:
            policies.by_input[spec.name] = _probe_text(source, graph, limits, spec, rows, policies.edge_rows)
            continue
        _check_unseen_numbers(source, spec, rows_of(rows, slice(0, PROBED_ROWS_MIN)))
        if spec.may_hold_nan:
            policies.by_input[spec.name] = _probe_missing(source, graph, limits, spec, rows, gaps)
        else:
            policies.by_input[spec.name] = Policy()
    if _may_miss_together(source, graph, limits, policies, rows):
        policies.edge_rows.extend(gaps)
    return policies


def _check_unseen_numbers(source: Source, spec: ColumnSpec, rows: Data) -> None:
    """A model that takes some numbers and no others has no interface that a caller could keep to."""
    values = source.values[spec.name].reshape(source.rows, -1)
    if values.dtype.kind == "b":
        return
    for column in range(values.shape[1]):
        unseen = np.nanmax(values[:, column]) + 1
        changed = _with_number(rows, spec, column, unseen)
        try:
            source.answer(changed)
        except Exception as error:
            raise SourceRefused(
                f"The model refuses a number in {spec.name!r} that it has not seen, such as {unseen}: {cause(error)}."
                " Callers cannot know which it takes: use OneHotEncoder(handle_unknown='ignore')."
            ) from error


def _probe_missing(
    source: Source, graph: Graph, limits: Sequence[Tolerance], spec: ColumnSpec, rows: Data, proven: list[Data]
) -> Policy:
    changed = [_with_nan(rows, spec, column) for column in range(spec.width or 1)]
    verdicts = [_ask(source, graph, limits, each) for each in changed]
    if all(verdict == "alike" for verdict in verdicts):
        proven.extend(rows_of(each, slice(0, 1)) for each in changed[:EDGE_COLUMNS_MAX])
        return Policy(missing=pb.MISSING_POLICY_ALLOWED)
    if "different" in verdicts:
        note = f"{spec.name}: the model answers missing values, its ONNX form answers them otherwise: they are refused."
        return Policy(note=note)
    return Policy()


def _may_miss_together(
    source: Source, graph: Graph, limits: Sequence[Tolerance], policies: Policies, rows: Data
) -> bool:
    """Whether a row may miss several values that may each be missing; they are refused where it may not."""
    allowed = [spec for spec in source.inputs if policies.of(spec.name).missing == pb.MISSING_POLICY_ALLOWED]
    cells = [(spec, column) for spec in allowed for column in range(spec.width or 1)]
    if len(cells) < 2:
        return True
    for step in (1, 2, 3):
        # All of them, every second and every third.
        changed = rows
        for position, (spec, column) in enumerate(cells):
            changed = _with_nan(changed, spec, column, slice(position % step, None, step))
        if _ask(source, graph, limits, changed) != "alike":
            names = ", ".join(spec.name for spec in allowed)
            note = f"{names}: the ONNX form answers several missing values of a row otherwise: they are refused."
            policies.by_input.update({spec.name: Policy() for spec in allowed})
            policies.by_input[allowed[0].name] = Policy(note=note)
            return False
    return True


def _probe_text(
    source: Source, graph: Graph, limits: Sequence[Tolerance], spec: ColumnSpec, rows: Data, proven: list[Data]
) -> Policy:
    changed = _with_text(rows, spec, UNKNOWN)
    verdict = _ask(source, graph, limits, changed)
    if verdict == "alike":
        proven.append(rows_of(changed, slice(0, 1)))
        return Policy(unknown=pb.UNKNOWN_CATEGORY_POLICY_ALLOWED)
    categories = known_categories(source.model, spec.name)
    if categories is None:
        fate = "refused" if verdict == "refused" else "answered otherwise by ONNX"
        raise SourceRefused(
            f"An unknown value in {spec.name!r} is {fate}, and the pipeline does not say which values it knows."
            " Use OneHotEncoder(handle_unknown='ignore')."
        )
    note = "" if verdict == "refused" else f"{spec.name}: ONNX answers unknown values otherwise: they are refused."
    return Policy(unknown=pb.UNKNOWN_CATEGORY_POLICY_REFUSED, categories=categories, note=note)


def known_categories(model: Any, name: str) -> tuple[str, ...] | None:
    """The categories that a fitted encoder in the pipeline holds for a column; None where there is none."""
    for transformer, columns in _transformers(getattr(model, "best_estimator_", model)):
        if name in columns:
            steps = [step for _, step in transformer.steps] if isinstance(transformer, Pipeline) else [transformer]
            for step in steps:
                if hasattr(step, "categories_"):
                    return tuple(str(value) for value in step.categories_[columns.index(name)])
    return None


def _transformers(model: Any) -> list[tuple[Any, list[str]]]:
    """The column transformers of a pipeline with their columns' names."""
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    return [
        (transformer, [columns] if isinstance(columns, str) else _names(step, columns))
        for step in steps
        if isinstance(step, ColumnTransformer)
        for _, transformer, columns in step.transformers_
    ]


def _names(step: ColumnTransformer, columns: Sequence[Any]) -> list[str]:
    fitted = list(getattr(step, "feature_names_in_", []))
    return [column if isinstance(column, str) else str(fitted[column]) for column in columns if fitted]


def _ask(source: Source, graph: Graph, limits: Sequence[Tolerance], rows: Data) -> str:
    """Whether the model refuses these rows, or model and graph answer them alike or differently."""
    try:
        truth = source.answer(rows)
    except Exception:  # whatever the model raises is its way of refusing
        return "refused"
    if any(values.dtype.kind == "f" and not np.isfinite(values).all() for values in truth.values()):
        return "refused"
    try:
        answers = graph.answer(rows)
    except Exception:  # ONNX Runtime's refusal of what the model takes
        return "different"
    return "different" if len(compare(source, truth, answers, limits).wrong) else "alike"


def _with_nan(rows: Data, spec: ColumnSpec, column: int, gaps: slice = slice(None)) -> Data:
    changed = rows.copy()
    if isinstance(changed, pd.DataFrame):
        values = changed[spec.name].to_numpy(copy=True)
        values[gaps] = np.nan
        changed[spec.name] = values
    else:
        changed[gaps, column] = np.nan
    return changed


def _with_number(rows: Data, spec: ColumnSpec, column: int, number: Any) -> Data:
    changed = rows.copy()
    if isinstance(changed, pd.DataFrame):
        changed[spec.name] = np.full(len(changed), number)
    else:
        changed[:, column] = number
    return changed


def _with_text(rows: Data, spec: ColumnSpec, text: str) -> Data:
    if not isinstance(rows, pd.DataFrame):
        raise TypeError("A plain array has no text columns. This is a bug.")
    return rows.assign(**{spec.name: pd.Series([text] * len(rows), index=rows.index, dtype=object)})
