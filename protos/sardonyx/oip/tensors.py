"""Tensors of the Open Inference Protocol, to numpy and back: typed contents and raw bytes.

Raw is row-major and little-endian without padding; a BYTES element is its length (uint32, little-endian) and its
bytes. Text is UTF-8 and becomes an object array of ``str``, which is what ONNX Runtime takes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sardonyx.oip.messages import InferTensorContents

    Array = npt.NDArray[Any]

#: Datatype to numpy's type. BYTES is text.
DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "BOOL": np.dtype("?"),
    "BYTES": np.dtype(object),
}

#: Datatype to the field of InferTensorContents that holds it.
CONTENTS_FIELDS: Final[dict[str, str]] = {
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}

_LENGTH: Final = struct.Struct("<I")
#: What a length can say; a server takes less.
TEXT_BYTES_MAX: Final = (1 << 32) - 1


class TensorError(ValueError):
    """A tensor that does not hold what it says; the text is for the caller."""


def decode_raw(datatype: str, data: bytes, count: int, text_bytes_max: int = TEXT_BYTES_MAX) -> Array:
    """Read ``count`` elements from raw bytes into an array of shape [count].

    Raises:
        TensorError: the bytes hold more or fewer elements, a text has too many bytes, or they are no UTF-8.
    """
    if datatype == "BYTES":
        return _decode_texts(_split_raw(data, count), text_bytes_max)
    dtype = DTYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise TensorError(f"{count} elements of {datatype} take {count * dtype.itemsize} bytes, got {len(data)}")
    if datatype == "BOOL":
        # Any byte but 0 is true; a numpy array of booleans must hold 0 and 1 only.
        return np.frombuffer(data, dtype=np.uint8).astype(bool)
    return np.frombuffer(data, dtype=dtype)


def encode_raw(datatype: str, values: Array) -> bytes:
    """Write an array of any shape as raw bytes, row-major."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values.ravel()]
        return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))
    return np.ascontiguousarray(values, dtype=DTYPES[datatype]).tobytes()


def decode_contents(
    datatype: str, contents: InferTensorContents, count: int, text_bytes_max: int = TEXT_BYTES_MAX
) -> Array:
    """Read ``count`` elements from typed contents into an array of shape [count].

    Raises:
        TensorError: another field is filled, even if this one is too; the field holds more or fewer elements, a text is
            too long or no UTF-8.
    """
    field = CONTENTS_FIELDS[datatype]
    values = getattr(contents, field)
    # Two fields at once are two tensors, and nobody can say which one is meant.
    filled = [descriptor.name for descriptor, _ in contents.ListFields()]
    is_alone = filled in ([], [field])
    if len(values) != count or not is_alone:
        found = f"{field} holds {len(values)}" if is_alone else f"filled is {', '.join(filled)}"
        raise TensorError(f"{count} elements expected in {field}, {found}")
    if datatype == "BYTES":
        return _decode_texts(values, text_bytes_max)
    return np.array(values, dtype=DTYPES[datatype])


def encode_contents(datatype: str, values: Array, contents: InferTensorContents) -> None:
    """Fill typed contents from an array of any shape, row-major."""
    flat = values.ravel()
    elements = [str(value).encode() for value in flat] if datatype == "BYTES" else flat.tolist()
    getattr(contents, CONTENTS_FIELDS[datatype]).extend(elements)


def _split_raw(data: bytes, count: int) -> list[bytes]:
    # Each element takes four bytes at least: a count beyond that is refused before anything is allocated for it.
    if count * _LENGTH.size > len(data):
        raise TensorError(f"{count} elements of BYTES take at least {count * _LENGTH.size} bytes, got {len(data)}")
    elements: list[bytes] = []
    position = 0
    while position < len(data):
        if position + _LENGTH.size > len(data):
            raise TensorError(f"element {len(elements)} of BYTES is cut off within its length")
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if position + length > len(data):
            raise TensorError(f"element {len(elements)} of BYTES says {length} bytes, {len(data) - position} are left")
        elements.append(data[position : position + length])
        position += length
    if len(elements) != count:
        raise TensorError(f"{count} elements of BYTES expected, got {len(elements)}")
    return elements


def _decode_texts(elements: Any, bytes_max: int) -> Array:
    texts = np.empty(len(elements), dtype=object)
    for index, element in enumerate(elements):
        if len(element) > bytes_max:
            raise TensorError(f"element {index} of BYTES has {len(element)} bytes, and {bytes_max} are taken")
        try:
            texts[index] = element.decode()
        except UnicodeDecodeError as error:
            raise TensorError(f"element {index} of BYTES is no UTF-8 at byte {error.start}") from None
    return texts
