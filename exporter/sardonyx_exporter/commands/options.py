"""What the commands share: their options, and how they speak."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from sardonyx.command_line import FiniteRange
from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_F = TypeVar("_F", bound="Callable[..., Any]")

_WHOLE: Final = re.compile(r"-?[0-9]+")
_INTERFACE: Final = re.compile(r"v[0-9]+")
_MAJOR: Final = re.compile(r"v?([1-9][0-9]{0,8})")

REGISTRY_HELP: Final = "A directory, or a URL such as s3://bucket/models (also SARDONYX_REGISTRY)."

registry = click.option("--registry", required=True, envvar="SARDONYX_REGISTRY", help=REGISTRY_HELP)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text and tables.")
reason = click.option("--reason", default="", help="Why, for those who read the log of events later.")


class _Version(click.IntRange):
    """A version's number: who gives an interface is told so."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, str) and _INTERFACE.fullmatch(value):
            self.fail(f"{value!r} is an interface. Give a version, such as 3.", param, ctx)
        if isinstance(value, str) and not _WHOLE.fullmatch(value):
            self.fail(f"{value!r} is no version. Give its number, such as 3.", param, ctx)
        return super().convert(value, param, ctx)


class _Folder(click.Path):
    """A folder, which may be where one is; but only who says so means that."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("It is empty. Name a folder.", param, ctx)
        return super().convert(value, param, ctx)


def _number(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """An interface generation's, as people write it."""
    if value is None:
        return None
    match = _MAJOR.fullmatch(value)
    if match is None:
        raise click.BadParameter(f"{value!r} is no interface generation. Write v2, or 2.")
    return int(match[1])


VERSION: Final = _Version(1)
PERCENT: Final = FiniteRange(0, 100)
NOT_NEGATIVE: Final = FiniteRange(0)
FOLDER: Final = _Folder(path_type=Path)
#: Wider than any table.
_ROOM: Final = Console(width=1_000_000)


def major(help_text: str) -> Callable[[_F], _F]:
    """The option of an interface generation."""
    return click.option("--major", callback=_number, default=None, metavar="vMAJOR", help=help_text)


def example(command: str) -> str:
    """The epilog of a command's help."""
    return f"\b\nExample:\n  {command}"


def pairs(texts: Iterable[str]) -> list[tuple[str, str]]:
    """What ``INPUT=TEXT`` says, for each."""
    found = [text.partition("=") for text in texts]
    for name, equals, _ in found:
        if not name or not equals:
            raise click.BadParameter(f"{name!r} says nothing of an input. Write INPUT=TEXT.")
    twice = [name for name, count in Counter(name for name, _, _ in found).items() if count > 1]
    if twice:
        raise click.BadParameter(f"{twice[0]!r} is given twice. Say it once.")
    return [(name, text) for name, _, text in found]


def bounds(text: str) -> tuple[float | None, float | None]:
    """What ``LOW..HIGH`` says; either may be left out."""
    low, dots, high = text.partition("..")
    try:
        if not dots:
            raise ValueError(text)
        return (float(low) if low else None), (float(high) if high else None)
    except ValueError:
        raise click.BadParameter(f"{text!r} is no range. Write LOW..HIGH, such as 0..24 or 0.. .") from None


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
        # Tables fit the terminal. What is piped somewhere is not cut into lines, and sentences never are.
        if isinstance(text, Table):
            (console if console.is_terminal else Console(width=_width(text))).print(text)
        else:
            console.print(text if isinstance(text, Text) else Text(text), soft_wrap=True)


def widest(tables: Iterable[Table]) -> Table:
    """Of tables that take ever less room, the first that fits the terminal, or the last one."""
    console, choice = Console(), list(tables)
    if not console.is_terminal:
        return choice[0]
    return next((table for table in choice if _width(table) <= console.width), choice[-1])


def _width(table: Table) -> int:
    """How wide it is where there is room."""
    return max(1, Measurement.get(_ROOM, _ROOM.options, table).maximum)
