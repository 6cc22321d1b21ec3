"""The model that MLServer is given: one ONNX session, with as little around it as MLServer allows."""

from __future__ import annotations

import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class OnnxRuntime(MLModel):  # type: ignore[misc]
    """Runs the graph that the model's settings name."""

    async def load(self) -> bool:
        """Build the session."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(self.settings.parameters.uri, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Run it on the request's one tensor."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        answers = self._session.run(None, {self._input: rows})
        outputs = [NumpyCodec.encode_output(name, values) for name, values in zip(self._outputs, answers, strict=True)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)
