"""``sardonyx-server token``: makes a token, shows it once, and writes down its digest."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sardonyx.command_line import FiniteRange
from sardonyx_server.access.files import AccessFileError
from sardonyx_server.access.tokens import (
    Role,
    Token,
    check_models,
    check_name,
    digest_of,
    new_token,
    read_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _checked(check: Callable[..., object]) -> Callable[[click.Context, click.Parameter, object], object]:
    def callback(_context: click.Context, _parameter: click.Parameter, value: object) -> object:
        try:
            check(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        return value

    return callback


@click.command("token")
@click.argument("name", callback=_checked(check_name))
@click.option(
    "--role",
    "roles",
    multiple=True,
    default=(Role.INFER.value,),
    show_default="infer",
    type=click.Choice([role.value for role in Role]),
    help="What it may do; may be given twice.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    callback=_checked(check_models),
    help="A model that it may call, or * for all; may be given more than once.",
)
@click.option("--expires-days", type=FiniteRange(0, 36_500, min_open=True), help="How long it may be used.")
@click.option("--token-file", type=click.Path(dir_okay=False), help="Append its entry to this file.")
def token(
    name: str, roles: Sequence[str], models: Sequence[str], expires_days: float | None, token_file: str | None
) -> None:
    """Make a token for the caller NAME and show it, once: only its digest is kept.

    Without --token-file the entry for such a file is printed below the token. Servers see a change within a second.
    """
    if Role.INFER in roles and not models:
        raise click.UsageError("A token that may infer needs models. Name each with --model, or all with --model '*'.")
    secret = new_token()
    expires = datetime.now(UTC) + timedelta(days=expires_days) if expires_days else None
    entry = Token(name, digest_of(secret), frozenset(map(Role, roles)), frozenset(models), expires).to_toml()
    if token_file is None:
        click.echo(f"{secret}\n\n{entry}", nl=False)
        return
    try:
        _append(Path(token_file), entry)
    except AccessFileError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{token_file!r} cannot be written: {error.strerror}.") from None
    click.echo(secret)
    click.echo(f"Its digest was added to {token_file}.", err=True)


def _append(path: Path, entry: str) -> None:
    """Add an entry to a file, which is made for its owner alone where there is none.

    Raises:
        AccessFileError: the file is there and is none of tokens: what is wrong is not to grow.
        OSError: it cannot be written.
    """
    if path.exists():
        read_tokens(str(path))
        entry = "\n" + entry
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(entry)
