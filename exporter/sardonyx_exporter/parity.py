"""The proof that the graph answers as the model does: every hold-out row, and the worst of them shown.

Callers send other numbers too. So rows with numbers that the hold-out lacks are compared beside them: a graph that
compares in single precision, or takes 6.5 for the category 6, answers every row of a hold-out right by its luck.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.alike import are_close, are_ties
from sardonyx.registry.v1.manifest_pb2 import Parity, Tolerance, WorstRow
from sardonyx_exporter.columns import between, rows_of
from sardonyx_exporter.convert import convert
from sardonyx_exporter.errors import ConversionFailed, ParityFailed, SourceRefused, cause
from sardonyx_exporter.source import LABEL, PROBABILITIES, VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_exporter.columns import Data
    from sardonyx_exporter.graph import Graph
    from sardonyx_exporter.source import Source

Array = npt.NDArray[Any]

#: What single precision leaves of a probability, with room: repaired forests were 7e-7 apart at most, wrong ones 1e-2.
RELATIVE: Final = 1e-5
#: Of the spread of the answers: 1 for probabilities, the standard deviation for values.
ABSOLUTE: Final = 1e-5
WORST_ROWS: Final = 5
#: These rows are sent one by one too: an answer must not depend on its company.
SINGLE_ROWS: Final = 8
#: How many rows of the hold-out are compared once more with numbers that it lacks.
BETWEEN_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers to the same rows.

    Attributes:
        wrong: positions of the rows that differ beyond the tolerance.
        tied: how many rows differ in a label although both classes are equally likely within the tolerance.
        absolute_difference_max: over all numbers.
        worst: the rows farthest apart.
    """

    wrong: Array
    tied: int
    absolute_difference_max: float
    worst: tuple[WorstRow, ...]


def default_tolerance(answers: Mapping[str, Array]) -> Tolerance:
    """How far apart two answers may be."""
    spread = float(np.std(answers[VALUE])) if VALUE in answers else 1.0
    return Tolerance(absolute=ABSOLUTE * (spread or 1.0), relative=RELATIVE)


def limits_of(tolerance: Tolerance | None, answers: Mapping[str, Array]) -> list[Tolerance]:
    """How far apart answers may be: as the author says, or by their spread, of each column where there are several.

    A spread of all columns would prove nothing of one that counts in thousandths beside one that counts in millions.
    """
    whole = tolerance or default_tolerance(answers)
    if tolerance is not None or VALUE not in answers or answers[VALUE].ndim == 1:
        return [whole]
    # Never more than the golden rows are held to, which have one tolerance.
    absolutes = np.minimum(ABSOLUTE * np.std(answers[VALUE], axis=0), whole.absolute)
    return [Tolerance(absolute=absolute or ABSOLUTE, relative=whole.relative) for absolute in absolutes]


@dataclass(frozen=True, slots=True)
class _Question:
    """Rows that model and graph are asked about.

    Attributes:
        name: what they are, for people.
        rows: the inputs.
        truth: what the model says.
    """

    name: str
    rows: Data
    truth: Mapping[str, Array]


def prove(source: Source, tolerance: Tolerance | None = None) -> tuple[Graph, Parity]:
    """The first graph that answers as the model does, on every row of the hold-out and between them, and the proof.

    Raises:
        SourceRefused: the model does not answer every row of the hold-out.
        ParityFailed: there are graphs, and none does.
        ConversionFailed: there is no graph.
    """
    questions = _questions(source)
    truth = questions[0].truth
    limits = limits_of(tolerance, truth)
    failures: list[str] = []
    refused: list[tuple[Graph, list[Comparison]]] = []
    for strategy, make in convert(source):
        try:
            graph = make()
            comparisons = [compare(source, each.truth, graph.answer(each.rows), limits) for each in questions]
        except Exception as error:  # skl2onnx and ONNX Runtime raise whatever they please
            failures.append(f"{strategy}: {_first_line(error)}")
            continue
        if not any(len(each.wrong) for each in comparisons):
            _check_single_rows(source, graph, truth, limits)
            return graph, _parity(source, comparisons[0], tolerance or default_tolerance(truth))
        refused.append((graph, comparisons))
    if not refused:
        advice = _known(source) or "Replace the step that the message names."
        raise ConversionFailed(f"The model has no ONNX form. {advice} Tried: {'; '.join(failures).rstrip('.')}.")
    raise _refusal(source, questions, *min(refused, key=lambda each: [len(one.wrong) for one in each[1]]))


def _questions(source: Source) -> list[_Question]:
    """All rows of the hold-out, and some of them with numbers that it lacks, as far as the model answers those."""
    try:
        questions = [_Question("hold-out rows", source.features, source.answer(source.features))]
    except Exception as error:
        raise SourceRefused(
            f"The model refuses some of the hold-out's rows: {cause(error)}. Leave out those rows, or"
            " fit it to answer them."
        ) from error
    rows = between(rows_of(source.features, slice(0, BETWEEN_ROWS)))
    with contextlib.suppress(Exception):  # a model that refuses them is asked why when its policies are
        truth = source.answer(rows)
        if all(np.isfinite(values).all() for values in truth.values() if values.dtype.kind == "f"):
            questions.append(_Question("rows with numbers between those of the hold-out", rows, truth))
    return questions


