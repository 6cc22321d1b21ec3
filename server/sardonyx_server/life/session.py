"""An ONNX Runtime session with the names and types that the interface speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sardonyx.interface import dtype_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Manifest

Array = npt.NDArray[Any]


class Session:
    """Runs one version's graph.

    Args:
        manifest: says which interface name is which tensor.
        graph: the ONNX bytes.
        threads: intra-op threads.

    Raises:
        RuntimeError: ONNX Runtime refuses the graph (any of its exceptions).
    """

    def __init__(self, manifest: Manifest, graph: bytes, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads would take the processor from the workers that share it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._output_tensors = [binding.tensor for binding in manifest.graph.outputs]
        self._casts = [dtype_of(output.datatype) for output in manifest.interface.outputs]
        self._widths = [output.width for output in manifest.interface.outputs]

    def run(self, feed: Mapping[str, Array]) -> Sequence[Array]:
        """The answers in the order of the interface's outputs, in the interface's types.

        Args:
            feed: arrays by graph tensor, shape [rows, width].

        Returns:
            An array for each output, shape [rows] or [rows, width].
        """
        raw = self._session.run(self._output_tensors, feed)
        return [
            _shaped(values, cast, width) for values, cast, width in zip(raw, self._casts, self._widths, strict=True)
        ]


def _shaped(values: Array, cast: np.dtype[Any], width: int) -> Array:
    values = values if values.dtype == cast else values.astype(cast)
    return values.reshape(len(values), width) if width else values.reshape(len(values))
