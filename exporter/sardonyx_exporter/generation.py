"""Which generation of a model's interface a version belongs to: that of the callers whom it may answer.

A generation is held to by the version that is live for it, and where none is, by any of its versions: nobody calls it
yet. A new version joins the generation of the calls that name none, if it may answer those who call it; else the newest
other one whose callers it may answer, so that old callers get their retrained versions too; else it begins the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sardonyx.interface import digest, number_tensors
from sardonyx.registry import fold
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx.typed import drop, form, package_of
from sardonyx.verdict import Verdict, judge, judge_former
from sardonyx_exporter.service import check_form

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sardonyx.registry import Registry, Routes
    from sardonyx.registry.v1.interface_pb2 import Ledger


def place(registry: Registry, name: str, manifest: Manifest, versions: Sequence[int]) -> Verdict:
    """Number the interface of a version to be, judge it, and give it its generation.

    Args:
        registry: holds the versions before.
        name: the model's.
        manifest: has the interface; ledger, digest, generation, verdict and typed service are filled in.
        versions: those that exist already.

    Raises:
        SourceRefused: no typed service can be made of it.
    """
    verdict = _judge(registry, name, manifest, versions)
    typed = manifest.typed_service
    check_form(form(name, typed.package, manifest.interface, manifest.ledger, typed.dropped))
    return verdict


def _judge(registry: Registry, name: str, manifest: Manifest, versions: Sequence[int]) -> Verdict:
    before = registry.manifest(name, versions[-1]).ledger if versions else Manifest().ledger
    manifest.ledger.CopyFrom(number_tensors(manifest.interface, before))
    manifest.interface_digest = digest(manifest.interface)
    routes = fold(registry.events(name))
    first: tuple[int, Verdict] | None = None
    for other in _predecessors(registry, name, versions, routes):
        version, verdict = judge_beside(registry, manifest, other, routes)
        if not verdict.breaks:
            _join(manifest, other)
            manifest.verdict.CopyFrom(verdict.message(version))
            return verdict
        first = first or (version, verdict)
    version, verdict = first or (0, judge(None, manifest.interface, manifest.ledger))
    # Those that were retired count: callers may still know them.
    major = 1 + max((registry.manifest(name, version).interface_major for version in versions), default=0)
    _begin(manifest, major, package_of(name, major, registry.settings().proto_prefix), before)
    manifest.verdict.CopyFrom(verdict.message(version))
    return verdict


def judge_beside(registry: Registry, manifest: Manifest, live: Manifest, routes: Routes) -> tuple[int, Verdict]:
    """Whose callers a version would break, by number, and how; where nobody's, what it is to those of the live one.

    Args:
        registry: has the versions that were rolled back from: their callers were promised something, too.
        manifest: of the version.
        live: whose callers it would take over.
        routes: the model's.
    """
    # The ledger grows from version to version: the longer one has the names of both.
    ledger = max(manifest.ledger, live.ledger, key=lambda each: len(each.entries))
    verdict = judge(live.interface, manifest.interface, ledger)
    if verdict.breaks:
        return live.version, verdict
    for version in routes.rolled_back_from(live.interface_major):
        former = registry.manifest(live.model, version)
        ledger = max(ledger, former.ledger, key=lambda each: len(each.entries))
        found = judge_former(former.interface, live.interface, manifest.interface, ledger)
        if found.breaks:
            return version, found
    return live.version, verdict


def _predecessors(registry: Registry, name: str, versions: Sequence[int], routes: Routes) -> Iterator[Manifest]:
    """The versions whose callers a new one could take over, those of the default generation first.

    A generation that was retired has none.
    """
    default = routes.majors.get(routes.default_major)
    if default is not None:
        yield registry.manifest(name, default.live)
    live = {major: state.live for major, state in routes.majors.items()}
    for version in reversed(versions):
        manifest = registry.manifest(name, version)
        major = manifest.interface_major
        if major in routes.retired_majors:
            continue
        if live.get(major, version) == version and (default is None or version != default.live):
            yield manifest


def _join(manifest: Manifest, other: Manifest) -> None:
    manifest.interface_major = other.interface_major
    manifest.typed_service.CopyFrom(other.typed_service)
    if not other.typed_service.package:
        # Published before there were typed services.
        manifest.typed_service.package = package_of(other.model, other.interface_major)


def _begin(manifest: Manifest, major: int, package: str, before: Ledger) -> None:
    manifest.interface_major = major
    manifest.typed_service.package = package
    manifest.typed_service.dropped.CopyFrom(drop(manifest.interface, before))
