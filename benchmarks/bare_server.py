"""The opponent: a grpc.aio server that runs an ONNX session, with nothing around it.

It parses a ModelInferRequest of raw tensors, runs the session and answers: no validation, no routes, no queue, no
telemetry, no second model. Whatever makes sardonyx-server's way through gRPC fast is here too (``sharing``, several
servers on one port), so that this is not what is measured: what sardonyx-server costs beyond it is what sardonyx costs.

    python benchmarks/bare_server.py MODEL.onnx PORT SERVERS
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort
import uvloop

from sardonyx.oip import messages as oip
from sardonyx_server import sharing

DTYPES: dict[str, np.dtype[Any]] = {"FP64": np.dtype("<f8"), "FP32": np.dtype("<f4"), "INT64": np.dtype("<i8")}
NAMES = {"tensor(double)": "FP64", "tensor(float)": "FP32", "tensor(int64)": "INT64"}


class BareServer:
    """Answers ModelInfer for one session.

    Args:
        model: the path of an ONNX graph with numeric tensors.
    """

    def __init__(self, model: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [(tensor.name, NAMES[tensor.type]) for tensor in self._session.get_outputs()]

    async def infer(
        self, request: oip.ModelInferRequest, _: grpc.aio.ServicerContext[Any, Any]
    ) -> oip.ModelInferResponse:
        """Run the session on the request's tensors, in the request's order."""
        feed = {
            name: np.frombuffer(raw, DTYPES[tensor.datatype]).reshape(tensor.shape)
            for name, tensor, raw in zip(self._inputs, request.inputs, request.raw_input_contents, strict=True)
        }
        answers = self._session.run(None, feed)
        response = oip.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
        for (name, datatype), values in zip(self._outputs, answers, strict=True):
            response.outputs.add(name=name, datatype=datatype, shape=values.shape)
            response.raw_output_contents.append(values.tobytes())
        return response


async def serve(model: Path, port: int, count: int) -> None:
    """Serve until the process is ended.

    Args:
        model: the graph.
        port: where.
        count: how many servers share the port: one, as in every example, or as many as sardonyx-server has.
    """
    handler = grpc.unary_unary_rpc_method_handler(
        BareServer(model).infer,
        request_deserializer=oip.ModelInferRequest.FromString,
        response_serializer=oip.ModelInferResponse.SerializeToString,
    )
    handlers = (grpc.method_handlers_generic_handler(oip.SERVICE, {"ModelInfer": handler}),)
    servers = [grpc.aio.server(options=[("grpc.so_reuseport", 1)]) for _ in range(count)]
    for server in servers:
        server.add_generic_rpc_handlers(handlers)
        server.add_insecure_port(f"127.0.0.1:{port}")
        await server.start()
    sharing.let_the_loop_finish()
    await servers[0].wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
