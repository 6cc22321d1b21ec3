"""ModelInfer and ModelStreamInfer: predictions of the Open Inference Protocol, one a call or many.

Requests and answers are bytes at this door: so a message that cannot be read is the caller's error and not a bug, and
reading and writing count as stages of the prediction.
"""

from __future__ import annotations

import time
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import grpc

from sardonyx import status
from sardonyx.errors import InvalidInput, SardonyxError, Violation
from sardonyx.guard import parse, refuse
from sardonyx.oip import coalesced
from sardonyx.oip.messages import (
    SERVICE,
    InferParameter,
    ModelInferRequest,
    ModelInferResponse,
    ModelStreamInferResponse,
)
from sardonyx.protobuf import delimited
from sardonyx.telemetry import SPAN_MODEL_INFER, SPAN_MODEL_STREAM_INFER
from sardonyx_server.bounds import divide
from sardonyx_server.call import AGENTS_MAX, ROUTING_KEY, Call, read_call
from sardonyx_server.doors.stream import Streams
from sardonyx_server.telemetry import timing
from sardonyx_server.telemetry.record import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    import numpy.typing as npt

    from sardonyx_server.drain import Drain
    from sardonyx_server.prediction import Predictor
    from sardonyx_server.served import Served

    Array = npt.NDArray[Any]
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]

_INFER_RESPONSE = b"\x12"  # ModelStreamInferResponse.infer_response = 2


class InferDoor(grpc.GenericRpcHandler):
    """Answers the two calls.

    It stands where gRPC looks for a method's handler, which has the metadata at hand: to ask a call for it again would
    cost 10 µs.

    Args:
        predictor: has the answers.
        drain: whether the server is going away.
    """

    def __init__(self, predictor: Predictor, drain: Drain) -> None:
        self._predictor = predictor
        self._streams = Streams(drain)
        self._make: dict[str, Callable[[Call], Handler]] = {
            f"/{SERVICE}/ModelInfer": lambda call: grpc.unary_unary_rpc_method_handler(partial(self._infer, call)),
            f"/{SERVICE}/ModelStreamInfer": lambda call: grpc.stream_stream_rpc_method_handler(
                partial(self._stream_infer, call)
            ),
        }
        # Most calls say only who calls: one handler does for all of a caller's.
        self._plain = lru_cache(AGENTS_MAX)(lambda method, caller: self._make[method](Call(caller=caller)))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Called by gRPC for each call."""
        method = handler_call_details.method
        if method not in self._make:
            return None
        call = read_call(handler_call_details.invocation_metadata)
        return self._make[method](call) if call.metadata else self._plain(method, call.caller)

    async def _infer(self, call: Call, data: bytes, context: Context) -> bytes:
        """ModelInfer: one prediction request, its answer or its status."""
        record = Record(SPAN_MODEL_INFER, start_ns=time.time_ns(), parent=call.parent)
        try:
            answer = await self._predictor.answer(InferQuestion, data, call, context, record)
        except SardonyxError as error:
            await refuse(context, error)
            return b""
        if call.wants_timing:
            context.set_trailing_metadata((timing.trailer(record.stages_ns),))
        return answer

    async def _stream_infer(self, call: Call, requests: AsyncIterator[bytes], context: Context) -> None:
        """ModelStreamInfer: many requests, answered in their order; one that fails does not end the stream."""
        call = call._replace(streamed=True)

        async def answer(data: bytes) -> bytes:
            record = Record(SPAN_MODEL_STREAM_INFER, start_ns=time.time_ns(), parent=call.parent)
            try:
                answered = await self._predictor.answer(InferQuestion, data, call, context, record)
            except SardonyxError as error:
                return _refusal(error, record)
            return delimited(_INFER_RESPONSE, answered)

        await self._streams.pipe(requests, context, answer)


class InferQuestion:
    """A ModelInferRequest."""

    __slots__ = (
        "_contents",
        "_positions",
        "_predictions",
        "_raw",
        "_request",
        "model",
        "prediction_id",
        "routing_key",
        "selector",
    )
    id_field = "id"

    def __init__(self, data: bytes) -> None:
        rest, self._contents = divide(data)
        self._request = request = parse(rest, ModelInferRequest)
        self.model = request.model_name
        self.selector = request.model_version
        self.prediction_id = request.id
        self.routing_key = ""
        self._predictions: str | None = None
        parameters = request.parameters
        if parameters:
            self.routing_key = _text(parameters, ROUTING_KEY) or ""
            self._predictions = _text(parameters, coalesced.PARAMETER)
        self._positions: tuple[int, ...] = ()
        self._raw = True

    def decode(self, served: Served) -> tuple[Mapping[str, Array], int, coalesced.Coalesced | None]:
        """The arrays by graph tensor, how many rows, and whose they are; InvalidInput names all that is wrong."""
        outputs = self._request.outputs
        self._positions = served.encoder.requested(outputs) if outputs else served.encoder.all
        feed, rows, self._raw = served.decoder.decode(self._request, self._contents)
        return feed, rows, None if self._predictions is None else coalesced.read(self._predictions, rows)

    def encode(self, served: Served, outputs: Sequence[Array], record: Record) -> bytes:
        """A ModelInferResponse's bytes."""
        return served.encoder.encode(outputs, self._positions, record.prediction_id, record.route, raw=self._raw)


def _text(parameters: Mapping[str, InferParameter], name: str) -> str | None:
    """A parameter's text; None where it was not sent.

    Raises:
        InvalidInput: it is no text.
    """
    if name not in parameters:
        return None
    if parameters[name].WhichOneof("parameter_choice") != "string_param":
        raise InvalidInput([Violation(f"parameters[{name}]", "expected a string_param. Send it as text.")])
    return parameters[name].string_param


def _refusal(error: SardonyxError, record: Record) -> bytes:
    """A stream has one status, at its end: what went wrong with one request is said in a message."""
    named = ModelInferResponse(model_name=record.model, id=record.prediction_id)
    named.parameters["sardonyx_code"].string_param = record.code
    return ModelStreamInferResponse(
        error_message=status.to_rpc(error).message, infer_response=named
    ).SerializeToString()
