"""The model that Triton's Python backend is given: one ONNX session, run once for all requests that came together."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as triton

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class TritonPythonModel:
    """Runs the graph that the model's configuration names; the class's name is Triton's."""

    def initialize(self, arguments: Mapping[str, str]) -> None:
        """Build the session."""
        graph = json.loads(arguments["model_config"])["parameters"]["graph"]["string_value"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One run for all of them; each gets its own rows' answers."""
        arrays = [request.inputs()[0].as_numpy() for request in requests]
        answers = self._session.run(None, {self._input: arrays[0] if len(arrays) == 1 else np.concatenate(arrays)})
        responses = []
        start = 0
        for array in arrays:
            end = start + len(array)
            tensors = [
                triton.Tensor(name, values[start:end]) for name, values in zip(self._outputs, answers, strict=True)
            ]
            responses.append(triton.InferenceResponse(tensors))
            start = end
        return responses
