"""Which versions answer: a pure fold over a model's events.

The rules, by interface generation:

- Live and rolled-back: the version takes the live route. Where it was canary or shadow there, that ends: it answers
  everybody now. What another version takes as canary or shadow goes on beside the new live one, after a rollback too.
- Canary and shadow: the version gets that share, in the place of whichever version had one. The two are independent:
  one version may be both. They stand beside a live version: where nothing is live there is none, and the live version
  itself is neither. A percentage of 0 ends the route of that version, and of no other.
- Retired: whatever the version took as canary or shadow ends, no rollback leads to it, and no route leads to it again.
  A version that is live is not retired.
- Major retired: all routes of the generation end, and none leads to it again. The one that calls without a version go
  to is not retired while another lives. With the last one, the model ends: the next that goes live is its default.

An event that breaks a rule changes nothing but the sequence: the exporter does not write it, and a reader must not
serve by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Final

from sardonyx.registry.v1.event_pb2 import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The share of a route that has all of it.
PERCENT_MAX: Final = 100.0


@dataclass(frozen=True, slots=True)
class Share:
    """A version beside the live one.

    Attributes:
        version: its number.
        percent: how much of the calls it answers, or sees: above 0, at most 100.
    """

    version: int
    percent: float


@dataclass(frozen=True, slots=True)
class MajorRoutes:
    """The routes of one interface generation.

    Attributes:
        live: the version that answers.
        previous: versions that were live before it, oldest first: what a rollback goes back to.
        canary: the version that answers a share of the calls that name no version.
        shadow: the version that sees a share of what the live one answers.
    """

    live: int
    previous: tuple[int, ...] = ()
    canary: Share | None = None
    shadow: Share | None = None


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
        retired_majors: generations that may not.
        moments: every move of a live route, oldest first.
    """

    sequence: int = 0
    default_major: int = 0
    majors: Mapping[int, MajorRoutes] = field(default_factory=dict)
    approved: frozenset[int] = frozenset()
    retired: frozenset[int] = frozenset()
    retired_majors: frozenset[int] = frozenset()
    moments: tuple[LiveMoment, ...] = ()

    @property
    def live_versions(self) -> tuple[int, ...]:
        """The versions that are live, by generation."""
        return tuple(self.majors[major].live for major in sorted(self.majors))

    def rolled_back_from(self, major: int) -> tuple[int, ...]:
        """The versions that were live for a generation, and that no way back leads to, newest first."""
        state = self.majors.get(major)
        kept = {state.live, *state.previous} if state is not None else set[int]()
        return tuple(sorted({each.version for each in self.moments if each.major == major} - kept, reverse=True))

    def is_retired(self, version: int, major: int) -> bool:
        """Whether a version of a generation may not serve again."""
        return version in self.retired or major in self.retired_majors


def fold(events: Iterable[Event], routes: Routes | None = None, until: datetime | None = None) -> Routes:
    """What the events make of the routes; with ``until``, what they were at that moment."""
    state = routes or Routes()
    for event in events:
        if until is not None and event.time.ToDatetime(UTC) > until:
            break
        state = _apply(replace(state, sequence=event.sequence), event)
    return state


def _apply(routes: Routes, event: Event) -> Routes:
    if event.interface_major in routes.retired_majors and event.kind != Event.KIND_RETIRED:
        return routes
    match event.kind:
        case Event.KIND_APPROVED:
            return replace(routes, approved=routes.approved | {event.version})
        case Event.KIND_LIVE | Event.KIND_ROLLED_BACK:
            return routes if event.version in routes.retired else _move_live(routes, event)
        case Event.KIND_CANARY | Event.KIND_SHADOW:
            return _move_share(routes, event)
        case Event.KIND_RETIRED:
            return routes if event.version in routes.live_versions else _retire(routes, event.version)
        case Event.KIND_MAJOR_RETIRED:
            return _retire_major(routes, event.interface_major)
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
        after = replace(before, live=event.version, previous=before.previous[:index])
    elif event.version == before.live:
        after = before
    else:
        after = replace(before, live=event.version, previous=(*before.previous, before.live))
    moment = LiveMoment(event.time.ToDatetime(UTC), event.interface_major, event.version, rolled_back, event.actor)
    moves_default = event.moves_default_major or not routes.default_major
    return replace(
        routes,
        majors={**routes.majors, event.interface_major: _without_shares(after, event.version)},
        default_major=event.interface_major if moves_default else routes.default_major,
        moments=(*routes.moments, moment),
    )


def _move_share(routes: Routes, event: Event) -> Routes:
    before = routes.majors.get(event.interface_major)
    if before is None:
        return routes
    is_canary = event.kind == Event.KIND_CANARY
    share = before.canary if is_canary else before.shadow
    if event.percent == 0:
        share = _unless(share, event.version)
    elif 0 < event.percent <= PERCENT_MAX and event.version not in routes.retired | {before.live}:
        share = Share(event.version, event.percent)
    after = replace(before, canary=share) if is_canary else replace(before, shadow=share)
    return replace(routes, majors={**routes.majors, event.interface_major: after})


def _retire(routes: Routes, version: int) -> Routes:
    majors = {major: _without(state, version) for major, state in routes.majors.items()}
    return replace(routes, majors=majors, retired=routes.retired | {version})


def _retire_major(routes: Routes, major: int) -> Routes:
    left = {each: state for each, state in routes.majors.items() if each != major}
    is_default = major == routes.default_major
    if is_default and left:
        return routes
    return replace(
        routes,
        majors=left,
        default_major=0 if is_default else routes.default_major,
        retired_majors=routes.retired_majors | {major},
    )


def _without(state: MajorRoutes, version: int) -> MajorRoutes:
    # A version that was live before and after the one that goes is one step on the way back, not two.
    history = [each for each, _ in groupby(each for each in (*state.previous, state.live) if each != version)]
    return replace(_without_shares(state, version), previous=tuple(history[:-1]))


def _without_shares(state: MajorRoutes, version: int) -> MajorRoutes:
    return replace(state, canary=_unless(state.canary, version), shadow=_unless(state.shadow, version))


def _unless(share: Share | None, version: int) -> Share | None:
    """The share, unless it is that version's."""
    return None if share is not None and share.version == version else share


def _last_index(versions: tuple[int, ...], version: int) -> int:
    for index in reversed(range(len(versions))):
        if versions[index] == version:
            return index
    return len(versions)
