"""Golden rows: the source model's own answers, replayed on this host's runtime before a version may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.interface import dtype_of

if TYPE_CHECKING:
    from sardonyx.registry.v1.manifest_pb2 import Column, Manifest, Tolerance
    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]


class GoldenMismatch(Exception):
    """The runtime of this host does not answer as the source model did; the text says where."""


def feed_of(manifest: Manifest) -> dict[str, Array]:
    """The golden inputs by graph tensor, shape [rows, width], in the graph's types."""
    columns = {column.name: column for column in manifest.golden.inputs}
    feed: dict[str, Array] = {}
    for tensor, binding in zip(manifest.interface.inputs, manifest.graph.inputs, strict=True):
        values = _values(columns[tensor.name]).astype(dtype_of(binding.datatype))
        feed[binding.tensor] = values.reshape(-1, tensor.width or 1)
    return feed


def inputs_of(manifest: Manifest) -> dict[str, Array]:
    """The golden inputs by their own names, shape [rows, width], in the interface's types."""
    columns = {column.name: column for column in manifest.golden.inputs}
    return {
        tensor.name: _values(columns[tensor.name]).astype(dtype_of(tensor.datatype)).reshape(-1, tensor.width or 1)
        for tensor in manifest.interface.inputs
    }


def replay(manifest: Manifest, session: Session) -> None:
    """Run the golden rows and compare.

    Raises:
        GoldenMismatch: an answer is farther from the source model's than the tolerance allows, or there are no rows.
    """
    expected = {column.name: _values(column) for column in manifest.golden.outputs}
    answers = session.run(feed_of(manifest))
    for output, answer in zip(manifest.interface.outputs, answers, strict=True):
        if not len(answer):
            raise GoldenMismatch("The manifest holds no golden rows: nothing proves this version. Export it again.")
        wrong = _differing_rows(answer, expected[output.name].reshape(answer.shape), manifest.golden.tolerance)
        if len(wrong):
            row = int(wrong[0])
            raise GoldenMismatch(
                f"{len(wrong)} of {len(answer)} golden rows differ on this host's runtime: row {row}, output"
                f" {output.name!r}: the source model said {expected[output.name].reshape(answer.shape)[row]}, the graph"
                f" says {answer[row]}. Export the version again with the runtime that serves it."
            )


def rows_of(manifest: Manifest) -> int:
    """How many golden rows a version carries."""
    (column, *_) = manifest.golden.inputs
    kind = column.WhichOneof("values")
    width = manifest.interface.inputs[0].width or 1
    return len(getattr(column, kind).values) // width if kind else 0


def _values(column: Column) -> Array:
    match column.WhichOneof("values"):
        case "doubles":
            return np.array(column.doubles.values, dtype=np.float64)
        case "integers":
            return np.array(column.integers.values, dtype=np.int64)
        case "booleans":
            return np.array(column.booleans.values, dtype=bool)
        case _:
            return np.array(column.texts.values, dtype=object)


def _differing_rows(answer: Array, expected: Array, tolerance: Tolerance) -> Array:
    """Indices of the rows that differ; NaN equals NaN."""
    if answer.dtype.kind == "f":
        close = np.isclose(answer, expected, rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=True)
    else:
        close = answer == expected
    return np.flatnonzero(~np.atleast_2d(close.T).T.all(axis=-1))
