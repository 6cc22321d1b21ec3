"""OTLP's building blocks as bytes, written by hand: protobuf is simple where the form is known.

What comes out is held to OpenTelemetry's own classes by a property test. Field numbers:
opentelemetry/proto/common/v1/common.proto.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.protobuf import delimited, varint

if TYPE_CHECKING:
    from collections.abc import Iterable

Array = npt.NDArray[Any]

_DOUBLE: Final = struct.Struct("<d")

#: An ArrayValue element that holds a double: tag and length of the element, tag of the double; then the double.
_DOUBLE_HEAD: Final = b"\x0a\x09\x21"
_DOUBLE_ELEMENT: Final = np.dtype([("head", "V3"), ("value", "<f8")])
#: Up to here, doubles are cut from their bytes one by one: numpy's fixed cost of 3 µs pays only for more.
_FEW: Final = 8


def padded_varints(values: Array) -> Array:
    """Varints of eight bytes each, whatever the value: the last groups of seven bits may be zero, which is legal.

    Args:
        values: integers from 0 to 2**56 - 1, of type uint64.

    Returns:
        Little-endian uint64 of the same shape, whose bytes are the varints.
    """
    # Seven bits a byte: halves, quarters and eighths are moved apart in turn.
    spread = values & 0x0FFFFFFF | (values & 0xFFFFFFF0000000) << 4
    spread = spread & 0x00003FFF00003FFF | (spread & 0x0FFFC0000FFFC000) << 2
    spread = spread & 0x007F007F007F007F | (spread & 0x3F803F803F803F80) << 1
    return spread | 0x0080808080808080


def text_value(text: str) -> bytes:
    """AnyValue.string_value."""
    return delimited(b"\x0a", text.encode())


def int_value(value: int) -> bytes:
    """AnyValue.int_value."""
    return b"\x18" + varint(value)


def bool_value(value: bool) -> bytes:
    """AnyValue.bool_value."""
    return b"\x10\x01" if value else b"\x10\x00"


def double_value(value: float) -> bytes:
    """AnyValue.double_value."""
    return b"\x21" + _DOUBLE.pack(value)


def array_value(values: Array) -> bytes:
    """AnyValue.array_value, flat and row-major: doubles, integers, booleans or text by the array's type."""
    if values.dtype.kind == "f":
        return delimited(b"\x2a", _doubles(values))
    # Labels repeat: each is written once, and 1,000 of them take 30 µs.
    listed = values.ravel().tolist()
    written = {value: delimited(b"\x0a", scalar_value(value)) for value in set(listed)}
    return delimited(b"\x2a", b"".join([written[value] for value in listed]))


def texts_value(texts: Iterable[str]) -> bytes:
    """AnyValue.array_value of texts that hardly repeat, such as ids: 64 of them take 10 µs."""
    return delimited(b"\x2a", b"".join([before_text(len(text)) + text for text in map(str.encode, texts)]))


@lru_cache(maxsize=1024)
def before_text(length: int) -> bytes:
    """An element of an ArrayValue that holds a text of so many bytes, without the text."""
    return delimited(b"\x0a", delimited(b"\x0a", bytes(length)))[: -length or None]


def scalar_value(value: object) -> bytes:
    """AnyValue by the value's own type."""
    if isinstance(value, bool):
        return bool_value(value)
    return int_value(value) if isinstance(value, int) else text_value(str(value))


def _doubles(values: Array) -> bytes:
    """The elements of an ArrayValue of doubles."""
    if values.size <= _FEW:
        data = values.astype("<f8", copy=False).tobytes()
        return b"".join([_DOUBLE_HEAD + data[start : start + 8] for start in range(0, len(data), 8)])
    return double_elements(values).tobytes()


def double_elements(values: Array) -> Array:
    """The elements of an ArrayValue of doubles as an array, with the field ``value``."""
    elements = np.empty(values.size, dtype=_DOUBLE_ELEMENT)
    elements["head"] = np.void(_DOUBLE_HEAD)
    elements["value"] = values.ravel()
    return elements


def key(name: str) -> bytes:
    """KeyValue.key, for those that are written many times."""
    return delimited(b"\x0a", name.encode())


def keyed(written_key: bytes, value: bytes) -> bytes:
    """Span.attributes = 9: one KeyValue whose key is written already."""
    return delimited(b"\x4a", written_key + delimited(b"\x12", value))


def attribute(name: str, value: bytes) -> bytes:
    """Span.attributes = 9: one KeyValue."""
    return keyed(key(name), value)
