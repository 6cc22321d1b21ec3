"""Answers that count as the source model's: what the exporter's proof accepts, no server's replay refuses."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.alike import are_close, are_ties
from sardonyx.registry.v1.manifest_pb2 import Tolerance

Array = npt.NDArray[Any]

CLASSES: Final = {
    "booleans": np.array([False, True]),
    "integers": np.array([10, 2, -7]),
    "texts": np.array(["late", "on time", "10", ""], dtype=object),
}
tolerances = st.builds(Tolerance, absolute=st.floats(1e-9, 1e-2), relative=st.floats(1e-9, 1e-2))


@st.composite
def likelihoods(draw: st.DrawFn) -> tuple[Array, Array]:
    """Classes, and probabilities of them for some rows, equal ones often."""
    classes = CLASSES[draw(st.sampled_from(sorted(CLASSES)))]
    row = st.lists(st.integers(0, 4), min_size=len(classes), max_size=len(classes)).filter(any)
    weights = np.array(draw(st.lists(row, min_size=1, max_size=8)), dtype=np.float64)
    return classes, weights / weights.sum(axis=1, keepdims=True)


def _names(classes: Array) -> list[str]:
    return [str(value) for value in classes.tolist()]


@given(likelihoods(), tolerances, st.randoms(use_true_random=False))
def test_a_graph_whose_probabilities_are_close_is_never_refused_for_its_label(
    likely: tuple[Array, Array], tolerance: Tolerance, random: Any
) -> None:
    """Whatever the tolerance lets them be: the likeliest class by them is the expected one, or a tie with it."""
    classes, probabilities = likely
    noise = np.array([[random.uniform(-0.99, 0.99) for _ in row] for row in probabilities])
    graph = probabilities + noise * (tolerance.absolute + tolerance.relative * probabilities)
    expected, found = (classes[each.argmax(axis=1)] for each in (probabilities, graph))

    assert are_close(probabilities, graph, tolerance).all()
    ties = are_ties(expected, found, probabilities, _names(classes), tolerance)
    assert ((expected == found) | ties).all()


@given(likelihoods(), tolerances)
def test_a_class_that_is_less_likely_is_no_tie(likely: tuple[Array, Array], tolerance: Tolerance) -> None:
    """Beyond what two roundings explain, another label is another answer."""
    classes, probabilities = likely
    expected, found = (classes[each] for each in (probabilities.argmax(axis=1), probabilities.argmin(axis=1)))
    apart = probabilities.max(axis=1) - probabilities.min(axis=1) > 2.01 * (tolerance.absolute + tolerance.relative)

    assert not are_ties(expected, found, probabilities, _names(classes), tolerance)[apart].any()


def test_a_label_that_is_no_class_is_no_tie() -> None:
    """Of either side: nothing says how likely it is."""
    known, strange = np.array(["a", "a"], dtype=object), np.array(["a", "z"], dtype=object)
    probabilities = np.full((2, 2), 0.5)
    for expected, found in ((known, strange), (strange, known)):
        assert are_ties(expected, found, probabilities, ["a", "b"], Tolerance()).tolist() == [True, False]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_close_to_nothing(number: float) -> None:
    """Not even to itself: it proves nothing of a graph."""
    strange, plain = np.array([[1.0, number]]), np.array([[1.0, 2.0]])
    for expected, found in ((strange, strange), (strange, plain), (plain, strange)):
        assert not are_close(expected, found, Tolerance(absolute=1.0, relative=1.0)).any()
