"""What a request may be, and how many parts it may have: counted in its bytes before they become objects.

The limit on a message's bytes does not bound the memory that it takes: an empty input is two bytes on the wire and 88
in memory, so 64 MiB of them were 2.8 GB, and 1.3 s of the event loop. A small message can do no harm, and most are
small, so only large ones are counted, at 1.5 µs a part: one that is well made has few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Messages below are not counted: read, they take 50 MiB at most.
COUNTED_BYTES_MIN: Final = 1 << 20
#: Fields of a request and of its tensors together: enough for 2,500 inputs.
PARTS_MAX: Final = 16_384
#: Bytes of a tensor's shape; two numbers are read of it.
SHAPE_BYTES_MAX: Final = 256
#: Bytes of a request's typed contents. Two bytes, an empty text, take 32 in memory: 128 MiB at most.
TYPED_BYTES_MAX: Final = 8 << 20

# Field numbers of ModelInferRequest and of its tensors: sardonyx/oip/inference.proto.
_INPUTS: Final = 5
_OUTPUTS: Final = 6
_SHAPE: Final = 3
_CONTENTS: Final = 5

_VARINT: Final = 0
_DELIMITED: Final = 2
#: Bytes of the wire types whose size is fixed.
_FIXED: Final = {1: 8, 5: 4}
_VARINT_BYTES_MAX: Final = 10


class Bounds(NamedTuple):
    """How large the values of a request may be.

    Attributes:
        rows_max: rows of one request.
        text_bytes_max: bytes of one text.
    """

    rows_max: int
    text_bytes_max: int


class _Field(NamedTuple):
    """A field of a message, and where its payload lies."""

    number: int
    start: int
    end: int


def check_parts(data: bytes) -> None:
    """Count the parts of a ModelInferRequest.

    Raises:
        InvalidInput: there are more than any model takes, or the bytes are no message.
    """
    if len(data) < COUNTED_BYTES_MIN:
        return
    parts = typed_bytes = 0
    try:
        for field in _walk(data):
            parts += 1
            typed_bytes += field.end - field.start if field.number == _CONTENTS else 0
            _check(field, parts, typed_bytes)
    except IndexError:
        raise _refused("request", "these bytes are no inference.ModelInferRequest. Compile its .proto.") from None


def _walk(data: bytes) -> Iterator[_Field]:
    """The fields of a request and those of its tensors; the latter alone have numbers of their own here."""
    for field in _fields(data, 0, len(data)):
        if field.number in (_INPUTS, _OUTPUTS):
            yield field._replace(number=0)
            inner = _fields(data, field.start, field.end)
            yield from inner if field.number == _INPUTS else (each._replace(number=0) for each in inner)
        else:
            yield field._replace(number=0)


def _check(field: _Field, parts: int, typed_bytes: int) -> None:
    if parts > PARTS_MAX:
        raise _refused("request", f"it has more than {PARTS_MAX} fields. Send fewer inputs and parameters.")
    if field.number == _SHAPE and field.end - field.start > SHAPE_BYTES_MAX:
        raise _refused("inputs.shape", "it has more dimensions than any input. Send [rows] or [rows, width].")
    if typed_bytes > TYPED_BYTES_MAX:
        most = f"more than {TYPED_BYTES_MAX} bytes of typed contents"
        raise _refused("inputs.contents", f"{most}. Send raw_input_contents, or fewer rows at a time.")


def _fields(data: bytes, position: int, end: int) -> Iterator[_Field]:
    """The fields of a message.

    Raises:
        IndexError: it is cut off, or written as no message of today is.
    """
    while position < end:
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
        yield _Field(tag >> 3, start, position)


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value = 0
    for count in range(_VARINT_BYTES_MAX):
        byte = data[position + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, position + count + 1
    raise IndexError


def _refused(field: str, description: str) -> InvalidInput:
    return InvalidInput([Violation(field, description)])
