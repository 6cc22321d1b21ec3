"""A converted graph that runs, and answers in the interface's names and types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.interface import dtype_of
from sardonyx.onnx.runtime import ort
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.columns import values_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_exporter.columns import ColumnSpec, Data
    from sardonyx_exporter.source import OutputSpec, Source

Array = npt.NDArray[Any]

_DATATYPES = {
    "tensor(double)": pb.DATATYPE_FP64,
    "tensor(float)": pb.DATATYPE_FP32,
    "tensor(int64)": pb.DATATYPE_INT64,
    "tensor(int32)": pb.DATATYPE_INT32,
    "tensor(bool)": pb.DATATYPE_BOOL,
    "tensor(string)": pb.DATATYPE_BYTES,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of the graph that stands for an input or output."""

    name: str
    tensor: str
    datatype: pb.Datatype.ValueType


class Graph:
    """An ONNX graph in ONNX Runtime, as the server will run it: one thread, the processor.

    Args:
        onnx: the graph's bytes.
        source: the model that it stands for.
        strategy: how it was converted.

    Raises:
        Exception: ONNX Runtime's own, where it refuses the graph.
    """

    def __init__(self, onnx: bytes, source: Source, strategy: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self.onnx = onnx
        self.strategy = strategy
        self._session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self._specs = source.inputs
        self._output_specs = source.outputs
        # The converter renames tensors ("mean radius" becomes mean_radius) and keeps their order.
        self.inputs = _paired(source.inputs, self._session.get_inputs())
        self.outputs = _paired(source.outputs, self._session.get_outputs()[: len(source.outputs)])

    def answer(self, features: Data) -> dict[str, Array]:
        """What the graph says, by output name, in the interface's types and shapes."""
        values = values_of(features, self._specs)
        feed = {
            tensor.tensor: values[tensor.name].astype(dtype_of(tensor.datatype)).reshape(len(features), -1)
            for tensor in self.inputs
        }
        raw = self._session.run([tensor.tensor for tensor in self.outputs], feed)
        return {
            spec.name: _shaped(np.asarray(array), spec) for spec, array in zip(self._output_specs, raw, strict=True)
        }


def _paired(specs: Sequence[ColumnSpec | OutputSpec], tensors: Sequence[Any]) -> list[Tensor]:
    if len(specs) != len(tensors):
        names = ", ".join(tensor.name for tensor in tensors)
        raise ValueError(f"the graph has {len(tensors)} tensors ({names}) where {len(specs)} were expected")
    return [
        Tensor(spec.name, tensor.name, _DATATYPES[tensor.type]) for spec, tensor in zip(specs, tensors, strict=True)
    ]


def _shaped(values: Array, spec: OutputSpec) -> Array:
    values = values.astype(dtype_of(spec.datatype))
    return values.reshape(len(values), spec.width) if spec.width else values.reshape(len(values))
