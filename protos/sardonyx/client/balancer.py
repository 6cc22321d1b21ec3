"""Which connection the next call takes: each in turn, and none whose address cannot be reached."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

#: How long an address is left alone after its first failure; doubled with each that follows, up to AWAY_S_MAX. Then one
#: call tries it, while the others still go elsewhere.
AWAY_S: Final = 0.1
AWAY_S_MAX: Final = 5.0


@dataclass(slots=True)
class _Standing:
    """What is known of an address: calls that failed in a row, and until when it is left alone."""

    failures: int = 0
    away_until: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One connection.

    Attributes:
        address: where it leads.
        number: which of the connections there, from 0.
    """

    address: str
    number: int
    standing: _Standing = field(repr=False)


class Balancer:
    """Hands out connections. May be used by several threads.

    Args:
        addresses: where to.
        connections: how many to each.
        clock: seconds that only grow.
    """

    def __init__(self, addresses: Sequence[str], connections: int, clock: Callable[[], float] = time.monotonic) -> None:
        standings = {address: _Standing() for address in addresses}
        self.links = tuple(
            Link(address, number, standing) for number in range(connections) for address, standing in standings.items()
        )
        self._clock = clock
        self._turn = itertools.count()

    def pick(self, avoid: Collection[str] = (), beside: Link | None = None) -> Link:
        """The connection for a call: the next of those that are best.

        Args:
            avoid: addresses where the call has failed.
            beside: where the same call waits for an answer.
        """
        now = self._clock()
        ranks = [_rank(link, now, avoid, beside) for link in self.links]
        best = min(ranks)
        links = [link for link, rank in zip(self.links, ranks, strict=True) if rank == best]
        link = links[next(self._turn) % len(links)]
        if link.standing.failures:
            _leave_alone(link.standing, now)
        return link

    def others(self, avoid: Collection[str]) -> bool:
        """Whether there is an address left that may answer now."""
        now = self._clock()
        return any(link.standing.away_until <= now and link.address not in avoid for link in self.links)

    def silent(self) -> list[str]:
        """The addresses whose last call nobody answered."""
        return list(dict.fromkeys(link.address for link in self.links if link.standing.failures))

    def failed(self, link: Link) -> None:
        """Nothing can be reached there, or it is going away."""
        link.standing.failures += 1
        _leave_alone(link.standing, self._clock())

    def answered(self, link: Link) -> None:
        """There was an answer, or an error that somebody there decided on."""
        if link.standing.failures:
            link.standing.failures = 0
            link.standing.away_until = 0.0


def _rank(link: Link, now: float, avoid: Collection[str], beside: Link | None) -> tuple[float, bool, bool, bool]:
    """The lower, the better: where nothing can be reached, what is tried again first is as good as anything."""
    away_until = link.standing.away_until
    same_address = beside is not None and link.address == beside.address
    return away_until if away_until > now else 0.0, link.address in avoid, same_address, link is beside


def _leave_alone(standing: _Standing, now: float) -> None:
    standing.away_until = now + min(AWAY_S * 2.0 ** min(standing.failures - 1, 16), AWAY_S_MAX)
