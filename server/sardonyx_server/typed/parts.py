"""How many parts a typed request may have: counted in its bytes before they become objects, as for tensors.

An empty text is two bytes on the wire and 32 in memory, and a field that nobody knows is looked at in Python. A request
that is well made has a part for each column of numbers, and one for each text. Counting takes 0.1 µs a part, and small
messages are not counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx.errors import InvalidInput, Violation
from sardonyx_server.bounds import PARTS_MAX, read_varint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sardonyx.typed import Form

#: Messages below are not counted: of fields that nobody knows they have 32,768 at most, which take 20 ms.
COUNTED_BYTES_MIN: Final = 1 << 16

#: ``features`` and ``columns`` of the requests.
_INPUTS: Final = 1
_UNKNOWN: Final = 0
_VARINT, _DELIMITED = 0, 2
#: Bytes of the wire types whose size is fixed.
_FIXED: Final = {1: 8, 5: 4}


def limits_of(form: Form, rows_max: int) -> dict[int, int]:
    """How many parts each field may have; 0: all those together that nobody knows."""
    limits = {field.number: max(rows_max * (field.tensor.width or 1), PARTS_MAX) for field in form.inputs}
    return {**limits, _UNKNOWN: PARTS_MAX}


def check_parts(data: bytes, limits: Mapping[int, int], message: str) -> None:
    """Count the parts of a typed request.

    Args:
        data: the request.
        limits: how many of each field there may be.
        message: what the bytes should be.

    Raises:
        InvalidInput: there are more than any version takes, or the bytes are no message.
    """
    if len(data) < COUNTED_BYTES_MIN:
        return
    left, position, end = dict(limits), 0, len(data)
    try:
        while position < end:
            number, start, position = _field(data, position, end)
            _take(left, _UNKNOWN)
            if number == _INPUTS:
                _count(data, start, position, left)
    except IndexError:
        raise _refused(f"these bytes are no {message}. Compile the protocol's .proto.") from None


def _count(data: bytes, position: int, end: int, left: dict[int, int]) -> None:
    """Count the inputs of a request."""
    while position < end:
        tag = data[position]
        if tag < 0x80 and tag & 7 == _DELIMITED and data[position + 1] < 0x80:
            # A short text, of which there may be many.
            number, position = tag >> 3, position + 2 + data[position + 1]
        else:
            number, _, position = _field(data, position, end)
        _take(left, number)
    if position > end:
        raise IndexError


def _take(left: dict[int, int], number: int) -> None:
    known = number if number in left else _UNKNOWN
    left[known] -= 1
    if left[known] < 0:
        raise _refused("it has more parts than any version of the model takes. Send fewer rows at a time.")


def _field(data: bytes, position: int, end: int) -> tuple[int, int, int]:
    """A field's number, and where its payload begins and ends.

    Raises:
        IndexError: it is cut off, or written as no message of today is.
    """
    tag, position = read_varint(data, position)
    start, wire = position, tag & 7
    if wire == _DELIMITED:
        length, start = read_varint(data, position)
        position = start + length
    elif wire == _VARINT:
        _, position = read_varint(data, position)
    elif wire in _FIXED:
        position += _FIXED[wire]
    else:
        raise IndexError
    if position > end:
        raise IndexError
    return tag >> 3, start, position


def _refused(description: str) -> InvalidInput:
    return InvalidInput([Violation("request", description)])
