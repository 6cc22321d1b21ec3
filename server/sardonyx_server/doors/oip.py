"""The Open Inference Protocol: what it says of servers and models. Its predictions have a file of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx import __version__, status
from sardonyx.errors import SardonyxError, VersionNotReady
from sardonyx.guard import reading
from sardonyx.interface import DATATYPE_NAMES, shape_of
from sardonyx.oip import messages as oip
from sardonyx.registry.v1.interface_pb2 import Task
from sardonyx_server.access.tokens import Role
from sardonyx_server.log import LOG
from sardonyx_server.routing import resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from sardonyx_server.access.access import Access
    from sardonyx_server.drain import Drain
    from sardonyx_server.life.manager import Manager
    from sardonyx_server.served import Served

    Context = grpc.aio.ServicerContext[Any, Any]

SERVER_NAME: Final = "sardonyx"


class OipDoor:
    """Answers inference.GRPCInferenceService, but for its predictions: see InferDoor.

    Args:
        manager: has the models.
        access: who may ask; None: everyone.
        drain: whether the server is going away.
    """

    def __init__(self, manager: Manager, access: Access | None, drain: Drain) -> None:
        self._manager = manager
        self._access = access
        self._drain = drain

    def handler(self) -> grpc.GenericRpcHandler:
        """The service's methods, each with the one error mapping around it."""
        unary: dict[str, tuple[Callable[[Any, Context], Awaitable[Message]], type[Message]]] = {
            "ServerLive": (self.server_live, oip.ServerLiveRequest),
            "ServerReady": (self.server_ready, oip.ServerReadyRequest),
            "ModelReady": (self.model_ready, oip.ModelReadyRequest),
            "ServerMetadata": (self.server_metadata, oip.ServerMetadataRequest),
            "ModelMetadata": (self.model_metadata, oip.ModelMetadataRequest),
        }
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            name: grpc.unary_unary_rpc_method_handler(reading(method, request, LOG))
            for name, (method, request) in unary.items()
        }
        return grpc.method_handlers_generic_handler(oip.SERVICE, methods)

    async def server_live(self, _request: oip.ServerLiveRequest, _context: Context) -> oip.ServerLiveResponse:
        """A process that answers is alive."""
        return oip.ServerLiveResponse(live=True)

    async def server_ready(self, _request: oip.ServerReadyRequest, _context: Context) -> oip.ServerReadyResponse:
        """Ready once every live version serves or has said why not, and until the server drains."""
        return oip.ServerReadyResponse(ready=self._manager.settled and not self._drain.begun)

    async def model_ready(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        """Whether a call with this name and version would be answered now; unknown names are errors."""
        self._check(context, request.name)
        try:
            resolve(self._manager.models, request.name, request.version)
        except VersionNotReady:
            return oip.ModelReadyResponse(ready=False)
        except SardonyxError as error:
            if status.code_of(error) is grpc.StatusCode.UNAVAILABLE:
                return oip.ModelReadyResponse(ready=False)
            raise
        return oip.ModelReadyResponse(ready=not self._drain.begun)

    async def server_metadata(
        self, _request: oip.ServerMetadataRequest, _context: Context
    ) -> oip.ServerMetadataResponse:
        """Name and release; no extensions of the protocol."""
        return oip.ServerMetadataResponse(name=SERVER_NAME, version=__version__)

    async def model_metadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        """The interface of the version that a call with this name and version would reach."""
        self._check(context, request.name)
        served = resolve(self._manager.models, request.name, request.version).served
        return _metadata(served, [each.version for each in self._manager.models[request.name].reachable])

    def _check(self, context: Context, model: str) -> None:
        """Whether this caller may read of this model, which the gate cannot know."""
        if self._access is not None:
            self._access.check(context.invocation_metadata(), Role.READ, model)


def _metadata(served: Served, versions: list[int]) -> oip.ModelMetadataResponse:
    interface = served.manifest.interface
    response = oip.ModelMetadataResponse(name=served.model, versions=map(str, versions), platform="onnx")
    for tensor in interface.inputs:
        response.inputs.add(name=tensor.name, datatype=DATATYPE_NAMES[tensor.datatype], shape=shape_of(tensor))
    for output in interface.outputs:
        response.outputs.add(name=output.name, datatype=DATATYPE_NAMES[output.datatype], shape=shape_of(output))
    response.properties.update(_properties(served))
    return response


def _properties(served: Served) -> Mapping[str, str]:
    interface = served.manifest.interface
    classes = next((list(output.classes) for output in interface.outputs if output.classes), [])
    return {
        "sardonyx_version": str(served.version),
        "sardonyx_interface_major": str(served.major),
        "sardonyx_interface_digest": served.manifest.interface_digest,
        "sardonyx_task": Task.Name(interface.task).removeprefix("TASK_").lower(),
        "sardonyx_classes": json.dumps(classes),
        "sardonyx_optional_inputs": json.dumps([tensor.name for tensor in interface.inputs if tensor.optional]),
    }
