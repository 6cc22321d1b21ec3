"""The gate: in front of every service, it asks who calls before a byte of the request is read.

It stands where gRPC looks for a method's handler, which knows the method and the metadata: an interceptor would see the
same at the price of another coroutine for each call.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx import status
from sardonyx.errors import AccessDenied
from sardonyx.guard import refuse
from sardonyx.oip import messages as oip
from sardonyx.telemetry import SPAN_MODEL_INFER, SPAN_MODEL_STREAM_INFER
from sardonyx_server.access.tokens import Role
from sardonyx_server.doors import health, typed
from sardonyx_server.telemetry.record import Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sardonyx_server.access.access import Access
    from sardonyx_server.telemetry.recorder import Recorder
    from sardonyx_server.typed.services import Services

#: What probes call, who have no token: that a process lives, and whether it is ready, are no secrets.
OPEN: Final = frozenset(
    [
        f"/{health.SERVICE}/Check",
        f"/{health.SERVICE}/Watch",
        f"/{oip.SERVICE}/ServerLive",
        f"/{oip.SERVICE}/ServerReady",
    ]
)
_PREDICTIONS: Final = frozenset({f"/{SPAN_MODEL_INFER}", f"/{SPAN_MODEL_STREAM_INFER}"})
#: What is about one model, whose name is in the message: the door asks again, with the name.
BY_MODEL: Final = _PREDICTIONS | {f"/{oip.SERVICE}/ModelReady", f"/{oip.SERVICE}/ModelMetadata"}


def gated(
    handlers: Sequence[grpc.GenericRpcHandler], access: Access | None, services: Services, recorder: Recorder | None
) -> list[grpc.GenericRpcHandler]:
    """The handlers behind a gate; as they are where there is nobody to ask.

    Args:
        handlers: who answers.
        access: who may ask; None: everyone.
        services: the models' own, whose calls are about one model each.
        recorder: takes a record of each prediction that is refused here; None: nobody listens.
    """
    return list(handlers) if access is None else [_Gate(handlers, access, services, recorder)]


class _Gate(grpc.GenericRpcHandler):
    """Finds a method's handler, or the refusal to call it.

    A model's own service takes the right to call that model; every other method that is not named above takes ``read``.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        access: Access,
        services: Services,
        recorder: Recorder | None,
    ) -> None:
        self._handlers = handlers
        self._access = access
        self._services = services
        self._recorder = recorder

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Called by gRPC for each call."""
        try:
            return self._checked(handler_call_details)
        except AccessDenied as error:
            self._note(handler_call_details.method, error)
            return _refusal(error)

    def _checked(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler; raises AccessDenied where the caller may not have it."""
        method, metadata = details.method, details.invocation_metadata
        if method in BY_MODEL:
            self._access.identify(metadata)
        elif method not in OPEN:
            service = method[1:].rpartition("/")[0]
            generation = self._services.find(service)
            if generation is not None:
                self._access.check_service(metadata, service, generation.model)
            elif (found := self._find(details)) is not None:
                self._access.check(metadata, Role.READ, None)
                return found
            else:
                self._access.check_service(metadata, service, None)
        return self._find(details)

    def _note(self, method: str, error: AccessDenied) -> None:
        """Leave a record where it is a prediction that is refused; a method that does not exist is a caller's text."""
        service, _, called = method[1:].rpartition("/")
        generation = self._services.find(service) if called in typed.METHODS else None
        if self._recorder is not None and (generation is not None or method in _PREDICTIONS):
            model, code = generation.model if generation is not None else "", status.code_of(error).name
            self._recorder.record(Record(method[1:], model, code=code, start_ns=time.time_ns()))

    def _find(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        found = (handler.service(details) for handler in self._handlers)
        return next((handler for handler in found if handler is not None), None)


def _refusal(error: AccessDenied) -> grpc.RpcMethodHandler[Any, Any]:
    """Answers with the error at once: as a stream, since a handler of one message waits for all of it first."""

    async def answer(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await refuse(context, error)

    return grpc.stream_stream_rpc_method_handler(answer)
