"""A worker gives back what it does not need, and keeps what it does."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap

import pytest

from sardonyx_server import memory, sharing

glibc = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="only glibc keeps free memory so"
)


def printed(script: str) -> list[int]:
    """What a process with a server's settings prints."""
    source = "from sardonyx_server.memory import Keeper, resident_bytes\n" + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", source], env=dict(sharing.environment()), capture_output=True, text=True, check=True
    )
    return [int(line) >> 20 for line in done.stdout.split()]


@glibc
def test_what_a_flood_took_is_given_back() -> None:
    """Half a gigabyte that is free, but for a piece here and there, goes back to the system at the next look."""
    before, held, after = printed(
        """
        keeper = Keeper()
        print(resident_bytes())
        pieces = [b"x" * 100_000 for _ in range(5_000)]
        kept = pieces[::100]
        del pieces
        print(resident_bytes())
        keeper.look()
        print(resident_bytes())
        """
    )
    assert held - before > 400
    assert after - before < 100


@glibc
def test_what_is_needed_again_and_again_stays() -> None:
    """Once it has given back, a process that grows to the same size again under steady load keeps it."""
    first, again = printed(
        """
        keeper = Keeper()
        steady = [b"x" * 100_000 for _ in range(4_000)]
        keeper.look()
        flood = [b"x" * 100_000 for _ in range(2_000)]
        flood = flood[::100]
        print(resident_bytes())
        keeper.look()
        print(resident_bytes())
        """
    )
    assert abs(again - first) < 10


def test_the_memory_of_this_process_is_known() -> None:
    """Where the system says it, it is what the system says: some megabytes at the least."""
    assert memory.resident_bytes() > 1 << 20 or sys.platform != "linux"
