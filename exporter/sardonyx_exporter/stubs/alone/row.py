"""One row as a message: what is None stays absent."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

_Features = TypeVar("_Features", bound="Message")
#: What a value of each of protobuf's types is.
_WORDS: Final = {
    FieldDescriptor.CPPTYPE_FLOAT: "number",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_INT32: "int",
    FieldDescriptor.CPPTYPE_INT64: "int",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_STRING: "str",
}
_MISSING: Final = "What is missing is None."
_REFUSED: Final = (TypeError, ValueError, OverflowError)


def row(kind: type[_Features], **values: Any) -> _Features:
    """A message of one row.

    Raises:
        TypeError: a value is of another type than its field, or does not fit; the field is named.
    """
    try:
        message = kind(**values)
    except _REFUSED:
        for name, value in values.items():
            try:
                kind(**{name: value})
            except _REFUSED as error:
                raise TypeError(_blamed(kind, name, value, error)) from None
        raise
    for name in _singles(kind.DESCRIPTOR):
        if _overflowed(getattr(message, name), values.get(name)):
            raise TypeError(f"{name}: {values[name]!r:.100} does not fit into 32 bits.")
    return message


#: To ask a message for what it holds takes ten times as long.
@lru_cache
def _singles(message: Descriptor) -> tuple[str, ...]:
    """The fields of single precision, whose numbers may be too large for them."""
    return tuple(field.name for field in message.fields if field.cpp_type == FieldDescriptor.CPPTYPE_FLOAT)


def _overflowed(sent: Any, given: Any) -> bool:
    if isinstance(sent, float):
        return math.isinf(sent) and not math.isinf(given)
    return bool(sent) and overflowed(sent, given)


def overflowed(sent: Iterable[float], given: Iterable[float]) -> bool:
    """Whether a number became infinite on its way into single precision: protobuf and arrays say nothing."""
    return any(math.isinf(there) and not math.isinf(here) for there, here in zip(sent, given, strict=False))


def truth(value: object) -> bool:
    """A truth value; ``bool`` would take the text "False" for true, and NaN too."""
    if value in (0, 1):
        return bool(value)
    raise TypeError(f"{value!r:.100} is no bool")


def truth_of(name: str, value: object) -> bool | None:
    """The truth value of a field, where there is one: protobuf would take 2 for true."""
    try:
        return None if value is None else truth(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {value!r:.100} is no bool. {_MISSING}") from None


def _blamed(kind: type[Message], name: str, value: object, error: Exception) -> str:
    if not isinstance(error, TypeError):
        return f"{name}: {value!r:.100} cannot be sent: {error}."
    word = _WORDS[kind.DESCRIPTOR.fields_by_name[name].cpp_type]
    is_vector = hasattr(getattr(kind(), name), "extend")
    return f"{name}: {value!r:.100} is no {f'sequence of {word}' if is_vector else word}. {_MISSING}"
