"""One model in a worker: what is wished of it, what there is, and where its calls go."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sardonyx.errors import ModelNotFound, Unavailable
from sardonyx.registry import Log
from sardonyx_server.life.lanes import CANARY, LIVE_LANE, SHADOW, Lane
from sardonyx_server.life.policy import Snapshot
from sardonyx_server.life.portion import Portion
from sardonyx_server.life.states import State, check_move

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sardonyx.registry import Share
    from sardonyx_server.served import Served


@dataclass(frozen=True, slots=True)
class Wish:
    """What the registry says of one model.

    Attributes:
        default_major: where calls without a version go; 0 where nothing is live.
        live: the live version of each interface generation.
        before: by interface generation, the versions that were live before, the last one first.
        canary: by interface generation, who answers a share beside the live version.
        shadow: by interface generation, who sees a share of what the live version answers.
        retired: the generations that are served no more.
        log: where the registry says so.
    """

    default_major: int
    live: Mapping[int, int]
    before: Mapping[int, Sequence[int]] = field(default_factory=dict)
    canary: Mapping[int, Share] = field(default_factory=dict)
    shadow: Mapping[int, Share] = field(default_factory=dict)
    retired: frozenset[int] = frozenset()
    log: Log = field(default_factory=Log)


@dataclass(slots=True)
class Version:
    """One version in this worker."""

    number: int
    major: int
    state: State = State.NEW
    reason: str = ""
    served: Served | None = None
    #: In a row; none since it was last ready.
    failures: int = 0
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))

    def enter(self, state: State, reason: str = "") -> None:
        """Move on to another state."""
        check_move(self.state, state)
        self.state, self.reason, self.changed = state, reason, datetime.now(UTC)


@dataclass(slots=True)
class Model:
    """One model in this worker.

    ``routes``, ``canaries``, ``shadows`` and ``default_major`` are what calls follow, by interface generation; they
    change in one step of the event loop, so a request sees them before or after and never between.
    """

    name: str
    wish: Wish
    versions: dict[int, Version] = field(default_factory=dict)
    routes: dict[int, Served] = field(default_factory=dict)
    canaries: dict[int, Portion] = field(default_factory=dict)
    shadows: dict[int, Portion] = field(default_factory=dict)
    default_major: int = 0

    @property
    def settled(self) -> bool:
        """Whether every live route has a version that answers, or none that could. Shares are nobody's to wait for."""
        wanted = (self._for_live(major)[-1] for major in self.wish.live)
        return all(
            (version := self.versions.get(number)) is not None and (version.state is State.READY or version.failures)
            for number in wanted
        )

    @property
    def reachable(self) -> list[Served]:
        """The versions that a call can reach by their number, ascending."""
        portions = (*self.canaries.values(), *self.shadows.values())
        served = {each.version: each for each in (*self.routes.values(), *(portion.served for portion in portions))}
        return [served[number] for number in sorted(served)]

    def snapshots(self) -> list[Snapshot]:
        """What the policy looks at. A version that is wished for is known from here on."""
        wished, routed = self._wished(), self.lanes()
        return [
            Snapshot(
                version.number,
                version.major,
                version.state,
                frozenset(wished.get(version.number, ())),
                routed.get(version.number, frozenset()),
                version.served.in_flight if version.served else 0,
                version.major in self.wish.retired,
            )
            for version in self.versions.values()
        ]

    def lanes(self) -> dict[int, frozenset[Lane]]:
        """The lanes that lead to each version now, by its number."""
        lanes: defaultdict[int, set[Lane]] = defaultdict(set)
        for served in self.routes.values():
            lanes[served.version].add(LIVE_LANE)
        for portion in (*self.canaries.values(), *self.shadows.values()):
            lanes[portion.served.version].add(portion.lane)
        return {number: frozenset(each) for number, each in lanes.items()}

    def lead(self, version: Version, lanes: frozenset[Lane]) -> None:
        """Lead calls to a version that is ready on these lanes; what it had of others ends."""
        served = version.served
        if served is None:
            raise RuntimeError(f"Version {version.number} is ready without a session. This is a bug.")
        if LIVE_LANE in lanes:
            self.routes[version.major] = served
        elif self.routes.get(version.major) is served:
            del self.routes[version.major]
        for route, portions in ((CANARY, self.canaries), (SHADOW, self.shadows)):
            lane = next((each for each in lanes if each.route == route), None)
            had = portions.get(version.major)
            if lane is not None:
                portions[version.major] = Portion(served, lane)
            elif had is not None and had.served is served:
                del portions[version.major]
        self.move_default()

    def move_default(self) -> None:
        """The default goes to a generation only when something answers there, or nothing answers where it is."""
        if self.wish.default_major in self.routes or self.default_major not in self.routes:
            self.default_major = self.wish.default_major

    def _wished(self) -> Mapping[int, set[Lane]]:
        """The lanes that are to lead to each version, by its number."""
        wished: defaultdict[int, set[Lane]] = defaultdict(set)
        for major in self.wish.live:
            for number in self._for_live(major):
                if self._knows(number, major):
                    wished[number].add(LIVE_LANE)
        for route, shares in ((CANARY, self.wish.canary), (SHADOW, self.wish.shadow)):
            for major, share in shares.items():
                if self._knows(share.version, major):
                    wished[share.version].add(Lane(route, share.percent))
        return wished

    def _knows(self, number: int, major: int) -> bool:
        """Take note of a version. A log that has it in two generations is broken, and the first one counts."""
        return self.versions.setdefault(number, Version(number, major)).major == major

    def _for_live(self, major: int) -> Sequence[int]:
        """The versions that a live route is kept for: what is live and, where it failed, what was live before.

        The last of them is to answer, a worker that starts anew must not answer less than those that have the old
        version in memory. Those before it have failed: forgotten, they would be tried for ever.
        """
        numbers: list[int] = []
        for number in (self.wish.live[major], *self.wish.before.get(major, ())):
            numbers.append(number)
            if number not in self.versions or not self.versions[number].failures:
                break
        return numbers


class Models(dict[str, Model]):
    """What a worker has, by name.

    Attributes:
        known: whether the registry has been read: until then, nobody can say which names there are.
        unread: those whose log cannot be read, and never could: what is live of them nobody can say.
        discreet: whether callers have rights: then who asks for what there is not learns no other names.
    """

    known = False
    unread: Collection[str] = ()
    discreet = False

    def find(self, name: str) -> Model:
        """One of them.

        Raises:
            ModelNotFound: there is none of that name.
            Unavailable: there may be, or nobody can say what it is.
        """
        if name in self:
            return self[name]
        if name in self.unread:
            raise Unavailable(
                f"What is live of model {name!r} cannot be read from the registry of this server, whose log says why."
                " Try again when that is mended."
            )
        if self.known:
            raise ModelNotFound(name, None if self.discreet else self)
        raise Unavailable("This server has just begun and has not read its registry yet. Try again in 1 s.")
