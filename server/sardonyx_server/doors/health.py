"""grpc.health.v1: overall, and by model name.

Not grpcio-health-checking's servicer: there, the first of several watchers to leave takes the others' wake-ups with it
(its ``Watch`` deletes the condition that they share), and a watcher is whom a drain is announced to.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health_pb2

from sardonyx.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
OVERALL: Final = ""


class HealthDoor:
    """Says who serves, and tells those who watch when that changes."""

    def __init__(self) -> None:
        self._serving: dict[str, bool] = {OVERALL: False}
        self._changed = asyncio.Condition()
        self._closed = False

    async def set(self, name: str, *, serving: bool) -> None:
        """State whether a name serves; nothing changes once the door is closing."""
        if not self._closed and self._serving.get(name) != serving:
            self._serving[name] = serving
            await self._notify()

    async def close(self) -> None:
        """Nothing serves from now on."""
        self._closed = True
        self._serving = dict.fromkeys(self._serving, False)
        await self._notify()

    async def Check(self, request: Any, _context: Context) -> Any:  # noqa: N802 - the protocol's name
        """The state now; NOT_FOUND where the name is unknown, as the protocol asks."""
        if request.service not in self._serving:
            raise NotFound(f"No model {request.service!r} is known here. An empty name asks for the server.")
        return self._response(request.service)

    async def Watch(self, request: Any, _context: Context) -> AsyncIterator[Any]:  # noqa: N802
        """The state now and at each change; SERVICE_UNKNOWN for a name that may yet come."""
        last = None
        while True:
            response = self._response(request.service)
            if response != last:
                yield response
                last = response
                # What changed while the caller read must not be missed.
                continue
            async with self._changed:
                await self._changed.wait_for(lambda: self._response(request.service) != last)  # noqa: B023

    def _response(self, name: str) -> Any:
        kinds = health_pb2.HealthCheckResponse
        serving = self._serving.get(name)
        if serving is None:
            return kinds(status=kinds.SERVICE_UNKNOWN)
        return kinds(status=kinds.SERVING if serving else kinds.NOT_SERVING)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
