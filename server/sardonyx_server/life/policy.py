"""The next step, as a pure function of what is: no memory, no clock, no act."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sardonyx_server.life.states import State

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of one model, at one moment.

    Attributes:
        version: its number.
        major: its interface generation.
        state: where it is in its life.
        wished: the registry says it is live.
        routed: calls lead to it now.
        in_flight: requests that hold it.
    """

    version: int
    major: int
    state: State
    wished: bool
    routed: bool
    in_flight: int


@dataclass(frozen=True, slots=True)
class Load:
    """Load a version, prove it and warm it up."""

    version: int


@dataclass(frozen=True, slots=True)
class Route:
    """Lead the calls of its interface generation to a version that is ready."""

    version: int


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

    A route moves before the version that it left drains, and it moves only to a version that is ready: so a version
    that fails leaves the old one serving.
    """
    for snapshot in versions:
        action = _for_wished(snapshot) if snapshot.wished else _for_unwished(snapshot)
        if action is not None:
            return action
    return None


def _for_wished(snapshot: Snapshot) -> Action | None:
    match snapshot.state:
        case State.NEW:
            return Load(snapshot.version)
        case State.DRAINING:
            return Restore(snapshot.version)
        case State.READY if not snapshot.routed:
            return Route(snapshot.version)
        case _:
            return None


def _for_unwished(snapshot: Snapshot) -> Action | None:
    match snapshot.state:
        case State.NEW | State.FAILED | State.UNLOADED:
            return Forget(snapshot.version)
        case State.READY if not snapshot.routed:
            return Drain(snapshot.version)
        case State.DRAINING if not snapshot.in_flight:
            return Unload(snapshot.version)
        case _:
            return None
