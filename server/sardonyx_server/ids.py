"""Ids for predictions whose caller gave none."""

from __future__ import annotations

import os
from typing import Final

#: As long as a trace id, and as unlikely to meet another.
ID_BYTES: Final = 16
#: Drawn at once: to ask the system for each costs a request 1 µs, and lets the interpreter's lock go in its middle.
_AT_ONCE: Final = 256


class Ids:
    """Gives random ids, 32 hex digits each. Not for several threads."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def next(self) -> str:
        """One that nobody has."""
        if not self._drawn:
            digits, length = os.urandom(ID_BYTES * _AT_ONCE).hex(), 2 * ID_BYTES
            self._drawn = [digits[start : start + length] for start in range(0, len(digits), length)]
        return self._drawn.pop()
