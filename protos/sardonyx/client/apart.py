"""Which of the calls that share a request are to be sent again, and in which company, when it was refused or failed."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from sardonyx.errors import (
    AccessDenied,
    DeadlineExceeded,
    InvalidInput,
    NotFound,
    Overloaded,
    SardonyxError,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Errors that no row is to blame for: each call alone would have met them.
_OF_ALL: Final = (AccessDenied, DeadlineExceeded, NotFound, Overloaded, Unavailable)


def parts_after(error: SardonyxError, rows: Sequence[int]) -> list[list[int]]:
    """The calls to send again, as groups of positions; none: the error is that of every call.

    A call whose row the error names is sent alone, and so gets its own error in its own words, and the others together.
    Where the error names none, each half is sent, until the calls at fault are alone: of n calls with one at fault
    that takes 2 log2 n requests, and never more than 2 n.

    Args:
        error: what became of the request that the calls shared.
        rows: how many rows each call has, in the order of the request.
    """
    if len(rows) < 2 or isinstance(error, _OF_ALL):
        return []
    named = sorted(_named(error, list(accumulate(rows)))) if isinstance(error, InvalidInput) else []
    others = [index for index in range(len(rows)) if index not in named]
    # "20 more rows are wrong": then some of the others are too.
    all_named = named and isinstance(error, InvalidInput) and all(each.row is not None for each in error.violations)
    return [[index] for index in named] + ([others] if others and all_named else halves(others))


def halves(calls: Sequence[int]) -> list[list[int]]:
    """Two parts of about one size; fewer where there are fewer calls."""
    middle = (len(calls) + 1) // 2
    return [list(half) for half in (calls[:middle], calls[middle:]) if half]


def _named(error: InvalidInput, stops: Sequence[int]) -> set[int]:
    """The calls whose rows an error names."""
    rows = {violation.row for violation in error.violations if violation.row is not None}
    return {bisect_right(stops, row) for row in rows if 0 <= row < stops[-1]}
