"""The name of one answered row: what ground truth is reported against."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Characters that a request's id may have: it is kept with every answer and every truth.
ID_LENGTH_MAX: Final = 1024


class PredictionId(NamedTuple):
    """The id of a prediction request, and the row within it, from 0.

    A caller that sends single rows under ids of its own needs only the first part: the row is 0.
    """

    request: str
    row: int = 0
