"""What an act has done: a sentence for people, plain data for scripts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sardonyx_exporter.acts import ActResult, RetireMajorResult, RetireResult, ShareResult


def act_data(result: ActResult | ShareResult | RetireResult | RetireMajorResult) -> dict[str, Any]:
    """An act, for scripts."""
    return asdict(result)


def act_text(result: ActResult, verb: str) -> str:
    """A promotion or a rollback, for people."""
    if not result.changed:
        return f"{result.model} version {result.version} is live already; nothing changed."
    before = f", before it was {result.previous}" if result.previous else ""
    text = f"{result.model}: {verb} version {result.version}, live for v{result.interface_major} now{before}."
    if result.interface_major != result.default_major:
        text += (
            f" Calls that name no version still go to v{result.default_major}: promote with --default-major moves them."
        )
    return text


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


def retire_text(result: RetireResult) -> str:
    """A retirement, for people."""
    if not result.changed:
        return f"{result.model} version {result.version} is retired already; nothing changed."
    return f"{result.model}: retired version {result.version}. No route leads to it any more, and no rollback."


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
