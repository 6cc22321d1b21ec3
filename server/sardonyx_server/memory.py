"""The memory of a worker: what it holds, and what it gives back when it holds much more than it needs.

glibc keeps what large requests took for the next ones (``sharing``), and each of its arenas its own. After a flood of
them a worker held 3 GB for good, of which it used a tenth.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from typing import Final

from sardonyx_server import apart
from sardonyx_server.log import LOG

#: How often a worker looks at itself.
INTERVAL_S: Final = 30.0
#: What has grown to less than that is nobody's trouble.
WORTH_BYTES: Final = 256 * 1024 * 1024
#: To give pages back and to get them again costs a large request as much as its run: what steady load needs must stay.
GROWTH: Final = 2.0


class Keeper:
    """Gives memory back to the system that is free within the process.

    Only where the process has grown to twice what it held after the last time: what it holds under steady load soon is
    less than that, and then nothing happens any more.
    """

    def __init__(self) -> None:
        self._held_bytes = max(resident_bytes(), WORTH_BYTES // 2)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            try:
                await asyncio.wrap_future(apart.begin(self.look, "look at the memory"))
            except RuntimeError as error:
                # The system has no thread left for it: soon, perhaps, it has.
                LOG.warning("memory is not given back: %s", error)

    def look(self) -> None:
        """Give back what is worth it."""
        if resident_bytes() >= GROWTH * self._held_bytes:
            _give_back()
            self._held_bytes = max(resident_bytes(), WORTH_BYTES // 2)


def resident_bytes() -> int:
    """The memory that this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - no path, a question to the kernel
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _give_back() -> None:
    """malloc_trim(3), of glibc alone: whole pages that are free, of all arenas."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
