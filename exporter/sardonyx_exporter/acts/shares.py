"""What gives a version a share beside the live one, and takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import RuleBroken
from sardonyx.registry import Registry
from sardonyx.registry.routes import PERCENT_MAX
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter.acts.events import approve, event_of, refuse_breaking, refuse_retired, version_of
from sardonyx_exporter.user import current_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from sardonyx.registry import MajorRoutes, Routes, Share
    from sardonyx.registry.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class ShareResult:
    """What an act did.

    Attributes:
        model: its name.
        version: the version that the act was about.
        interface_major: its interface generation.
        route: ``canary`` or ``shadow``.
        percent: its share now; 0 where it has none.
        live: the version that is live beside it; 0 where there is none.
        replaced: the version that lost the share to it; 0 where there was none.
        changed: False where everything was so already.
    """

    model: str
    version: int
    interface_major: int
    route: str
    percent: float
    live: int
    replaced: int
    changed: bool


class _Route(NamedTuple):
    """One of the two routes beside the live one."""

    name: str
    kind: Event.Kind.ValueType
    share: Callable[[MajorRoutes], Share | None]


_CANARY: Final = _Route("canary", Event.KIND_CANARY, lambda state: state.canary)
_SHADOW: Final = _Route("shadow", Event.KIND_SHADOW, lambda state: state.shadow)


def canary(
    name: str,
    version: int,
    *,
    percent: float,
    registry: str | PathLike[str],
    reason: str = "",
    actor: str | None = None,
) -> ShareResult:
    """Approve a version and let it answer a share of the calls that go to its interface generation.

    A caller's calls stay together by their routing key, and a larger share adds callers without moving any back.

    Args:
        name: the model.
        version: its version.
        percent: of the calls that name no version: above 0 and at most 100; 0 ends it.
        registry: where both are.
        reason: kept with the event.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound, VersionNotFound: there is none.
        RuleBroken: the version was retired or is live, nothing is live for its interface, it would break those who call
            what is, or that is no percentage.
    """
    return _take(_CANARY, Registry(registry), name, version, percent, reason, actor)


def shadow(
    name: str,
    version: int,
    *,
    percent: float,
    registry: str | PathLike[str],
    reason: str = "",
    actor: str | None = None,
) -> ShareResult:
    """Let a version see a share of what the live version of its interface generation answers; no caller meets it.

    Args:
        name: the model.
        version: its version.
        percent: of the live version's calls: above 0 and at most 100; 0 ends it.
        registry: where both are.
        reason: kept with the event.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound, VersionNotFound: there is none.
        RuleBroken: the version was retired or is live, nothing is live for its interface, it would break those who call
            what is, or that is no percentage.
    """
    return _take(_SHADOW, Registry(registry), name, version, percent, reason, actor)


def _take(
    route: _Route, store: Registry, name: str, version: int, percent: float, reason: str, actor: str | None
) -> ShareResult:
    if not 0 <= percent <= PERCENT_MAX:
        raise RuleBroken(f"{percent:g} % is no share. Give a number above 0 and at most 100, or 0 to end it.")
    manifest = version_of(store, name, version)
    who = actor if actor is not None else current_user()
    before: MajorRoutes | None = None

    def decide(routes: Routes) -> Event | None:
        # What the event follows: another act may have been faster than this one.
        nonlocal before
        before = routes.majors.get(manifest.interface_major)
        if not _changes(store, route, manifest, percent, routes):
            return None
        event = event_of(route.kind, manifest, who, reason)
        event.percent = percent
        return event

    # An approval is written only once the act is known to be allowed: a log must not approve what was refused.
    if route is _CANARY and percent and decide(store.routes(name)) is not None:
        approve(store, manifest, who, reason)
    changed = store.append(name, decide) is not None
    return _result(route, manifest, percent, before, changed=changed)


def _changes(store: Registry, route: _Route, manifest: Manifest, percent: float, routes: Routes) -> bool:
    """Whether there is anything to write.

    Raises:
        RuleBroken: it may not be written.
    """
    state = routes.majors.get(manifest.interface_major)
    share = route.share(state) if state is not None else None
    if not percent:
        return share is not None and share.version == manifest.version
    refuse_retired(manifest, routes)
    _check_beside_live(route, manifest, state)
    refuse_breaking(store, manifest, routes)
    return share is None or (share.version, share.percent) != (manifest.version, percent)


def _check_beside_live(route: _Route, manifest: Manifest, state: MajorRoutes | None) -> None:
    name, version, major = manifest.model, manifest.version, manifest.interface_major
    if state is None:
        raise RuleBroken(
            f"Nothing is live for v{major} of {name!r}, the interface of version {version}, and a {route.name} stands"
            f" beside a live version. Promote a version of v{major} first."
        )
    if state.live == version:
        raise RuleBroken(
            f"Version {version} of {name!r} is live for v{major} and answers everybody. Name another version as the"
            f" {route.name}, or promote another one first."
        )


def _result(
    route: _Route, manifest: Manifest, percent: float, before: MajorRoutes | None, *, changed: bool
) -> ShareResult:
    had = route.share(before) if before is not None else None
    is_other = percent and had is not None and had.version != manifest.version
    return ShareResult(
        model=manifest.model,
        version=manifest.version,
        interface_major=manifest.interface_major,
        route=route.name,
        percent=percent,
        live=before.live if before is not None else 0,
        replaced=had.version if had is not None and is_other else 0,
        changed=changed,
    )
