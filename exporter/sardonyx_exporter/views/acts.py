"""What an act has done: a sentence for people, plain data for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sardonyx_exporter import hints

if TYPE_CHECKING:
    from sardonyx_exporter.acts import ActResult, RetireMajorResult, RetireResult, ShareResult


def act_data(result: ActResult | ShareResult | RetireResult | RetireMajorResult) -> dict[str, Any]:
    """An act, for scripts."""
    return asdict(result)


def act_text(result: ActResult, verb: str, registry: str) -> str:
    """A promotion or a rollback, for people."""
    if not result.changed:
        return f"{result.model} version {result.version} is live already; nothing changed."
    return f"{_live_text(result, verb)}{_default_text(result, registry)}"


def _live_text(result: ActResult, verb: str) -> str:
    if result.previous == result.version:
        return f"{result.model} version {result.version} is live for v{result.interface_major} already."
    before = f", before it was {result.previous}" if result.previous else ""
    return f"{result.model}: {verb} version {result.version}, live for v{result.interface_major} now{before}."


def _default_text(result: ActResult, registry: str) -> str:
    """Where calls that name no version go, as far as that is not where anybody expects them."""
    now, before = result.default_major, result.previous_default_major
    if before and now != before:
        return f" Calls that name no version go to v{now} now, before it was v{before}."
    if now != result.interface_major:
        move = hints.command("promote", result.model, result.version, "--default-major", registry=registry)
        return f" Calls that name no version still go to v{now}: {move} moves them."
    return ""


def share_text(result: ShareResult) -> str:
    """A canary or a shadow, for people."""
    named, major = f"{result.model} version {result.version}", f"v{result.interface_major}"
    if not result.percent:
        return _ended_text(result, named)
    if not result.changed:
        return f"{named} is the {result.route} of {major} with {result.percent:g} % already; nothing changed."
    does = f"answers {result.percent:g} % of what goes to {major} now, and version {result.live} the rest"
    if result.route == "shadow":
        does = f"sees {result.percent:g} % of what version {result.live} answers for {major} now"
    instead = f" Before it, version {result.replaced} was the {result.route}." if result.replaced else ""
    return f"{result.model}: version {result.version} {does}.{instead}"


def retire_text(result: RetireResult, registry: str) -> str:
    """A retirement, for people. Whoever gave a number may have meant the interface of that number."""
    named = f"version {result.version} (of v{result.interface_major})"
    text = f"{result.model}: retired {named}. No route leads to it any more, and no rollback."
    if not result.changed:
        text = f"{result.model} {named} is retired already; nothing changed."
    if result.same_number_major:
        major = f"v{result.version}"
        end = hints.command("retire", result.model, major, registry=registry)
        text += f" The interface {major} goes on: {end} ends it."
    return text


def retire_major_text(result: RetireMajorResult) -> str:
    """The end of an interface generation, for people."""
    named = f"v{result.interface_major} of {result.model}"
    if not result.changed:
        return f"{named} is retired already; nothing changed."
    how = "retired by force" if result.forced else "retired"
    rest = f" What names no version goes to v{result.default_major}." if result.default_major else " Nothing is live."
    return f"{named} is {how}: servers answer it no more, and nothing of it can go live again.{rest}"


def _ended_text(result: ShareResult, named: str) -> str:
    if not result.changed:
        return f"{named} is no {result.route}; nothing changed."
    rest = f" Version {result.live} answers everybody." if result.route == "canary" else ""
    return f"{result.model}: version {result.version} is the {result.route} of v{result.interface_major} no more.{rest}"
