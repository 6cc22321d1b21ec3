"""Which calls belong to a share: always the same ones, on every worker and after every restart."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sardonyx_server.life.lanes import Lane
    from sardonyx_server.served import Served

#: A hash has so many bytes. It costs 0.4 µs for a key of 32 characters; CRC-32 with a mixing step behind it costs as
#: much, and without one the shares of two versions would depend on each other.
_HASH_BYTES: Final = 8
_HASHES: Final = 1 << 8 * _HASH_BYTES


class Portion:
    """A version beside the live one, and the keys that lead to it.

    A key belongs to it where its hash is below the share. So a key keeps its answer while the share stays, and a larger
    share adds keys and drops none. The hash is salted with the version: the next canary tries other callers.

    Args:
        served: the version.
        lane: its route and its share.
    """

    def __init__(self, served: Served, lane: Lane) -> None:
        self.served = served
        self.lane = lane
        salt = f"{served.model}/v{served.major}/{lane.route}/{served.version}/"
        self._salted = blake2b(salt.encode(), digest_size=_HASH_BYTES)
        self._below = int(lane.percent / 100 * _HASHES)

    def takes(self, key: str) -> bool:
        """Whether a key is one of its share."""
        hashed = self._salted.copy()
        hashed.update(key.encode())
        return int.from_bytes(hashed.digest(), "big") < self._below
