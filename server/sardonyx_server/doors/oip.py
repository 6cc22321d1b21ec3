"""The Open Inference Protocol: six unary calls, of which ModelInfer is the one that matters."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx import __version__, status
from sardonyx.errors import InvalidInput, SardonyxError, VersionNotReady, Violation
from sardonyx.guard import parse, reading, to_internal
from sardonyx.interface import DATATYPE_NAMES, shape_of
from sardonyx.oip import messages as oip
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx.registry.v1.interface_pb2 import Task
from sardonyx_server.log import LOG
from sardonyx_server.routing import resolve
from sardonyx_server.telemetry.record import Record, outputs_of, read_parent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.message import Message

    from sardonyx_server.drain import Drain
    from sardonyx_server.life.manager import Manager
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.sender import Sender

    Context = grpc.aio.ServicerContext[Any, Any]

SERVER_NAME: Final = "sardonyx"


class OipDoor:
    """Answers inference.GRPCInferenceService.

    Requests and answers are bytes at this door: so a message that cannot be read is the caller's error and not a bug,
    and reading and writing count as stages of the prediction.

    Args:
        manager: has the models.
        sender: takes a record of each prediction; None: nobody listens.
        drain: whether the server is going away.
    """

    def __init__(self, manager: Manager, sender: Sender | None, drain: Drain) -> None:
        self._manager = manager
        self._sender = sender
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
        # Its errors are mapped within: the span must know the status.
        methods["ModelInfer"] = grpc.unary_unary_rpc_method_handler(self.model_infer)
        return grpc.method_handlers_generic_handler(oip.SERVICE, methods)

    async def server_live(self, _request: oip.ServerLiveRequest, _context: Context) -> oip.ServerLiveResponse:
        """A process that answers is alive."""
        return oip.ServerLiveResponse(live=True)

    async def server_ready(self, _request: oip.ServerReadyRequest, _context: Context) -> oip.ServerReadyResponse:
        """Ready once every live version serves or has said why not, and until the server drains."""
        return oip.ServerReadyResponse(ready=self._manager.settled and not self._drain.begun)

    async def model_ready(self, request: oip.ModelReadyRequest, _context: Context) -> oip.ModelReadyResponse:
        """Whether a call with this name and version would be answered now; unknown names are errors."""
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

    async def model_metadata(self, request: oip.ModelMetadataRequest, _context: Context) -> oip.ModelMetadataResponse:
        """The interface of the version that a call with this name and version would reach."""
        served = resolve(self._manager.models, request.name, request.version).served
        routes = self._manager.models[request.name].routes
        return _metadata(served, sorted(each.version for each in routes.values()))

    async def model_infer(self, data: bytes, context: Context) -> bytes:
        """One prediction request: its answer, or its status; a span of either."""
        prediction = _Prediction(data)
        try:
            answer = await self._predict(prediction, context)
        except SardonyxError as error:
            failure = status.to_rpc(error)
        except Exception as error:  # the caller must learn that it failed, and nothing of how
            failure = status.to_rpc(to_internal(error, LOG))
        except BaseException:
            self._record(prediction, context, grpc.StatusCode.CANCELLED.name)
            raise
        else:
            self._record(prediction, context, "OK")
            return answer
        self._record(prediction, context, failure.code.name)
        await context.abort(*failure)
        raise AssertionError("abort() returned. This is a bug.")

    async def _predict(self, prediction: _Prediction, context: Context) -> bytes:
        """The walk of a prediction: read, route, check, run, write."""
        if self._drain.begun:
            await self._drain.refuse()
        request = prediction.read()
        served, prediction.route = resolve(self._manager.models, request.model_name, request.model_version)
        with served:
            prediction.served = served
            positions = served.encoder.requested(request)
            feed, prediction.rows, raw = served.decoder.decode(request)
            decoded_ns = time.perf_counter_ns()
            ran = await served.runner.run(feed, prediction.rows, context.time_remaining())
            prediction.outputs = ran.outputs
            ran_ns = time.perf_counter_ns()
            answer = served.encoder.encode(ran.outputs, positions, prediction.prediction_id, prediction.route, raw=raw)
            encode_ns = time.perf_counter_ns() - ran_ns
        prediction.stages_ns = (decoded_ns - prediction.started_ns, ran.queue_ns, ran.run_ns, encode_ns)
        return answer

    def _record(self, prediction: _Prediction, context: Context, code: str) -> None:
        """Leave what telemetry needs; the span is written later, by a thread."""
        if self._sender is None:
            return
        served = prediction.served
        self._sender.record(
            Record(
                model=prediction.model,
                served=served,
                route=prediction.route,
                code=code,
                prediction_id=prediction.prediction_id,
                rows=prediction.rows,
                start_ns=prediction.time_ns,
                duration_ns=time.perf_counter_ns() - prediction.started_ns,
                stages_ns=prediction.stages_ns,
                parent=read_parent(context.invocation_metadata()),
                outputs=outputs_of(served, prediction.outputs) if served and prediction.outputs else None,
            )
        )


class _Prediction:
    """What becomes known of one prediction request on its way."""

    __slots__ = (
        "_data",
        "model",
        "outputs",
        "prediction_id",
        "route",
        "rows",
        "served",
        "stages_ns",
        "started_ns",
        "time_ns",
    )

    def __init__(self, data: bytes) -> None:
        self.time_ns = time.time_ns()
        self.started_ns = time.perf_counter_ns()
        self.model = ""
        self.prediction_id = ""
        self.route = ""
        self.rows = 0
        self.served: Served | None = None
        self.outputs: Any = None
        self.stages_ns = (0, 0, 0, 0)
        self._data = data

    def read(self) -> oip.ModelInferRequest:
        """Parse the request; it is named from here on."""
        request = parse(self._data, oip.ModelInferRequest)
        self.model = request.model_name
        if len(request.id) > ID_LENGTH_MAX:
            found = f"{len(request.id)} characters, and an id has {ID_LENGTH_MAX} at most. Give a shorter one."
            raise InvalidInput([Violation("id", found)])
        # An id of ours is as long as a trace id, and as unlikely to meet another.
        self.prediction_id = request.id or os.urandom(16).hex()
        return request


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
    }
