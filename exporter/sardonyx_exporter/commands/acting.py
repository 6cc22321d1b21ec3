"""The commands that decide who answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sardonyx_exporter import acts
from sardonyx_exporter.commands import options
from sardonyx_exporter.monitor import DEFAULT_MONITOR
from sardonyx_exporter.views import acts as views

if TYPE_CHECKING:
    from collections.abc import Callable

_F = TypeVar("_F", bound="Callable[..., Any]")

_name = click.argument("name")
_version = click.argument("version", type=options.VERSION)


def _percent(help_text: str) -> Callable[[_F], _F]:
    return click.option("--percent", required=True, type=options.PERCENT, help=help_text)


@click.command(
    "promote",
    epilog=options.example("sardonyx-exporter promote flight-delay 2 --registry registry/"),
    context_settings={"allow_extra_args": True},
)
@_name
@_version
@click.option("--default-major", is_flag=True, help="Also lead calls that name no version to its interface.")
@options.reason
@options.registry
@options.as_json
def promote_command(name: str, version: int, registry: str, *, default_major: bool, reason: str, as_json: bool) -> None:
    """Approve VERSION of NAME and make it live for its interface generation."""
    if words := click.get_current_context().args:
        raise click.UsageError(_too_many(words, default_major=default_major))
    with options.sentences():
        result = acts.promote(name, version, registry=registry, default_major=default_major, reason=reason)
    options.say(views.act_data(result), views.act_text(result, "promoted", registry), as_json=as_json)


def _too_many(words: list[str], *, default_major: bool) -> str:
    text = f"promote takes NAME and VERSION, and nothing more: what is {' '.join(words)!r}?"
    if default_major:
        text += " --default-major takes no value: the default moves to the interface of VERSION."
    return text


@click.command("rollback", epilog=options.example("sardonyx-exporter rollback flight-delay --registry registry/"))
@_name
@options.major("The interface generation, such as v2; by default the default one.")
@options.reason
@options.registry
@options.as_json
def rollback_command(name: str, registry: str, *, major: int | None, reason: str, as_json: bool) -> None:
    """Make live again what was live before on NAME."""
    with options.sentences():
        result = acts.rollback(name, registry=registry, major=major, reason=reason)
    options.say(views.act_data(result), views.act_text(result, "rolled back to", registry), as_json=as_json)


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


def _what(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[int, bool]:
    """A version, such as 3, or an interface generation, such as v1: its number, and whether it is the latter."""
    match = re.fullmatch(r"(v?)([1-9][0-9]{0,8})", value)
    if match is None:
        raise click.BadParameter(f"{value!r} is neither a version, such as 3, nor an interface, such as v1.")
    return int(match[2]), bool(match[1])


RETIRE_EXAMPLE: Final = """
\b
Examples:
  sardonyx-exporter retire flight-delay 1 --registry registry/
  sardonyx-exporter retire flight-delay v1 --unused-for 30d \\
      --monitor http://127.0.0.1:8080 --registry registry/
"""


@click.command("retire", epilog=RETIRE_EXAMPLE)
@_name
@click.argument("what", callback=_what, metavar="VERSION|vMAJOR")
@click.option(
    "--monitor",
    default=DEFAULT_MONITOR,
    show_default=True,
    envvar="SARDONYX_MONITOR",
    help="The monitor's page, which knows who calls an interface (also SARDONYX_MONITOR).",
)
@click.option(
    "--unused-for",
    default=acts.UNUSED_FOR,
    show_default=True,
    metavar="TIME",
    help="For how long nobody must have called an interface: a number and s, m, h or d.",
)
@click.option("--force", is_flag=True, help="Retire an interface whoever calls it; takes a --reason.")
@options.reason
@options.registry
@options.as_json
def retire_command(
    name: str,
    what: tuple[int, bool],
    registry: str,
    *,
    monitor: str,
    unused_for: str,
    force: bool,
    reason: str,
    as_json: bool,
) -> None:
    """End a version of NAME, or a whole interface generation, for good.

    A version may not serve again; that is refused while callers get its answers. An interface, such as v1, is answered
    no more; that is refused while the monitor has seen calls of it lately, and it names the callers.
    """
    number, is_major = what
    if force and not is_major:
        raise click.UsageError(
            "--force is for interfaces, such as v1: no route is to lead to a version that is retired."
        )
    with options.sentences():
        if is_major:
            ended = acts.retire_major(
                name, number, registry=registry, monitor=monitor, unused_for=unused_for, force=force, reason=reason
            )
            data, text = views.act_data(ended), views.retire_major_text(ended)
        else:
            result = acts.retire(name, number, registry=registry, reason=reason)
            data, text = views.act_data(result), views.retire_text(result, registry)
    options.say(data, text, as_json=as_json)
