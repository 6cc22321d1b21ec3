"""What the commands share: their options, and how they speak."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY_HELP: Final = "A directory, or a URL such as s3://bucket/models (also SARDONYX_REGISTRY)."

registry = click.option("--registry", required=True, envvar="SARDONYX_REGISTRY", help=REGISTRY_HELP)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text and tables.")
reason = click.option("--reason", default="", help="Why, for those who read the log of events later.")


def example(command: str) -> str:
    """The epilog of a command's help."""
    return f"\b\nExample:\n  {command}"


@contextmanager
def sentences() -> Iterator[None]:
    """What the user can mend is a sentence and exit 1, never a traceback."""
    try:
        yield
    except SardonyxError as error:
        raise click.ClickException(error.message) from None


def say(data: Any, *texts: Table | Text | str, as_json: bool) -> None:
    """Print what was done or found."""
    if as_json:
        click.echo(json.dumps(data, indent=2, allow_nan=False))
        return
    console = Console()
    for text in texts:
        # Tables fit the terminal; sentences may be piped somewhere, and are not cut into lines.
        console.print(Text(text) if isinstance(text, str) else text, soft_wrap=not isinstance(text, Table))
