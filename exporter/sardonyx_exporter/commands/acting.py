"""The commands that decide who answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from sardonyx_exporter import acts
from sardonyx_exporter.commands import options
from sardonyx_exporter.views import acts as views

if TYPE_CHECKING:
    from collections.abc import Callable

_F = TypeVar("_F", bound="Callable[..., Any]")

_name = click.argument("name")
_version = click.argument("version", type=click.IntRange(1))


def _percent(help_text: str) -> Callable[[_F], _F]:
    return click.option("--percent", required=True, type=click.FloatRange(0, 100), help=help_text)


@click.command("promote", epilog=options.example("sardonyx-exporter promote flight-delay 2 --registry registry/"))
@_name
@_version
@click.option("--default-major", is_flag=True, help="Also lead calls that name no version to its interface.")
@options.reason
@options.registry
@options.as_json
def promote_command(name: str, version: int, registry: str, *, default_major: bool, reason: str, as_json: bool) -> None:
    """Approve VERSION of NAME and make it live for its interface generation."""
    with options.sentences():
        result = acts.promote(name, version, registry=registry, default_major=default_major, reason=reason)
    options.say(views.act_data(result), views.act_text(result, "promoted"), as_json=as_json)


@click.command("rollback", epilog=options.example("sardonyx-exporter rollback flight-delay --registry registry/"))
@_name
@click.option(
    "--major", type=click.IntRange(1), default=None, help="The interface generation; by default the default one."
)
@options.reason
@options.registry
@options.as_json
def rollback_command(name: str, registry: str, *, major: int | None, reason: str, as_json: bool) -> None:
    """Make live again what was live before on NAME."""
    with options.sentences():
        result = acts.rollback(name, registry=registry, major=major, reason=reason)
    options.say(views.act_data(result), views.act_text(result, "rolled back to"), as_json=as_json)


@click.command(
    "canary", epilog=options.example("sardonyx-exporter canary flight-delay 3 --percent 10 --registry registry/")
)
@_name
@_version
@_percent("Of the calls that name no version; 0 ends it.")
@options.reason
@options.registry
@options.as_json
def canary_command(name: str, version: int, registry: str, *, percent: float, reason: str, as_json: bool) -> None:
    """Approve VERSION of NAME and let it answer a share of the calls to its interface generation.

    The calls of one caller stay together: they are told apart by the key routing-key of a request or its metadata, and
    by the prediction id where there is none. A larger share adds callers and moves none back.
    """
    with options.sentences():
        result = acts.canary(name, version, percent=percent, registry=registry, reason=reason)
    options.say(views.act_data(result), views.share_text(result), as_json=as_json)


@click.command(
    "shadow", epilog=options.example("sardonyx-exporter shadow flight-delay 3 --percent 50 --registry registry/")
)
@_name
@_version
@_percent("Of what the live version answers; 0 ends it.")
@options.reason
@options.registry
@options.as_json
def shadow_command(name: str, version: int, registry: str, *, percent: float, reason: str, as_json: bool) -> None:
    """Let VERSION of NAME see a share of what the live version answers; no caller gets its answers.

    How far it agrees with the live version is recorded with the telemetry of each.
    """
    with options.sentences():
        result = acts.shadow(name, version, percent=percent, registry=registry, reason=reason)
    options.say(views.act_data(result), views.share_text(result), as_json=as_json)


@click.command("retire", epilog=options.example("sardonyx-exporter retire flight-delay 1 --registry registry/"))
@_name
@_version
@options.reason
@options.registry
@options.as_json
def retire_command(name: str, version: int, registry: str, *, reason: str, as_json: bool) -> None:
    """Say that VERSION of NAME may not serve again; refused while callers get its answers."""
    with options.sentences():
        result = acts.retire(name, version, registry=registry, reason=reason)
    options.say(views.act_data(result), views.retire_text(result), as_json=as_json)
