"""How far two versions of one interface generation agree on the same rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.registry.v1.interface_pb2 import OUTPUT_KIND_LABEL, OUTPUT_KIND_PROBABILITIES, OUTPUT_KIND_VALUE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Manifest

Array = npt.NDArray[Any]

#: The metric that says how far a version's own answers are from the truth, on average.
_OWN_ERROR: Final = "mae"


def count_alike(live: Manifest, answered: Sequence[Array], shadowed: Mapping[str, Array]) -> int:
    """How many rows both answer alike.

    Classes are alike where they are equal; where there are only probabilities, the likeliest class counts. Values are
    alike where they are no farther apart than the live version is from the truth on average, as its evaluation found:
    two fits of one problem never give the same number, and a difference below their own error is none. A version that
    states no such error is held to the tolerance of its golden rows. Outputs that only one of them has are passed over.

    Args:
        live: the manifest of the version that answered.
        answered: an array for each output of the interface, shape [rows] or [rows, width].
        shadowed: the other version's, by the outputs' names.
    """
    pairs: dict[int, list[tuple[Array, Array]]] = {}
    for output, ours in zip(live.interface.outputs, answered, strict=True):
        if output.name in shadowed:
            pairs.setdefault(output.kind, []).append((ours, shadowed[output.name]))
    if labels := pairs.get(OUTPUT_KIND_LABEL):
        alike = [ours == theirs for ours, theirs in labels]
    elif probabilities := pairs.get(OUTPUT_KIND_PROBABILITIES):
        alike = [ours.argmax(axis=-1) == theirs.argmax(axis=-1) for ours, theirs in probabilities]
    else:
        alike = [_is_close(live, ours, theirs) for ours, theirs in pairs[OUTPUT_KIND_VALUE]]
    return int(np.count_nonzero(np.logical_and.reduce(alike)))


def _is_close(live: Manifest, ours: Array, theirs: Array) -> Array:
    """By row, whether all its values are alike; NaN is like NaN."""
    absolute, relative = _margin(live)
    close = np.isclose(theirs, ours, rtol=relative, atol=absolute, equal_nan=True)
    return np.asarray(close.reshape(len(close), -1).all(axis=-1))


def _margin(live: Manifest) -> tuple[float, float]:
    error = next((metric.value for metric in live.evaluation.metrics if metric.name == _OWN_ERROR), math.nan)
    if math.isfinite(error):
        return error, 0.0
    return live.golden.tolerance.absolute, live.golden.tolerance.relative
