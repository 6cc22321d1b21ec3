"""What is live: a pure fold over a model's events."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sardonyx.registry.v1.event_pb2 import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class MajorRoutes:
    """The routes of one interface generation.

    Attributes:
        live: the version that answers.
        previous: versions that were live before it, oldest first: what a rollback goes back to.
    """

    live: int
    previous: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LiveMoment:
    """A moment at which a version took a live route.

    Attributes:
        time: when, in UTC.
        major: the interface generation.
        version: the version that answers from then on.
        rolled_back: True where it came back by a rollback.
        actor: who did it.
    """

    time: datetime
    major: int
    version: int
    rolled_back: bool
    actor: str


@dataclass(frozen=True, slots=True)
class Routes:
    """The state of a model's routes after some number of events.

    Attributes:
        sequence: the number of the last event folded in; 0 where there was none.
        default_major: the generation that calls without a version go to; 0 where nothing is live.
        majors: the routes by interface generation.
        approved: versions that somebody answers for.
        retired: versions that may not serve again.
        moments: every move of a live route, oldest first.
    """

    sequence: int = 0
    default_major: int = 0
    majors: Mapping[int, MajorRoutes] = field(default_factory=dict)
    approved: frozenset[int] = frozenset()
    retired: frozenset[int] = frozenset()
    moments: tuple[LiveMoment, ...] = ()

    @property
    def live_versions(self) -> tuple[int, ...]:
        """The versions that are live, by generation."""
        return tuple(self.majors[major].live for major in sorted(self.majors))


def fold(events: Iterable[Event], routes: Routes | None = None, until: datetime | None = None) -> Routes:
    """What the events make of the routes; with ``until``, what was live at that moment."""
    state = routes or Routes()
    for event in events:
        if until is not None and event.time.ToDatetime(UTC) > until:
            break
        state = _apply(state, event)
    return state


def _apply(routes: Routes, event: Event) -> Routes:
    routes = replace(routes, sequence=event.sequence)
    match event.kind:
        case Event.KIND_APPROVED:
            return replace(routes, approved=routes.approved | {event.version})
        case Event.KIND_LIVE | Event.KIND_ROLLED_BACK:
            return _move_live(routes, event)
        case Event.KIND_RETIRED:
            return replace(routes, retired=routes.retired | {event.version})
        case _:
            # Kinds of a later release: a reader that does not know them must not stumble over them.
            return routes


def _move_live(routes: Routes, event: Event) -> Routes:
    rolled_back = event.kind == Event.KIND_ROLLED_BACK
    before = routes.majors.get(event.interface_major)
    if before is None:
        after = MajorRoutes(event.version)
    elif rolled_back:
        # Back to the last time that version was live: what came after it is no longer a way back.
        index = _last_index(before.previous, event.version)
        after = MajorRoutes(event.version, before.previous[:index])
    elif event.version == before.live:
        after = before
    else:
        after = MajorRoutes(event.version, (*before.previous, before.live))
    moment = LiveMoment(event.time.ToDatetime(UTC), event.interface_major, event.version, rolled_back, event.actor)
    moves_default = event.moves_default_major or not routes.default_major
    return replace(
        routes,
        majors={**routes.majors, event.interface_major: after},
        default_major=event.interface_major if moves_default else routes.default_major,
        moments=(*routes.moments, moment),
    )


def _last_index(versions: tuple[int, ...], version: int) -> int:
    for index in reversed(range(len(versions))):
        if versions[index] == version:
            return index
    return len(versions)
