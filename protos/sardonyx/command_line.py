"""What the command lines of all three programs need beside click, which each of them has: the contract does without."""

from __future__ import annotations

import math
from typing import Any

import click


class FiniteRange(click.FloatRange):
    """A range of numbers; who gives something else is told how one is written.

    NaN is none: it is not below the least nor above the greatest, and passes every check. Infinity is none either.
    """

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error where it is none."""
        if not _is_finite(value):
            self.fail(f"{value!r} is no number. Write it without a sign, such as 12.5.", param, ctx)
        number: float = super().convert(value, param, ctx)
        return number


class WholeRange(click.IntRange):
    """A range of whole numbers; who gives something else is told how one is written."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; a usage error where it is none."""
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is no whole number. Write it in digits alone, such as 12.", param, ctx)
        number: int = super().convert(value, param, ctx)
        return number


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except ValueError:
        return False
