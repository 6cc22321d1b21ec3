"""Attributes by their names, each of the type that the vocabulary gives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sardonyx.prediction_id import ID_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    Values = Mapping[str, AnyValue]

#: What the store's smallest integers hold, and what sums of counts have room for.
COUNT_MAX: Final = (1 << 31) - 1


class Malformed(ValueError):
    """The span speaks of a prediction, but not as the vocabulary says."""


def read_text(values: Values, name: str) -> str:
    """A text; empty where the attribute is absent. So are the others: each has a value for what is absent.

    Raises:
        Malformed: it is of another type. So do the others.
    """
    value = values.get(name)
    if value is None:
        return ""
    if value.WhichOneof("value") != "string_value" or len(value.string_value) > ID_LENGTH_MAX:
        raise Malformed(f"{name} is no text of a sensible length.")
    return value.string_value


def read_integer(values: Values, name: str) -> int:
    """A count, 0 to COUNT_MAX."""
    value = values.get(name)
    if value is None:
        return 0
    if value.WhichOneof("value") != "int_value" or not 0 <= value.int_value <= COUNT_MAX:
        raise Malformed(f"{name} is no count.")
    return value.int_value


def read_double(values: Values, name: str, default: float) -> float:
    """A number, NaN and infinity included."""
    value = values.get(name)
    if value is None:
        return default
    if value.WhichOneof("value") != "double_value":
        raise Malformed(f"{name} is no double.")
    return value.double_value


def read_doubles(values: Values, name: str) -> list[float]:
    """An array of numbers."""
    elements = read_elements(values, name)
    if not all(each.HasField("double_value") for each in elements):
        raise Malformed(f"{name} holds what is no double.")
    return [each.double_value for each in elements]


def read_elements(values: Values, name: str) -> Sequence[Any]:
    """An array, as OTLP has it."""
    value = values.get(name)
    if value is None:
        return ()
    if value.WhichOneof("value") != "array_value":
        raise Malformed(f"{name} is no array.")
    return value.array_value.values
