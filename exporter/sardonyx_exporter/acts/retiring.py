"""What ends a version for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sardonyx.errors import RuleBroken
from sardonyx.registry import Registry
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter.acts.events import event_of
from sardonyx_exporter.user import current_user

if TYPE_CHECKING:
    from os import PathLike

    from sardonyx.registry import Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class RetireResult:
    """What an act did.

    Attributes:
        model: its name.
        version: the version that no route leads to any more.
        interface_major: its interface generation.
        changed: False where it was retired already.
    """

    model: str
    version: int
    interface_major: int
    changed: bool


def retire(
    name: str, version: int, *, registry: str | PathLike[str], reason: str = "", actor: str | None = None
) -> RetireResult:
    """Say that a version may not serve again: no route leads to it any more, and no rollback either.

    A shadow that it is ends with that: nobody gets its answers.

    Args:
        name: the model.
        version: its version.
        registry: where both are.
        reason: kept with the event.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound, VersionNotFound: there is none.
        RuleBroken: callers get the version's answers: it is live or canary.
    """
    store = Registry(registry)
    manifest = store.manifest(name, version)
    who = actor if actor is not None else current_user()

    def decide(routes: Routes) -> Event | None:
        if version in routes.retired:
            return None
        _refuse_answering(manifest, routes)
        return event_of(Event.KIND_RETIRED, manifest, who, reason)

    changed = store.append(name, decide) is not None
    return RetireResult(name, version, manifest.interface_major, changed)


def _refuse_answering(manifest: Manifest, routes: Routes) -> None:
    name, version, major = manifest.model, manifest.version, manifest.interface_major
    state = routes.majors.get(major)
    if state is not None and state.live == version:
        raise RuleBroken(
            f"Version {version} of {name!r} is live for v{major}. Promote another version or roll back, then retire it."
        )
    if state is not None and state.canary is not None and state.canary.version == version:
        raise RuleBroken(
            f"Version {version} of {name!r} is the canary of v{major} and answers {state.canary.percent:g} % of its"
            " calls. End that first, with a share of 0 %, then retire it."
        )
