"""A stream of requests and its answers, in their order and with a bound on what is under way.

A client that does not read its answers is not read from either: what it sends on waits at the client. So it cannot fill
the server's memory, with as many answers as it likes, or as large ones.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc

from sardonyx.errors import ServerDraining
from sardonyx.guard import refuse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sardonyx_server.drain import Drain

    Context = grpc.aio.ServicerContext[Any, Any]

#: Requests of one stream that were begun and whose answers are not written yet.
WINDOW: Final = 64
#: Bytes of its requests that are not answered yet, where there are several: an answer may be a hundred times as large,
#: which is known when it is there.
ASKED_BYTES_MAX: Final = 64 * 1024
#: Bytes of its answers that are not written yet; the next request waits beyond.
ANSWERED_BYTES_MAX: Final = 8 * 1024 * 1024
#: The same of all streams of a worker: beyond, each has one request under way.
ALL_BYTES_MAX: Final = 128 * 1024 * 1024


class Streams:
    """The streams of one worker.

    Args:
        drain: ends streams that would go on.
    """

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self.answered_bytes = 0

    async def pipe(
        self, requests: AsyncIterator[bytes], context: Context, answer: Callable[[bytes], Awaitable[bytes]]
    ) -> None:
        """Answer every request of a stream until it ends, or the server drains: then what was read is answered first.

        Args:
            requests: the stream's messages.
            context: takes the answers.
            answer: makes one of the other; never raises but for cancellation.
        """
        flow = _Flow(self, answer)
        reader = asyncio.create_task(flow.read(requests))
        # Not at the end of its own code: one that is cancelled before its first step has none.
        reader.add_done_callback(lambda _: flow.under_way.put_nowait(None))
        try:
            with self._drain.telling(reader.cancel):
                while (answering := await flow.under_way.get()) is not None:
                    answered = await answering
                    await context.write(answered)
                    flow.written(answered)
        except grpc.aio.BaseError:
            # Whoever asked has left: there is nobody to write to.
            return
        finally:
            reader.cancel()
            flow.close()
        if self._drain.begun:
            try:
                await self._drain.refuse()
            except ServerDraining as error:
                await refuse(context, error)


class _Flow:
    """What one stream holds, and when it may hold more.

    Args:
        streams: those of the worker.
        answer: as in ``pipe``.

    Attributes:
        under_way: answers that were begun, in the order of their requests; None is the end.
    """

    def __init__(self, streams: Streams, answer: Callable[[bytes], Awaitable[bytes]]) -> None:
        self.under_way: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue()
        self._streams = streams
        self._answer = answer
        self._requests = 0
        self._asked_bytes = 0
        self._answered_bytes = 0
        self._changed = asyncio.Event()

    async def read(self, requests: AsyncIterator[bytes]) -> None:
        """Begin each request when there is room for its answer."""
        async for data in requests:
            while not self._has_room(len(data)):
                self._changed.clear()
                await self._changed.wait()
            self._requests += 1
            self._asked_bytes += len(data)
            self.under_way.put_nowait(asyncio.create_task(self._answered(data)))

    def written(self, answered: bytes) -> None:
        """An answer has left."""
        self._requests -= 1
        self._add(-len(answered))
        self._changed.set()

    def close(self) -> None:
        """Let go of all that is under way."""
        while not self.under_way.empty():
            if (left := self.under_way.get_nowait()) is not None:
                left.cancel()
        self._add(-self._answered_bytes)

    def _has_room(self, size: int) -> bool:
        if not self._requests:
            return True
        return (
            self._requests < WINDOW
            and (not self._asked_bytes or self._asked_bytes + size <= ASKED_BYTES_MAX)
            and self._answered_bytes <= ANSWERED_BYTES_MAX
            and self._streams.answered_bytes <= ALL_BYTES_MAX
        )

    async def _answered(self, data: bytes) -> bytes:
        try:
            answered = await self._answer(data)
        finally:
            self._asked_bytes -= len(data)
            self._changed.set()
        self._add(len(answered))
        return answered

    def _add(self, size: int) -> None:
        self._answered_bytes += size
        self._streams.answered_bytes += size
