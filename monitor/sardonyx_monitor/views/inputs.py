"""Rows that callers sent, captured by chance: what drift is computed from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sardonyx.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.shapes import WindowView
    from sardonyx_monitor.views.window import Window

#: Rows of one answer where none are asked for, and at most: 10,000 rows of 30 numbers are 5 MB of JSON.
LIMIT: Final = 100
LIMIT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class CapturedRow:
    """One row that callers sent, captured by chance.

    Attributes:
        time_ns: when its request came.
        trace_id, span_id: of the request's span.
        prediction_id: of the request.
        row: within the request.
        version: that answered.
        route: why that version.
        weight: how many requests the recorded one stands for.
        inclusion_probability: with which probability a row of a recorded request was captured.
        values: by the input's name a value, or a list of them; None is a missing number.
    """

    time_ns: int
    trace_id: str
    span_id: str
    prediction_id: str
    row: int
    version: int
    route: str
    weight: float
    inclusion_probability: float
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InputsPage:
    """The newest captured rows of a model: each stands for weight / inclusion_probability rows."""

    window: WindowView
    model: str
    inputs: Sequence[CapturedRow]
    limit: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which captured rows are asked for.

    Attributes:
        version: that answered them; None for all.
        limit: how many, the newest ones.
    """

    version: int | None
    limit: int

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Wanted:
        """From an address: ``version`` and ``limit``.

        Raises:
            InvalidInput: one of them is no such number; all that are wrong are named.
        """
        version, limit = query.get("version", "").strip(), query.get("limit", "").strip()
        faults = []
        if version and not _is_number(version, 10**18):
            faults.append(Violation("version", f"{version!r} is no version. Give a number, such as 3."))
        if limit and not _is_number(limit, LIMIT_MAX):
            faults.append(Violation("limit", f"{limit!r} is no limit. Give 1 to {LIMIT_MAX}."))
        if faults:
            raise InvalidInput(faults)
        return cls(int(version) if version else None, int(limit or LIMIT))


def read_inputs(query: Query, name: str, wanted: Wanted, window: Window) -> InputsPage:
    """The newest captured rows of a model; none where it has none."""
    window = window.narrowed(query, name)
    parameters = window.parameters | {"model": name, "version": wanted.version or 0, "limit": wanted.limit}
    rows = query.rows("captured", parameters, of_version=wanted.version is not None)
    return InputsPage(window.view, name, [_captured(row) for row in rows], wanted.limit)


def _captured(row: Mapping[str, Any]) -> CapturedRow:
    return CapturedRow(
        time_ns=row["start_ns"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        prediction_id=row["prediction_id"],
        row=row["row_index"],
        version=row["version"],
        route=row["route"],
        weight=row["weight"],
        inclusion_probability=row["probability"],
        values=json.loads(row["data"]),
    )


def _is_number(text: str, most: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and 0 < int(text) <= most
