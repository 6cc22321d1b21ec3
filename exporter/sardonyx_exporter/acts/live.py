"""What makes a version live, and what takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sardonyx.errors import ModelNotFound, RuleBroken
from sardonyx.registry import Registry, Routes
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter.acts.events import approve, event_of, refuse_breaking, refuse_retired, version_of
from sardonyx_exporter.user import current_user

if TYPE_CHECKING:
    from os import PathLike


@dataclass(frozen=True, slots=True)
class ActResult:
    """What an act did.

    Attributes:
        model: its name.
        version: the version that is live now.
        interface_major: for which interface generation.
        previous: the version that was live before; 0 where there was none.
        changed: False where everything was so already.
        default_major: the generation that calls without a version go to.
        previous_default_major: the one that they went to before; 0 where nothing was live.
    """

    model: str
    version: int
    interface_major: int
    previous: int
    changed: bool
    default_major: int
    previous_default_major: int


def promote(
    name: str,
    version: int,
    *,
    registry: str | PathLike[str],
    default_major: bool = False,
    reason: str = "",
    actor: str | None = None,
) -> ActResult:
    """Approve a version and make it live for its interface generation.

    Args:
        name: the model.
        version: its version.
        registry: where both are.
        default_major: calls that name no version go to this version's generation from now on. Without it they go there
            only if nothing was live before.
        reason: kept with the event.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound, VersionNotFound: there is none.
        RuleBroken: the version was retired, or would break those who call its generation.
    """
    store = Registry(registry)
    manifest = version_of(store, name, version)
    who = actor if actor is not None else current_user()
    before = store.routes(name)

    def go_live(routes: Routes) -> Event | None:
        # What the event follows: another act may have been faster than this one.
        nonlocal before
        before = routes
        refuse_retired(manifest, routes)
        refuse_breaking(store, manifest, routes)
        live = routes.majors.get(manifest.interface_major)
        moves = default_major and routes.default_major != manifest.interface_major
        if live is not None and live.live == version and not moves:
            return None
        event = event_of(Event.KIND_LIVE, manifest, who, reason)
        event.moves_default_major = default_major
        return event

    approve(store, manifest, who, reason)
    changed = store.append(name, go_live) is not None
    return _result(store, name, manifest.interface_major, before, changed=changed)


def rollback(
    name: str, *, registry: str | PathLike[str], major: int | None = None, reason: str = "", actor: str | None = None
) -> ActResult:
    """Go back to the version that was live before.

    Args:
        name: the model.
        registry: where it is.
        major: for which interface generation; by default, the one that calls without a version go to.
        reason: kept with the event.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound: there is no such model.
        RuleBroken: nothing was live before.
    """
    store = Registry(registry)
    if not store.versions(name):
        raise ModelNotFound(name, store.models())
    who = actor if actor is not None else current_user()
    before = store.routes(name)
    wanted = major or before.default_major

    def go_back(routes: Routes) -> Event:
        nonlocal before
        before = routes
        live = routes.majors.get(wanted)
        if live is None or not live.previous:
            route = f"v{wanted} of {name!r}" if wanted else repr(name)
            raise RuleBroken(f"Nothing was live before on {route}: there is nothing to go back to. Promote a version.")
        return Event(
            kind=Event.KIND_ROLLED_BACK, version=live.previous[-1], interface_major=wanted, actor=who, reason=reason
        )

    store.append(name, go_back)
    return _result(store, name, wanted, before, changed=True)


def _result(store: Registry, name: str, major: int, before: Routes, *, changed: bool) -> ActResult:
    after = store.routes(name)
    live = before.majors.get(major)
    return ActResult(
        model=name,
        version=after.majors[major].live,
        interface_major=major,
        previous=live.live if live else 0,
        changed=changed,
        default_major=after.default_major,
        previous_default_major=before.default_major,
    )
