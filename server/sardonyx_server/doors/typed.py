"""Every model's own service: named fields instead of tensors, through the same walk as every other prediction."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx.errors import SardonyxError
from sardonyx.guard import refuse
from sardonyx_server.call import AGENTS_MAX, Call, read_call
from sardonyx_server.telemetry import timing
from sardonyx_server.telemetry.record import Record
from sardonyx_server.typed.questions import ColumnsQuestion, RowQuestion

if TYPE_CHECKING:
    from sardonyx_server.prediction import Predictor
    from sardonyx_server.typed.services import Generation, Services

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
    Kind = type[RowQuestion] | type[ColumnsQuestion]

#: By method.
_KINDS: Final[dict[str, Kind]] = {"Predict": RowQuestion, "PredictBatch": ColumnsQuestion}
#: The methods of every model's own service.
METHODS: Final = _KINDS.keys()
#: In the trailers of an answer that left fields of the request out of account: their numbers.
UNKNOWN_FIELDS: Final = "sardonyx-unknown-fields"


class TypedDoor(grpc.GenericRpcHandler):
    """Answers the services that there are at the moment of a call; of any other, gRPC says UNIMPLEMENTED.

    Args:
        services: which there are.
        predictor: has the answers.
    """

    def __init__(self, services: Services, predictor: Predictor) -> None:
        self._services = services
        self._predictor = predictor

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Called by gRPC for each call."""
        service, _, method = handler_call_details.method[1:].rpartition("/")
        generation, kind = self._services.find(service), _KINDS.get(method)
        if generation is None or kind is None:
            return None
        call = read_call(handler_call_details.invocation_metadata)
        if call.metadata:
            return grpc.unary_unary_rpc_method_handler(partial(self._answer, generation, kind, call))
        # Most calls say only who calls: one handler does for all of a caller's, as long as the services stay.
        kept, key = self._services.kept, (handler_call_details.method, call.caller)
        plain: Handler | None = kept.get(key)
        if plain is None:
            plain = grpc.unary_unary_rpc_method_handler(partial(self._answer, generation, kind, call))
            if len(kept) < AGENTS_MAX:
                kept[key] = plain
        return plain

    async def _answer(self, generation: Generation, kind: Kind, call: Call, data: bytes, context: Context) -> bytes:
        """One request, its answer or its status."""
        method = "Predict" if kind is RowQuestion else "PredictBatch"
        record = Record(
            f"{generation.typed.name}/{method}", generation.model, start_ns=time.time_ns(), parent=call.parent
        )
        asked: list[RowQuestion | ColumnsQuestion] = []

        def read(data: bytes) -> RowQuestion | ColumnsQuestion:
            asked.append(kind(generation, data))
            return asked[0]

        try:
            answer = await self._predictor.answer(read, data, call, context, record)
        except SardonyxError as error:
            await refuse(context, error)
            return b""
        trailers = [timing.trailer(record.stages_ns)] if call.wants_timing else []
        if asked[0].unknown:
            trailers.append((UNKNOWN_FIELDS, ",".join(map(str, asked[0].unknown))))
        if trailers:
            context.set_trailing_metadata(trailers)
        return answer
