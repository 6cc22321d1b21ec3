"""What acts share: their events, and the approval that comes before an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sardonyx.errors import RuleBroken, VersionNotFound
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter.generation import judge_beside

if TYPE_CHECKING:
    from sardonyx.registry import Registry, Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest


def version_of(store: Registry, name: str, version: int) -> Manifest:
    """A version that something is to be done with.

    Raises:
        ModelNotFound, VersionNotFound: there is none; those that were retired are not proposed instead.
    """
    try:
        return store.manifest(name, version)
    except VersionNotFound:
        routes = store.routes(name)
        there = [store.manifest(name, each) for each in store.versions(name)]
        left = [str(each.version) for each in there if not routes.is_retired(each.version, each.interface_major)]
        raise VersionNotFound(name, str(version), left) from None


def event_of(kind: Event.Kind.ValueType, manifest: Manifest, actor: str, reason: str) -> Event:
    """An event of a version."""
    return Event(
        kind=kind,
        version=manifest.version,
        interface_major=manifest.interface_major,
        actor=actor,
        reason=reason,
    )


def approve(store: Registry, manifest: Manifest, actor: str, reason: str) -> None:
    """Somebody answers for the version from now on; nothing happens where somebody does already.

    Raises:
        RuleBroken: the version was retired.
    """

    def decide(routes: Routes) -> Event | None:
        refuse_retired(manifest, routes)
        approved = manifest.version in routes.approved
        return None if approved else event_of(Event.KIND_APPROVED, manifest, actor, reason)

    store.append(manifest.model, decide)


def refuse_breaking(store: Registry, manifest: Manifest, routes: Routes) -> None:
    """No caller is led to a version that does not implement what it calls.

    The verdict of the export is one on what was live then; another version may have become live since.

    Raises:
        RuleBroken: the version would break those who call the live one of its generation, or one before it.
    """
    state = routes.majors.get(manifest.interface_major)
    if state is None or state.live == manifest.version:
        return
    live = store.manifest(manifest.model, state.live)
    version, verdict = judge_beside(store, manifest, live, routes)
    if verdict.breaks:
        changes = [reason.change for reason in verdict.reasons if reason.breaking]
        raise RuleBroken(
            f"Version {manifest.version} of {manifest.model!r} would break those who call v{manifest.interface_major},"
            f" where version {version} {'is' if version == live.version else 'was'} live: {'; '.join(changes)}. Export"
            " it again, and it becomes the next generation.",
            changes,
        )


def refuse_retired(manifest: Manifest, routes: Routes) -> None:
    """No route leads to what was retired.

    Raises:
        RuleBroken: the version was.
    """
    if manifest.interface_major in routes.retired_majors:
        raise RuleBroken(
            f"v{manifest.interface_major} of {manifest.model!r} was retired, and version {manifest.version} with it."
            " Export it again, and it becomes the next generation."
        )
    if manifest.version in routes.retired:
        raise RuleBroken(f"Version {manifest.version} of {manifest.model!r} was retired. Export it again to serve it.")
