"""Which version answers a call, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import InterfaceRetired, RouteNotFound, Unavailable, VersionNotFound, VersionNotReady
from sardonyx_server.life.lanes import CANARY, LIVE
from sardonyx_server.life.states import State

if TYPE_CHECKING:
    from sardonyx_server.life.model import Model, Models
    from sardonyx_server.life.portion import Portion
    from sardonyx_server.served import Served

PINNED: Final = "pinned"

_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")
_MAJOR: Final = re.compile(r"v([1-9][0-9]{0,8})")


class Routed(NamedTuple):
    """A version, and why it.

    Attributes:
        served: the version that answers.
        route: LIVE, CANARY or PINNED.
        shadow: who may see the call once it is answered; only the live version's calls are seen.
    """

    served: Served
    route: str
    shadow: Portion | None = None


def resolve(models: Models, name: str, selector: str, key: str = "") -> Routed:
    """Find the version that a call asks for.

    Args:
        models: what this worker has.
        name: the model.
        selector: empty: the default interface. ``v2``: interface 2. These name no version: the canary of that interface
            has its share of them, the live version answers the rest. ``canary``: the canary of the default interface,
            whatever its share. ``3``: version 3, if any route leads to it.
        key: what the canary's share goes by, so that calls with one key stay together; empty: not to the canary.

    Raises:
        ModelNotFound, VersionNotFound, RouteNotFound: there is no such thing; InterfaceRetired: there is no more.
        VersionNotReady: there is, and it is loading.
        Unavailable: it failed to load, or the registry has not been read yet.
    """
    model = models.find(name)
    if not selector:
        return _shared(model, _default(model), "", key)
    if _VERSION.fullmatch(selector):
        return Routed(_exact(model, selector), PINNED)
    if selector == CANARY:
        return Routed(_canary(model), CANARY)
    match = _MAJOR.fullmatch(selector)
    if match is None:
        raise RouteNotFound(name, selector, _selectors(model))
    return _shared(model, int(match[1]), selector, key)


def _default(model: Model) -> int:
    return model.default_major or model.wish.default_major


def _shared(model: Model, major: int, selector: str, key: str) -> Routed:
    """The live version of an interface, or its canary."""
    canary = model.canaries.get(major)
    if canary is not None and key and canary.takes(key):
        return Routed(canary.served, CANARY)
    served = model.routes.get(major)
    if served is not None:
        return Routed(served, LIVE, model.shadows.get(major))
    wished = model.wish.live.get(major)
    if wished is None:
        raise _ended(model, major) or RouteNotFound(model.name, selector or LIVE, _selectors(model))
    raise _not_ready(model, wished)


def _canary(model: Model) -> Served:
    major = _default(model)
    canary = model.canaries.get(major)
    if canary is not None:
        return canary.served
    wished = model.wish.canary.get(major)
    if wished is None:
        raise _ended(model, major) or RouteNotFound(model.name, CANARY, _selectors(model))
    raise _not_ready(model, wished.version)


def _exact(model: Model, selector: str) -> Served:
    number = int(selector)
    served = next((each for each in model.reachable if each.version == number), None)
    if served is not None:
        return served
    shares = (*model.wish.canary.values(), *model.wish.shadow.values())
    if number in model.wish.live.values() or any(share.version == number for share in shares):
        raise _not_ready(model, number)
    raise _ended(model) or VersionNotFound(model.name, selector, [str(each.version) for each in model.reachable])


def _ended(model: Model, major: int = 0) -> InterfaceRetired | None:
    """That an interface was retired, if it was; of a model that ended with its interfaces, the latest one was."""
    retired = model.wish.retired
    if not model.wish.live and major not in retired:
        major = max(retired, default=0)
    return InterfaceRetired(model.name, f"v{major}", _selectors(model)) if major in retired else None


def _not_ready(model: Model, number: int) -> Unavailable:
    version = model.versions[number]
    if version.state is State.FAILED:
        return Unavailable(
            f"Version {number} of model {model.name!r} failed to load. ModelService.GetModel says why: promote a"
            " version that loads, or roll back."
        )
    return VersionNotReady(model.name, number, version.state.name.lower())


def _selectors(model: Model) -> list[str]:
    """What a caller may ask for."""
    majors = [f"v{major}" for major in sorted(model.routes)]
    canary = [CANARY] if _default(model) in model.canaries else []
    return [*majors, *canary, *(str(served.version) for served in model.reachable)]
