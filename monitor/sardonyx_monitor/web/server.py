"""Uvicorn on the monitor's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import uvicorn

from sardonyx_monitor.listening import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from sardonyx.address import Address

#: Pages under way get so long to end when the monitor stops.
GRACE_S: Final = 2.0


class _Server(uvicorn.Server):
    """Leaves signals to the monitor."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves until it is stopped.

    Args:
        app: what it serves.
    """

    def __init__(self, app: Starlette) -> None:
        settings = uvicorn.Config(app, lifespan="off", access_log=False, log_config=None, server_header=False)
        self._server = _Server(settings)
        self._task: asyncio.Task[None] | None = None

    async def start(self, address: Address) -> int:
        """Begin to serve; the port.

        Raises:
            AddressRefused: the address cannot be had.
        """
        listener = listen(address, "--web")
        port: int = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([listener]), name="web")
        return port

    async def stop(self) -> None:
        """Finish what runs, and hang up on whoever does not read. Safe twice, and before start."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.wait([self._task], timeout=GRACE_S)
            # Uvicorn's own limit cancels the page instead, and writes that as an error with a traceback.
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await self._task
            self._task = None
