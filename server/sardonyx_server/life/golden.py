"""Golden rows: the source model's own answers, replayed on this host's runtime before a version may serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.alike import are_close, are_ties
from sardonyx.interface import dtype_of
from sardonyx.registry.v1 import interface_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx.registry.v1.interface_pb2 import Output
    from sardonyx.registry.v1.manifest_pb2 import Column, Manifest
    from sardonyx_server.life.session import Session

Array = npt.NDArray[Any]


class GoldenMismatch(Exception):
    """The runtime of this host does not answer as the source model did; the text says where."""


def feed_of(manifest: Manifest) -> dict[str, Array]:
    """The golden inputs by graph tensor, shape [rows, width], in the graph's types."""
    columns = {column.name: column for column in manifest.golden.inputs}
    feed: dict[str, Array] = {}
    for tensor, binding in zip(manifest.interface.inputs, manifest.graph.inputs, strict=True):
        values = _values(columns[tensor.name]).astype(dtype_of(binding.datatype or tensor.datatype))
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
    outputs = manifest.interface.outputs
    answers = {output.name: answer for output, answer in zip(outputs, session.run(feed_of(manifest)), strict=True)}
    columns = {column.name: _values(column) for column in manifest.golden.outputs}
    expected = {name: columns[name].reshape(answer.shape) for name, answer in answers.items()}
    for output in outputs:
        answer, said = answers[output.name], expected[output.name]
        if not len(answer):
            raise GoldenMismatch("The manifest holds no golden rows: nothing proves this version. Export it again.")
        wrong = np.flatnonzero(~_alike(manifest, output, expected, answer))
        if len(wrong):
            row = int(wrong[0])
            raise GoldenMismatch(
                f"{len(wrong)} of {len(answer)} golden rows differ on this host's runtime: row {row}, output"
                f" {output.name!r}: the source model said {said[row]}, the graph says {answer[row]}. Export the version"
                " again with the runtime that serves it."
            )


def _alike(manifest: Manifest, output: Output, expected: Mapping[str, Array], answer: Array) -> Array:
    """By row, whether an output is what the source model said, as the exporter's proof has it."""
    tolerance = manifest.golden.tolerance
    said = expected[output.name]
    if answer.dtype.kind == "f":
        return are_close(said, answer, tolerance)
    same = np.asarray((said == answer).reshape(len(answer), -1).all(axis=1))
    if output.kind == pb.OUTPUT_KIND_LABEL:
        for likely in (each for each in manifest.interface.outputs if each.kind == pb.OUTPUT_KIND_PROBABILITIES):
            same |= are_ties(said, answer, expected[likely.name], likely.classes, tolerance)
    return same


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
