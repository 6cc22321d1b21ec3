"""One row between messages and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.interface import dtype_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx.typed.form import InputField, OutputField

Array = npt.NDArray[Any]


class RowReader:
    """Reads rows of one form; what is to be known of each field is looked up once.

    Args:
        fields: of ``Features``.
    """

    def __init__(self, fields: Iterable[InputField]) -> None:
        self._fields = [
            (each.tensor.name, each.name, bool(each.tensor.width), dtype_of(each.tensor.datatype)) for each in fields
        ]

    def read(self, features: Any) -> dict[str, Array]:
        """The inputs of a ``Features`` by their own names, flat; one that was left out is not there."""
        found: dict[str, Array] = {}
        has = features.HasField
        for tensor, field, is_vector, dtype in self._fields:
            if is_vector:
                if values := getattr(features, field):
                    found[tensor] = np.array(values, dtype)
            elif has(field):
                found[tensor] = np.array([getattr(features, field)], dtype)
        return found


def write_row(prediction: Any, fields: Iterable[OutputField], answers: Mapping[str, Array]) -> None:
    """Fill a ``Prediction`` from the answers to one row, by the outputs' own names: shape [1], or [1, width]."""
    for field in fields:
        (values,) = answers[field.tensor.name].tolist()
        if field.is_label:
            (number,) = (each.number for each in field.classes if each.text == str(values))
            setattr(prediction, field.name, number)
            setattr(prediction, field.value_name, values)
        elif field.is_probabilities:
            probabilities = getattr(prediction, field.name)
            for each, value in zip(field.classes, values, strict=True):
                setattr(probabilities, each.name, value)
        elif field.tensor.width:
            getattr(prediction, field.name).extend(values)
        else:
            setattr(prediction, field.name, values)
