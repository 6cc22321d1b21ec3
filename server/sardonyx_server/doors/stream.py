"""A stream of requests and its answers, in their order and with a bound on what is under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx import status
from sardonyx.errors import ServerDraining

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sardonyx_server.drain import Drain

    Context = grpc.aio.ServicerContext[Any, Any]

#: Requests of one stream that are read and not yet answered. A client that does not read its answers is not read from
#: either: so it cannot fill the server's memory, and what is sent on waits at the client.
WINDOW: Final = 64


async def pipe(
    requests: AsyncIterator[bytes], context: Context, answer: Callable[[bytes], Awaitable[bytes]], drain: Drain
) -> None:
    """Answer every request of a stream until it ends, or the server drains.

    Args:
        requests: the stream's messages.
        context: takes the answers.
        answer: makes one of the other; never raises but for cancellation.
        drain: ends a stream that would go on: what was read is answered first.
    """
    under_way: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(WINDOW)
    reader = asyncio.create_task(_read(requests, answer, under_way))
    try:
        with drain.telling(reader.cancel):
            while (answered := await under_way.get()) is not None:
                await context.write(await answered)
    except grpc.aio.BaseError:
        # Whoever asked has left: there is nobody to write to.
        return
    finally:
        reader.cancel()
        while not under_way.empty():
            if (left := under_way.get_nowait()) is not None:
                left.cancel()
    if drain.begun:
        await context.abort(*status.to_rpc(ServerDraining()))


async def _read(
    requests: AsyncIterator[bytes],
    answer: Callable[[bytes], Awaitable[bytes]],
    under_way: asyncio.Queue[asyncio.Task[bytes] | None],
) -> None:
    """Begin each request as it comes; None is the end."""
    try:
        async for data in requests:
            await under_way.put(asyncio.ensure_future(answer(data)))
    finally:
        await under_way.put(None)
