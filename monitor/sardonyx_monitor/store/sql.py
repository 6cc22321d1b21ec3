"""Statements by name, from ``queries/``."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sardonyx_monitor.store.dialect import DuckDB

if TYPE_CHECKING:
    from collections.abc import Mapping

_FOLDER: Final = resources.files(__package__ or "")
# These templates make SQL, not HTML, and values never go in by text: they are parameters ($name).
_TEMPLATES: Final = Environment(  # noqa: S701
    loader=FileSystemLoader(str(_FOLDER / "queries")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.globals["sql"] = DuckDB()
_PARAMETER: Final = re.compile(r"\$([a-z_]+)")


@lru_cache(maxsize=256)
def statement(name: str, **switches: bool) -> str:
    """A statement's text.

    Args:
        name: the file's, without ``.sql``.
        switches: which optional parts it has; only booleans, so that no value can get into the text.
    """
    return _TEMPLATES.get_template(f"{name}.sql").render(**switches)


def used(text: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a statement names: DuckDB refuses any other."""
    return {name: parameters[name] for name in set(_PARAMETER.findall(text))}


def schema() -> str:
    """The statements that make an empty store."""
    return (_FOLDER / "schema.sql").read_text()


def migration(version: int) -> str:
    """The statements that make a store of the version before into one of this version."""
    return (_FOLDER / "migrations" / f"{version}.sql").read_text()
