"""What counts as the source model's answer: one rule for the proof at export and for the replay before serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.registry.v1.manifest_pb2 import Tolerance

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.bool_]


def are_close(expected: Array, found: Array, tolerance: Tolerance) -> Rows:
    """By row, whether all its numbers are within the tolerance; what is not finite is close to nothing.

    Args:
        expected: what the source model said, shape [rows] or [rows, width].
        found: what the graph says, shaped alike.
        tolerance: how far apart they may be.
    """
    close = np.isclose(found, expected, rtol=tolerance.relative, atol=tolerance.absolute) & np.isfinite(expected)
    return np.asarray(close.reshape(len(close), -1).all(axis=1))


def are_ties(expected: Array, found: Array, probabilities: Array, classes: Sequence[str], tolerance: Tolerance) -> Rows:
    """By row, whether the class found is as likely as the one expected: a label may be either of the two.

    Two probabilities that may each be off by the tolerance can change places where they are up to twice as far apart;
    so no graph whose probabilities are close enough is refused for the label that follows from them.

    Args:
        expected: the source model's labels, shape [rows].
        found: the graph's, alike.
        probabilities: the source model's, shape [rows, classes]; the graph's own would excuse its own mistake.
        classes: the classes' names, in the order of the probabilities.
        tolerance: how far apart probabilities may be.
    """
    positions = {name: position for position, name in enumerate(classes)}
    # A label that is no class is as likely as none.
    likely = np.column_stack([probabilities, np.full(len(probabilities), np.nan)])
    rows = np.arange(len(likely))
    lead, other = (
        likely[rows, [positions.get(str(label), -1) for label in labels.tolist()]] for labels in (expected, found)
    )
    return np.asarray(np.abs(lead - other) <= 2 * (tolerance.absolute + tolerance.relative))
