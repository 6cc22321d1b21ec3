"""Spans of time as people write them: ``90s``, ``15m``, ``36h``, ``7d``."""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
#: A hundred years are more than anybody means, and any clock can still count back from now by them.
_SECONDS_MAX: Final = 100 * 365 * 86_400
_DURATION: Final = re.compile(r"([1-9][0-9]{0,9})([smhd])")


def parse_duration(text: str) -> int:
    """The seconds that a span of time has.

    Raises:
        ValueError: it is none; the text says what one looks like.
    """
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= _SECONDS_MAX:
        raise ValueError(f"{text!r} is no span of time. Write a whole number and s, m, h or d, such as 36h or 7d.")
    return seconds
