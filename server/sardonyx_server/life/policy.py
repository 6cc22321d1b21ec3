"""The next step, as a pure function of what is: no memory, no clock, no act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sardonyx_server.life.lanes import LIVE_LANE, Lane
from sardonyx_server.life.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence

_ON_THE_WAY: Final = frozenset({State.NEW, State.LOADING, State.VERIFYING})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of one model, at one moment.

    Attributes:
        version: its number.
        major: its interface generation.
        state: where it is in its life.
        wished: the lanes that are to lead to it; none: it is not wished for.
        routed: the lanes that lead to it now.
        in_flight: requests that hold it.
        retired: whether its generation is served no more.
    """

    version: int
    major: int
    state: State
    wished: frozenset[Lane]
    routed: frozenset[Lane]
    in_flight: int
    retired: bool = False

    @property
    def due(self) -> frozenset[Lane]:
        """The lanes that a version which is ready should have.

        Those that are wished. The live route is left to it until another version takes it: somebody has to answer,
        as long as the generation is served.
        """
        return self.wished if self.retired else self.wished | (self.routed & {LIVE_LANE})


@dataclass(frozen=True, slots=True)
class Load:
    """Load a version, prove it and warm it up."""

    version: int


@dataclass(frozen=True, slots=True)
class Route:
    """Lead calls to a version that is ready, on these lanes and on no others."""

    version: int
    lanes: frozenset[Lane]


@dataclass(frozen=True, slots=True)
class Restore:
    """Take a draining version back: it is wished for again."""

    version: int


@dataclass(frozen=True, slots=True)
class Drain:
    """Let a version finish what it has."""

    version: int


@dataclass(frozen=True, slots=True)
class Unload:
    """Drop a version from memory."""

    version: int


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the record of a version that failed, or was never loaded, and is not wished for any more."""

    version: int


Action = Load | Route | Restore | Drain | Unload | Forget


def next_action(versions: Sequence[Snapshot]) -> Action | None:
    """What to do next for one model; None where all is as it should be.

    A live route moves before the version that it left drains, and it moves only to a version that is ready: so a
    version that fails leaves the old one serving. A version that only takes a share is loaded after those that are to
    be live, and its share ends at once: the live version answers it.
    """
    live_first = any(LIVE_LANE in each.wished and each.state in _ON_THE_WAY for each in versions)
    for snapshot in versions:
        action = _for_wished(snapshot, live_first) if snapshot.wished else _for_unwished(snapshot)
        if action is not None:
            return action
    return None


def _for_wished(snapshot: Snapshot, live_first: bool) -> Action | None:
    match snapshot.state:
        case State.NEW if LIVE_LANE in snapshot.wished or not live_first:
            return Load(snapshot.version)
        case State.DRAINING:
            return Restore(snapshot.version)
        case State.READY if snapshot.routed != snapshot.due:
            return Route(snapshot.version, snapshot.due)
        case _:
            return None


def _for_unwished(snapshot: Snapshot) -> Action | None:
    match snapshot.state:
        case State.NEW | State.FAILED | State.UNLOADED:
            return Forget(snapshot.version)
        case State.READY if not snapshot.routed:
            return Drain(snapshot.version)
        case State.READY if snapshot.routed != snapshot.due:
            return Route(snapshot.version, snapshot.due)
        case State.DRAINING if not snapshot.in_flight:
            return Unload(snapshot.version)
        case _:
            return None
