"""The gate: in front of every service, it asks who calls before a byte of the request is read.

It stands where gRPC looks for a method's handler, which knows the method and the metadata: an interceptor would see the
same at the price of another coroutine for each call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx import status
from sardonyx.errors import AccessDenied
from sardonyx.oip import messages as oip
from sardonyx_server.access.tokens import Role
from sardonyx_server.doors import health

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sardonyx_server.access.access import Access
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
#: What is about one model, whose name is in the message: the door asks again, with the name.
BY_MODEL: Final = frozenset(
    f"/{oip.SERVICE}/{method}" for method in ("ModelInfer", "ModelStreamInfer", "ModelReady", "ModelMetadata")
)


def gated(
    handlers: Sequence[grpc.GenericRpcHandler], access: Access | None, services: Services
) -> list[grpc.GenericRpcHandler]:
    """The handlers behind a gate; as they are where there is nobody to ask.

    Args:
        handlers: who answers.
        access: who may ask; None: everyone.
        services: the models' own, whose calls are about one model each.
    """
    return list(handlers) if access is None else [_Gate(handlers, access, services)]


class _Gate(grpc.GenericRpcHandler):
    """Finds a method's handler, or the refusal to call it. Every method that is not named above takes ``read``."""

    def __init__(self, handlers: Sequence[grpc.GenericRpcHandler], access: Access, services: Services) -> None:
        self._handlers = handlers
        self._access = access
        self._services = services

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Called by gRPC for each call."""
        method = handler_call_details.method
        try:
            if method in BY_MODEL or self._services.find(method[1:].rpartition("/")[0]):
                self._access.identify(handler_call_details.invocation_metadata)
            elif method not in OPEN:
                self._access.check(handler_call_details.invocation_metadata, Role.READ, None)
        except AccessDenied as error:
            return _refusal(error)
        found = (handler.service(handler_call_details) for handler in self._handlers)
        return next((handler for handler in found if handler is not None), None)


def _refusal(error: AccessDenied) -> grpc.RpcMethodHandler[Any, Any]:
    """Answers with the error at once: as a stream, since a handler of one message waits for all of it first."""

    async def refuse(_requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await context.abort(*status.to_rpc(error))

    return grpc.stream_stream_rpc_method_handler(refuse)
