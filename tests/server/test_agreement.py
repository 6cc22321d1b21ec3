"""What it means that two versions answer a row alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_server.agreement import count_alike

if TYPE_CHECKING:
    from collections.abc import Sequence

LABEL: Final = pb.OUTPUT_KIND_LABEL
PROBABILITIES: Final = pb.OUTPUT_KIND_PROBABILITIES
VALUE: Final = pb.OUTPUT_KIND_VALUE
FLOATS: Final = st.floats(allow_nan=True, allow_infinity=False, width=32)


def manifest_of(
    *kinds: pb.OutputKind.ValueType, error: float | None = None, absolute: float = 0.0, relative: float = 0.0
) -> manifest_pb2.Manifest:
    """A version with outputs of these kinds, named in their order, and what it promises of its values."""
    outputs = [pb.Output(name=str(position), kind=kind) for position, kind in enumerate(kinds)]
    manifest = manifest_pb2.Manifest(interface=pb.Interface(outputs=outputs))
    if error is not None:
        manifest.evaluation.metrics.add(name="mae", value=error)
    manifest.golden.tolerance.absolute, manifest.golden.tolerance.relative = absolute, relative
    return manifest


CASES: Final[dict[str, tuple[manifest_pb2.Manifest, list[Any], list[Any], int]]] = {
    "classes": (manifest_of(LABEL), [["a", "b", "a"]], [["a", "a", "a"]], 2),
    "classes count, not how sure of them": (
        manifest_of(LABEL, PROBABILITIES),
        [["a", "b"], [[0.9, 0.1], [0.2, 0.8]]],
        [["a", "b"], [[0.1, 0.9], [0.9, 0.1]]],
        2,
    ),
    "the likeliest class, where there are no others": (
        manifest_of(PROBABILITIES),
        [[[0.9, 0.1], [0.4, 0.6]]],
        [[[0.6, 0.4], [0.6, 0.4]]],
        1,
    ),
    "several classes a row: all of them": (manifest_of(LABEL, LABEL), [["a", "b"], [1, 2]], [["a", "b"], [1, 3]], 1),
    "values within the live version's own error": (manifest_of(VALUE, error=0.5), [[1.0, 1.0]], [[1.5, 1.6]], 1),
    "values of several columns: all of them": (
        manifest_of(VALUE, error=0.5),
        [[[1.0, 1.0], [1.0, 1.0]]],
        [[[1.2, 0.8], [1.2, 2.0]]],
        1,
    ),
    "values within the tolerance, where no error is stated": (
        manifest_of(VALUE, absolute=0.1, relative=0.01),
        [[100.0, 100.0]],
        [[101.0, 101.2]],
        1,
    ),
    "an error that is none": (manifest_of(VALUE, error=math.nan, absolute=0.1), [[1.0, 1.0]], [[1.05, 1.2]], 1),
    "what is missing in both": (manifest_of(VALUE, error=1.0), [[math.nan, math.nan]], [[math.nan, 0.0]], 1),
    "an output that only the shadow has": (manifest_of(LABEL), [["a", "b"]], [["a", "b"], ["a", "a"]], 2),
    "an output that only the live version has": (manifest_of(LABEL, LABEL), [["a", "b"], ["a", "a"]], [["a", "c"]], 1),
}


def named(outputs: Sequence[Any]) -> dict[str, npt.NDArray[Any]]:
    """A shadow's answer, by its outputs' names."""
    return {str(position): np.array(values) for position, values in enumerate(outputs)}


@pytest.mark.parametrize("name", CASES)
def test_rows_that_are_alike(name: str) -> None:
    """Each case, by its name."""
    live, answered, shadowed, alike = CASES[name]
    assert count_alike(live, [np.array(each) for each in answered], named(shadowed)) == alike


@settings(deadline=None)
@given(values=st.lists(st.tuples(FLOATS, FLOATS), min_size=1), error=st.floats(0, 1e6), seed=st.integers(0, 2**32 - 1))
def test_each_row_counts_for_itself(values: list[tuple[float, float]], error: float, seed: int) -> None:
    """The count is the sum over single rows, whatever their order; every version agrees with itself."""
    live = manifest_of(VALUE, error=error)
    ours, theirs = (np.array(column) for column in zip(*values, strict=True))
    whole = count_alike(live, [ours], named([theirs]))
    single = [count_alike(live, [ours[row : row + 1]], named([theirs[row : row + 1]])) for row in range(len(values))]
    order = np.random.default_rng(seed).permutation(len(values))
    assert whole == sum(single) == count_alike(live, [ours[order]], named([theirs[order]]))
    assert count_alike(live, [ours], named([ours])) == len(values)
