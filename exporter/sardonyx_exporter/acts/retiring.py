"""What ends a version, or a whole interface generation, for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sardonyx.durations import parse_duration
from sardonyx.errors import InvalidInput, ModelNotFound, RouteNotFound, RuleBroken, Violation
from sardonyx.registry import Registry
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter import hints
from sardonyx_exporter.acts.events import event_of, version_of
from sardonyx_exporter.monitor import DEFAULT_MONITOR, MonitorSilent, read_seen
from sardonyx_exporter.user import current_user

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from sardonyx.registry import Routes
    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from sardonyx_exporter.monitor import Seen, SeenCaller

#: Long enough for what runs once a week.
UNUSED_FOR: Final = "7d"
#: A refusal names so many callers.
_NAMES_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class RetireResult:
    """What an act did.

    Attributes:
        model: its name.
        version: the version that no route leads to any more.
        interface_major: its interface generation.
        changed: False where it was retired already.
        same_number_major: whether an interface generation of the same number answers, and goes on answering.
    """

    model: str
    version: int
    interface_major: int
    changed: bool
    same_number_major: bool


@dataclass(frozen=True, slots=True)
class RetireMajorResult:
    """What an act did.

    Attributes:
        model: its name.
        interface_major: the interface generation that is served no more.
        changed: False where it was retired already.
        forced: whether nobody asked who calls it.
        default_major: the generation that calls without a version go to; 0 where nothing is live any more.
    """

    model: str
    interface_major: int
    changed: bool
    forced: bool
    default_major: int


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
    manifest = version_of(store, name, version)
    who = actor if actor is not None else current_user()

    same_number_major = False

    def decide(routes: Routes) -> Event | None:
        nonlocal same_number_major
        same_number_major = version in routes.majors
        if version in routes.retired:
            return None
        _refuse_answering(store, manifest, routes)
        return event_of(Event.KIND_RETIRED, manifest, who, reason)

    changed = store.append(name, decide) is not None
    return RetireResult(name, version, manifest.interface_major, changed, same_number_major)


def retire_major(
    name: str,
    major: int,
    *,
    registry: str | PathLike[str],
    monitor: str = DEFAULT_MONITOR,
    unused_for: str = UNUSED_FOR,
    force: bool = False,
    reason: str = "",
    actor: str | None = None,
) -> RetireMajorResult:
    """End an interface generation: servers stop answering it, and nothing of it can go live again.

    Args:
        name: the model.
        major: the interface generation.
        registry: where it is.
        monitor: the address of the monitor's page: it knows who calls.
        unused_for: for how long nobody must have called it: a whole number and s, m, h or d.
        force: do it whoever calls, and ask nobody.
        reason: kept with the event. Whoever uses force owes one.
        actor: who does it; by default, who is logged in.

    Raises:
        ModelNotFound, RouteNotFound: there is none.
        InvalidInput: the span of time is none.
        RuleBroken: it is called, or nobody knows whether it is; or calls that name no version go there.
    """
    _check_duration(unused_for)
    store = Registry(registry)
    _check_major(store, name, major)
    who = actor if actor is not None else current_user()

    def decide(routes: Routes) -> Event | None:
        if major in routes.retired_majors:
            return None
        _refuse_default(store, name, major, routes)
        why = f"forced: {reason}" if force else reason
        return Event(kind=Event.KIND_MAJOR_RETIRED, interface_major=major, actor=who, reason=why)

    if decide(before := store.routes(name)) is None:
        return RetireMajorResult(name, major, changed=False, forced=False, default_major=before.default_major)
    if not force:
        _refuse_called(name, major, monitor, unused_for)
    elif not reason:
        raise RuleBroken(f"Whoever ends v{major} of {name!r} by force owes its callers a reason: say why (--reason).")
    changed = store.append(name, decide) is not None
    return RetireMajorResult(name, major, changed, force, store.routes(name).default_major)


def _refuse_answering(store: Registry, manifest: Manifest, routes: Routes) -> None:
    name, version, major = manifest.model, manifest.version, manifest.interface_major
    state = routes.majors.get(major)
    if state is not None and state.live == version:
        whole = hints.command("retire", name, f"v{major}", registry=store.location)
        raise RuleBroken(
            f"Version {version} of {name!r} is live for v{major}. Promote another version or roll back, then retire it."
            f" The whole interface v{major} ends by {whole}."
        )
    if state is not None and state.canary is not None and state.canary.version == version:
        raise RuleBroken(
            f"Version {version} of {name!r} is the canary of v{major} and answers {state.canary.percent:g} % of its"
            " calls. End that first, with a share of 0 %, then retire it."
        )


def _check_duration(text: str) -> None:
    try:
        parse_duration(text)
    except ValueError as error:
        raise InvalidInput([Violation("unused_for", str(error))]) from None


def _check_major(store: Registry, name: str, major: int) -> None:
    versions = store.versions(name)
    if not versions:
        raise ModelNotFound(name, store.models())
    known = {store.manifest(name, version).interface_major for version in versions}
    if major not in known:
        raise RouteNotFound(name, f"v{major}", [f"v{each}" for each in sorted(known)])


def _refuse_default(store: Registry, name: str, major: int, routes: Routes) -> None:
    others = sorted(routes.majors.keys() - {major})
    if major == routes.default_major and others:
        newest = routes.majors[others[-1]].live
        elsewhere = hints.command("promote", name, newest, "--default-major", registry=store.location)
        raise RuleBroken(
            f"Calls that name no version go to v{major} of {name!r}. Lead them elsewhere first, such as by {elsewhere},"
            " then retire it."
        )


def _refuse_called(name: str, major: int, monitor: str, unused_for: str) -> None:
    """Only where the monitor was there for all of the time and saw no call, nobody calls.

    Raises:
        RuleBroken: it saw some, or cannot say.
    """
    refused = f"v{major} of {name!r} was not retired"
    otherwise = "or retire it by force, with the reason (--force --reason)"
    try:
        seen = read_seen(monitor, name, major, unused_for)
    except MonitorSilent as error:
        raise RuleBroken(
            f"{refused}: the monitor at {monitor} knows who calls it, and {error}. Start it, name another (--monitor),"
            f" {otherwise}."
        ) from None
    if seen.callers:
        raise RuleBroken(
            f"{refused}: within {unused_for} it was called by {_listed(seen.callers)}. Lead them to another interface"
            f" first, {otherwise}.",
            [each.name for each in seen.callers],
        )
    if not seen.whole:
        raise RuleBroken(f"{refused}: {_too_young(seen, unused_for)}, {otherwise}.")


def _listed(callers: Sequence[SeenCaller]) -> str:
    named = [
        f"{each.name or 'somebody without a name'} ({each.requests:,.0f} {'call' if each.requests == 1 else 'calls'},"
        f" the last at {each.last:%Y-%m-%d %H:%M:%S} UTC)"
        for each in callers[:_NAMES_MAX]
    ]
    more = len(callers) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _too_young(seen: Seen, unused_for: str) -> str:
    if seen.since is None:
        return "the monitor has seen no call of any model yet. Let the servers send their spans to it"
    return (
        f"nobody was seen calling it, but the monitor's oldest call is of {seen.since:%Y-%m-%d %H:%M:%S} UTC, and"
        f" {unused_for} were asked for. Wait, ask for less (--unused-for)"
    )
