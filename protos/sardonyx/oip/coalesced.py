"""Several callers' predictions in one ModelInferRequest: whose rows are whose.

A client that has many calls in flight may send their rows together. The request's own ``id`` then names the message,
and the parameter ``sardonyx_predictions`` (a string) names the predictions, in the order of their rows::

    {"ids": ["order-1", "order-2"], "rows": [1, 3], "traceparents": ["00-…-…-01", ""]}

``ids`` has an id for each prediction. ``rows`` says how many rows each has, and is left out where each has one.
``traceparents`` has each caller's span (W3C Trace Context; empty: none), and is left out where nobody has one. The
answer is one ModelInferResponse of all rows in the same order, under the request's ``id``; a refusal refuses them all.

JSON, because an id may hold any character and both sides read and write it in C: 64 ids take 7 µs to write and 9 µs
to read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sardonyx.errors import InvalidInput, Violation
from sardonyx.prediction_id import ID_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: The request parameter that makes a request a shared one.
PARAMETER: Final = "sardonyx_predictions"
#: Longer ones are no trace parents: version 00 has 55 characters.
_TRACEPARENT_LENGTH_MAX: Final = 256
_KEYS: Final = frozenset({"ids", "rows", "traceparents"})
_FIELD: Final = f"parameters[{PARAMETER}]"

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Member(NamedTuple):
    """One prediction of a shared request.

    Attributes:
        prediction_id: the caller's id.
        start, stop: its rows are those from start up to, and not including, stop.
        traceparent: the caller's span; empty where it sent none.
    """

    prediction_id: str
    start: int
    stop: int
    traceparent: str


class Coalesced(NamedTuple):
    """The predictions of a shared request.

    Attributes:
        ids: their ids, in the order of the rows.
        rows: how many rows each has; None: one each.
        traceparents: each caller's span, empty where it sent none; None: nobody did.
    """

    ids: Sequence[str]
    rows: Sequence[int] | None = None
    traceparents: Sequence[str] | None = None

    def members(self) -> Iterator[Member]:
        """Each prediction with its place in the request."""
        start = 0
        for index, prediction_id in enumerate(self.ids):
            stop = start + (1 if self.rows is None else self.rows[index])
            yield Member(prediction_id, start, stop, "" if self.traceparents is None else self.traceparents[index])
            start = stop


def write(coalesced: Coalesced) -> str:
    """The parameter's value."""
    content: dict[str, Sequence[Any]] = {"ids": coalesced.ids}
    if coalesced.rows is not None:
        content["rows"] = coalesced.rows
    if coalesced.traceparents is not None:
        content["traceparents"] = coalesced.traceparents
    return _encode(content)


def read(text: str, rows: int) -> Coalesced:
    """The predictions that a request's parameter names.

    Args:
        text: the parameter's value, from whoever sent it.
        rows: how many rows the request has.

    Raises:
        InvalidInput: it is not of this form, an id cannot be kept, or the rows are not those of the request.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise _refused("is no JSON") from None
    if not isinstance(content, dict) or "ids" not in content or not content.keys() <= _KEYS:
        raise _refused(f"is no object of {', '.join(sorted(_KEYS))}")
    coalesced = Coalesced(content["ids"], content.get("rows"), content.get("traceparents"))
    _check_ids(coalesced.ids)
    _check_rows(coalesced, rows)
    if coalesced.traceparents is not None:
        _check_traceparents(coalesced.traceparents, len(coalesced.ids))
    return coalesced


def _check_ids(ids: Any) -> None:
    if not _are_texts(ids) or not ids:
        raise _refused("names no ids, or something else than text")
    if not (min(map(len, ids)) and max(map(len, ids)) <= ID_LENGTH_MAX):
        raise _refused(f"has an id that is empty or has more than {ID_LENGTH_MAX} characters")


def _check_rows(coalesced: Coalesced, rows: int) -> None:
    if coalesced.rows is None:
        said = len(coalesced.ids)
    elif _are_counts(coalesced.rows) and len(coalesced.rows) == len(coalesced.ids):
        said = sum(coalesced.rows)
    else:
        raise _refused("does not give each id a number of rows above 0")
    if said != rows:
        raise _refused(f"speaks of {said} rows where the request has {rows}")


def _check_traceparents(traceparents: Any, count: int) -> None:
    if not _are_texts(traceparents) or len(traceparents) != count:
        raise _refused("does not give each id a traceparent, or an empty one")
    if max(map(len, traceparents)) > _TRACEPARENT_LENGTH_MAX:
        raise _refused(f"has a traceparent of more than {_TRACEPARENT_LENGTH_MAX} characters")


def _are_texts(values: Any) -> bool:
    """Whether it is a list of text that UTF-8 can hold: JSON can write halves of characters."""
    if not isinstance(values, list) or not set(map(type, values)) <= {str}:
        return False
    try:
        "".join(values).encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and set(map(type, values)) <= {int} and min(values, default=0) > 0


def _refused(what: str) -> InvalidInput:
    return InvalidInput([Violation(_FIELD, f"{what}. Write it as sardonyx.oip.coalesced does.")])
