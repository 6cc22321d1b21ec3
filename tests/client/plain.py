"""A small server of the Open Inference Protocol: it does as it is told, and counts what it meets."""

from __future__ import annotations

import contextlib
import threading
from concurrent import futures
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np

from sardonyx.oip import coalesced
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import decode_raw, encode_raw
from server.scene import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MODEL: Final = "double"
_METADATA: Final = f"/{oip.SERVICE}/ModelMetadata"
_INFER: Final = f"/{oip.SERVICE}/ModelInfer"


@dataclass
class Plain(grpc.GenericRpcHandler):
    """A model of one FP64 input, which answers with twice each value.

    Attributes:
        properties: what its metadata says beside; sardonyx is known by ``sardonyx_version``.
        input: its name; a request that names another is refused.
        version: its number; another one has no interface here.
        hold: each prediction waits for it.
        refusal: what every call is refused with, where there is one.
        asked: how many calls there were, of any method.
        requests: the predictions that came.
        cancelled: how many of them their callers took back before they were answered.
    """

    properties: dict[str, str] = field(default_factory=dict)
    input: str = "x"
    version: str = "1"
    hold: threading.Event = field(default_factory=threading.Event)
    refusal: grpc.StatusCode | None = None
    asked: int = 0
    requests: list[oip.ModelInferRequest] = field(default_factory=list)
    cancelled: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Answer at once, until told otherwise."""
        self.hold.set()

    @property
    def ids(self) -> list[list[str]]:
        """The prediction ids of each request that came."""
        return [_ids_of(request) for request in self.requests]

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler of a method; gRPC asks for it."""
        answers: dict[str, tuple[Callable[[Any], Any], Any]] = {
            _METADATA: (self._metadata, oip.ModelMetadataRequest),
            _INFER: (self._infer, oip.ModelInferRequest),
        }
        if details.method not in answers:
            return None
        answer, request = answers[details.method]

        def handle(message: Any, context: grpc.ServicerContext) -> Any:
            with self._lock:
                self.asked += 1
            if self.refusal is not None:
                context.abort(self.refusal, "not here, not now")
            if answer == self._infer:
                self._note(message, context)
                if message.inputs[0].name != self.input:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"the input is {self.input}")
            elif message.version.isdigit() and message.version != self.version:
                context.abort(grpc.StatusCode.NOT_FOUND, f"the version is {self.version}")
            return answer(message)

        return grpc.unary_unary_rpc_method_handler(
            handle,
            request_deserializer=request.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    def _note(self, request: oip.ModelInferRequest, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.requests.append(request)
        done = threading.Event()

        def over() -> None:
            if not done.is_set():
                with self._lock:
                    self.cancelled += 1

        if not context.add_callback(over):
            # It was cancelled before it came to be looked at.
            over()
        while context.is_active() and not self.hold.wait(0.01):
            pass
        done.set()

    def _metadata(self, request: oip.ModelMetadataRequest) -> oip.ModelMetadataResponse:
        response = oip.ModelMetadataResponse(name=request.name, versions=[self.version], platform="plain")
        response.inputs.add(name=self.input, datatype="FP64", shape=[-1])
        response.outputs.add(name="value", datatype="FP64", shape=[-1])
        for name, value in self.properties.items():
            response.properties[name] = value
        return response

    def _infer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        (tensor,) = request.inputs
        values = np.asarray(decode_raw("FP64", request.raw_input_contents[0], tensor.shape[0]))
        response = oip.ModelInferResponse(model_name=request.model_name, model_version=self.version, id=request.id)
        major = int(self.properties.get("sardonyx_interface_major", "0"))
        if major:
            response.parameters["sardonyx_interface_major"].int64_param = major
        response.outputs.add(name="value", datatype="FP64", shape=tensor.shape)
        response.raw_output_contents.append(encode_raw("FP64", 2 * values))
        return response


def _ids_of(request: oip.ModelInferRequest) -> list[str]:
    if coalesced.PARAMETER not in request.parameters:
        return [request.id]
    (tensor,) = request.inputs
    return list(coalesced.read(request.parameters[coalesced.PARAMETER].string_param, tensor.shape[0]).ids)


@contextlib.contextmanager
def running(
    plain: Plain, port: int = 0, *, tls: grpc.ServerCredentials | None = None, socket: Path | None = None
) -> Iterator[str]:
    """The server on a port of its own, and on a socket where one is named; its address."""
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[plain])
    listen = f"127.0.0.1:{port}"
    port = server.add_insecure_port(listen) if tls is None else server.add_secure_port(listen, tls)
    if socket is not None:
        server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        plain.hold.set()
        server.stop(grace=None).wait(PATIENCE_S)
