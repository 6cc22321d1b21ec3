"""The name of one answered row: what ground truth is reported against."""

from __future__ import annotations

import os
from typing import Final, NamedTuple

#: As long as a trace id, and as unlikely to meet another.
RANDOM_BYTES: Final = 16
#: Drawn at once: to ask the system for each costs a request 1 µs, and lets go of the interpreter's lock in its middle.
_AT_ONCE: Final = 256

#: Characters that a request's id may have: it is kept with every answer and every truth.
ID_LENGTH_MAX: Final = 1024


class PredictionId(NamedTuple):
    """The id of a prediction request, and the row within it, from 0.

    A caller that sends single rows under ids of its own needs only the first part: the row is 0.
    """

    request: str
    row: int = 0


class RandomIds:
    """Gives ids to requests whose callers gave none: 32 hex digits each. May be used by several threads."""

    def __init__(self) -> None:
        self._drawn: list[str] = []
        if hasattr(os, "register_at_fork"):
            # A child must not give what its parent gives.
            os.register_at_fork(after_in_child=self._drawn.clear)

    def next(self) -> str:
        """One that nobody has."""
        try:
            return self._drawn.pop()
        except IndexError:
            digits, length = os.urandom(RANDOM_BYTES * _AT_ONCE).hex(), 2 * RANDOM_BYTES
            first, *others = (digits[start : start + length] for start in range(0, len(digits), length))
            self._drawn.extend(others)
            return first
