"""What a request may be, and how many parts it may have: counted in its bytes before they become objects.

The limit on a message's bytes does not bound the memory that it takes: an empty input is two bytes on the wire and 88
in memory, so 64 MiB of them were 2.8 GB, and 1.3 s of the event loop. A small message can do no harm, and most are
small, so only large ones are counted, at 1.5 µs a part: one that is well made has few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.errors import InvalidInput, Violation
from sardonyx.protobuf import DELIMITED, read_field

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_RAW: Final = 7


class Bounds(NamedTuple):
    """How large the values of a request may be.

    Attributes:
        rows_max: rows of one request.
        text_bytes_max: bytes of one text.
    """

    rows_max: int
    text_bytes_max: int


def divide(data: bytes) -> tuple[bytes, Sequence[bytes] | None]:
    """Count the parts of a ModelInferRequest, and take the raw contents of a large one out.

    protobuf would copy them to where only Python's own copy gets them from.

    Returns:
        What is left for protobuf to read, and the raw contents; None where they are still in it.

    Raises:
        InvalidInput: there are more parts than any model takes, or the bytes are no message.
    """
    if len(data) < COUNTED_BYTES_MIN:
        return data, None
    count = _Count()
    rest: list[bytes] = []
    raw: list[bytes] = []
    position, kept, end = 0, 0, len(data)
    try:
        while position < end:
            begin = position
            number, wire, start, position = read_field(data, begin, end)
            count.add()
            if wire != DELIMITED:
                continue
            if number == _RAW:
                rest.append(data[kept:begin])
                raw.append(data[start:position])
                kept = position
            elif number in (_INPUTS, _OUTPUTS):
                count.add_tensor(data, start, position, is_input=number == _INPUTS)
    except IndexError:
        raise _refused("request", "these bytes are no inference.ModelInferRequest. Compile its .proto.") from None
    rest.append(data[kept:])
    return b"".join(rest), raw


class _Count:
    """Of the fields of a request and of its tensors."""

    def __init__(self) -> None:
        self._parts = 0
        self._typed_bytes = 0

    def add(self) -> None:
        """Count a field."""
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise _refused("request", f"it has more than {PARTS_MAX} fields. Send fewer inputs and parameters.")

    def add_tensor(self, data: bytes, position: int, end: int, *, is_input: bool) -> None:
        """Count the fields of a tensor; those of an output are looked at no further."""
        while position < end:
            number, _, start, position = read_field(data, position, end)
            self.add()
            if is_input and number == _SHAPE and position - start > SHAPE_BYTES_MAX:
                raise _refused("inputs.shape", "it has more dimensions than any input. Send [rows] or [rows, width].")
            if is_input and number == _CONTENTS:
                self._add_contents(position - start)

    def _add_contents(self, size: int) -> None:
        self._typed_bytes += size
        if self._typed_bytes > TYPED_BYTES_MAX:
            most = f"more than {TYPED_BYTES_MAX} bytes of typed contents"
            raise _refused("inputs.contents", f"{most}. Send raw_input_contents, or fewer rows at a time.")


def _refused(field: str, description: str) -> InvalidInput:
    return InvalidInput([Violation(field, description)])