def compare(
    source: Source, truth: Mapping[str, Array], answers: Mapping[str, Array], limits: Sequence[Tolerance]
) -> Comparison:
    """Compare the model's answers with the graph's, row by row; the limits are one, or one for each column."""
    rows = len(next(iter(truth.values())))
    wrong, tied = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    distance = np.zeros(rows)
    for name in (PROBABILITIES, VALUE):
        if name in truth:
            expected, found = truth[name].reshape(rows, -1), answers[name].reshape(rows, -1)
            apart = np.abs(found - expected)
            wrong |= ~_are_close(expected, found, limits)
            distance = np.maximum(distance, np.nan_to_num(apart, nan=np.inf).max(axis=1))
    if LABEL in truth:
        label, found = truth[LABEL], answers[LABEL].astype(truth[LABEL].dtype)
        differs = label != found
        if PROBABILITIES in truth:
            tied = differs & are_ties(label, found, truth[PROBABILITIES], source.class_names, limits[0])
        wrong |= differs & ~tied
    order = np.argsort(-(distance + wrong))[:WORST_ROWS]
    worst = tuple(_worst_row(int(row), truth, answers, float(distance[row])) for row in order)
    return Comparison(np.flatnonzero(wrong), int(tied.sum()), float(distance.max(initial=0.0)), worst)


def _are_close(expected: Array, found: Array, limits: Sequence[Tolerance]) -> Array:
    if len(limits) == 1:
        return are_close(expected, found, limits[0])
    columns = zip(expected.T, found.T, limits, strict=True)
    return np.asarray(np.logical_and.reduce([are_close(*column) for column in columns]))


def _worst_row(row: int, truth: Mapping[str, Array], answers: Mapping[str, Array], distance: float) -> WorstRow:
    name = next(name for name in (PROBABILITIES, VALUE, LABEL) if name in truth)
    if LABEL in truth and str(truth[LABEL][row]) != str(answers[LABEL][row]):
        name = LABEL
    return WorstRow(
        row=row,
        output=name,
        source=_shown(truth[name][row]),
        converted=_shown(answers[name][row]),
        absolute_difference=distance,
    )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, str) else np.array2string(np.asarray(value), precision=6)


def _check_single_rows(source: Source, graph: Graph, truth: Mapping[str, Array], limits: Sequence[Tolerance]) -> None:
    for row in range(min(SINGLE_ROWS, source.rows)):
        one = {name: values[row : row + 1] for name, values in truth.items()}
        comparison = compare(source, one, graph.answer(rows_of(source.features, slice(row, row + 1))), limits)
        if len(comparison.wrong):
            raise ParityFailed(
                f"Row {row} gets another answer alone than in a batch. {_advice(source)}", comparison.worst
            )


def _parity(source: Source, comparison: Comparison, tolerance: Tolerance) -> Parity:
    return Parity(
        holdout_rows=source.rows,
        tolerance=tolerance,
        absolute_difference_max=comparison.absolute_difference_max,
        tied_rows=comparison.tied,
        worst=comparison.worst,
    )


def _refusal(
    source: Source, questions: Sequence[_Question], graph: Graph, comparisons: Sequence[Comparison]
) -> ParityFailed:
    position = next(position for position, each in enumerate(comparisons) if len(each.wrong))
    question, comparison = questions[position], comparisons[position]
    rows = "\n".join(
        f"  row {worst.row}: {worst.output} is {worst.source} by the model, {worst.converted} by the graph"
        for worst in comparison.worst
    )
    advice = _advice(source) if not position or _known(source) else _NUMBERS
    return ParityFailed(
        f"The ONNX form ({graph.strategy}) answers {len(comparison.wrong)} of {len(question.rows)} {question.name}"
        f" differently; the worst are\n{rows}\n{advice}",
        comparison.worst,
    )


#: By the name of a step: what is known to go wrong with it, and what helps.
_KNOWN: Final[dict[str, str]] = {
    "HistGradientBoosting": "HistGradientBoosting compares in double precision: put "
    "sardonyx_exporter.convert.float32_step() right before it and fit again.",
    "LGBM": "LightGBM compares in double precision: put sardonyx_exporter.convert.float32_step() right before it and "
    "fit again.",
    "LinearDiscriminantAnalysis": "skl2onnx converts it wrongly for two classes: use LogisticRegression.",
    "CalibratedClassifierCV": "skl2onnx converts isotonic calibration wrongly: use method='sigmoid', or calibrate no "
    "pipeline.",
    "TransformedTargetRegressor": "TransformedTargetRegressor has no ONNX form: transform the target outside of it.",
    "HashingVectorizer": "HashingVectorizer has no ONNX form: use TfidfVectorizer.",
    "KernelRidge": "KernelRidge has no ONNX form: use SVR or GaussianProcessRegressor.",
    "KBinsDiscretizer": "KBinsDiscretizer needs encode='onehot-dense' or 'ordinal'.",
}

_NUMBERS: Final = (
    "Numbers that are categories become whole numbers or text before the model is fitted; else replace the step that"
    " answers otherwise, or loosen the tolerance if you can accept it."
)


def _advice(source: Source) -> str:
    return _known(source) or "Replace the step that answers otherwise, or loosen the tolerance if you can accept it."


def _known(source: Source) -> str:
    text = repr(source.model)
    return " ".join(advice for name, advice in _KNOWN.items() if name in text)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
