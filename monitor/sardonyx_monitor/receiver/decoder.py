"""Reads messages on a thread of its own, one after the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Decoder:
    """One thread: reading is Python, and two would take turns. The event loop stays free for the pages."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="decoder")

    async def read(self, read: Callable[[bytes], T], data: bytes) -> T:
        """What a message says, once its turn has come; raises what ``read`` raises."""
        waiting = [data]
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: read(waiting.pop()))
        except asyncio.CancelledError:
            # The thread's queue keeps a call that was given up until its turn, and no budget counts that.
            waiting.clear()
            raise

    def stop(self) -> None:
        """Finish what is being read. Safe twice."""
        self._pool.shutdown()
