"""Which version answers a call, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import ModelNotFound, RouteNotFound, Unavailable, VersionNotFound, VersionNotReady
from sardonyx_server.life.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx_server.life.manager import Model
    from sardonyx_server.served import Served

LIVE: Final = "live"
PINNED: Final = "pinned"

_VERSION: Final = re.compile(r"[1-9][0-9]{0,17}")
_MAJOR: Final = re.compile(r"v([1-9][0-9]{0,8})")


class Routed(NamedTuple):
    """A version, and why it."""

    served: Served
    route: str


def resolve(models: Mapping[str, Model], name: str, selector: str) -> Routed:
    """Find the version that a call asks for.

    Args:
        models: what this worker has.
        name: the model.
        selector: empty: what is live by default. ``3``: version 3. ``v2``: what is live for interface 2.

    Raises:
        ModelNotFound, VersionNotFound, RouteNotFound: there is no such thing.
        VersionNotReady: there is, and it is loading.
        Unavailable: the model's only version failed to load.
    """
    model = models.get(name)
    if model is None:
        raise ModelNotFound(name, models)
    if not selector:
        return Routed(_live(model, model.default_major or model.wish.default_major, ""), LIVE)
    if _VERSION.fullmatch(selector):
        return Routed(_exact(model, selector), PINNED)
    match = _MAJOR.fullmatch(selector)
    if match is None:
        raise RouteNotFound(name, selector, _selectors(model))
    return Routed(_live(model, int(match[1]), selector), LIVE)


def _live(model: Model, major: int, selector: str) -> Served:
    served = model.routes.get(major)
    if served is not None:
        return served
    wished = model.wish.live.get(major)
    if wished is None:
        raise RouteNotFound(model.name, selector or LIVE, _selectors(model))
    raise _not_ready(model, wished)


def _exact(model: Model, selector: str) -> Served:
    number = int(selector)
    for served in model.routes.values():
        if served.version == number:
            return served
    if number in model.wish.live.values():
        raise _not_ready(model, number)
    raise VersionNotFound(model.name, selector, sorted(str(served.version) for served in model.routes.values()))


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
    return majors + sorted(str(served.version) for served in model.routes.values())
