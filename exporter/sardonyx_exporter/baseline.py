"""Frozen reference distributions: what the inputs and answers looked like when the version was made."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.registry.v1.manifest_pb2 import Baseline, CalibrationBin, CategoryCounts, Distribution, NumericBins
from sardonyx_exporter.source import LABEL, PROBABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sardonyx_exporter.source import Source

Array = npt.NDArray[Any]

#: Equal-count bins: equal-width bins saw none of a real shift of a log-normal feature.
QUANTILES: Final = 10
CATEGORIES_MAX: Final = 100
CALIBRATION_BINS: Final = 10


def freeze(source: Source, answers: Mapping[str, Array]) -> Baseline:
    """The hold-out's distributions, and how its probabilities came true."""
    baseline = Baseline()
    for name, values in source.values.items():
        baseline.inputs.extend(distributions(name, values))
    for name, values in answers.items():
        # A label is a class, also where it is a number.
        baseline.outputs.extend(distributions(name, values.astype(object) if name == LABEL else values))
    if PROBABILITIES in answers:
        baseline.calibration.extend(_calibration(source, answers[PROBABILITIES]))
    return baseline


def distributions(name: str, values: Array) -> Iterator[Distribution]:
    """One distribution for a column; for a matrix, one for each of its columns, named ``name[0]`` and so on."""
    if values.ndim == 2:
        for position in range(values.shape[1]):
            yield from distributions(f"{name}[{position}]", values[:, position])
    elif values.dtype.kind in "iuf":
        yield _numeric(name, values.astype(np.float64))
    else:
        yield _categorical(name, [str(value) for value in values.tolist()])


def _numeric(name: str, values: Array) -> Distribution:
    present = values[np.isfinite(values)]
    distribution = Distribution(name=name, rows=len(values), missing=len(values) - len(present))
    if len(present):
        inner = np.linspace(0, 1, QUANTILES + 1)[1:-1]
        edges = np.unique(np.quantile(present, inner))
        counts = np.bincount(np.searchsorted(edges, present, side="right"), minlength=len(edges) + 1)
        bins = NumericBins(edges=edges, counts=counts, minimum=present.min(), maximum=present.max())
        distribution.numeric.CopyFrom(bins)
    return distribution


def _categorical(name: str, values: list[str]) -> Distribution:
    counted = Counter(values).most_common()
    kept, rest = counted[:CATEGORIES_MAX], counted[CATEGORIES_MAX:]
    categories = CategoryCounts(
        values=[value for value, _ in kept],
        counts=[count for _, count in kept],
        other=sum(count for _, count in rest),
    )
    return Distribution(name=name, rows=len(values), categories=categories)


def _calibration(source: Source, likely: Array) -> Iterator[CalibrationBin]:
    """For each class, the rows by the probability that it got."""
    edges = np.linspace(0, 1, CALIBRATION_BINS + 1)
    truth = source.target.astype(source.classes.dtype)
    for position, (name, value) in enumerate(zip(source.class_names, source.classes.tolist(), strict=True)):
        given = likely[:, position]
        bins = np.clip(np.searchsorted(edges, given, side="right") - 1, 0, CALIBRATION_BINS - 1)
        for number in np.unique(bins):
            rows = bins == number
            calibration = CalibrationBin(low=edges[number], high=edges[number + 1], rows=int(rows.sum()))
            # "class" is a word of Python's.
            setattr(calibration, "class", name)
            calibration.mean_probability = float(given[rows].mean())
            calibration.observed_rate = float((truth[rows] == value).mean())
            yield calibration
