"""The ways on which calls reach a version."""

from __future__ import annotations

from typing import Final, NamedTuple

LIVE: Final = "live"
CANARY: Final = "canary"
SHADOW: Final = "shadow"


class Lane(NamedTuple):
    """One of a version's routes.

    Attributes:
        route: LIVE, CANARY or SHADOW.
        percent: how much of the route's calls go there; all of them on the live one.
    """

    route: str
    percent: float


LIVE_LANE: Final = Lane(LIVE, 100.0)
