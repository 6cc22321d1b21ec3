"""One row between messages and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sardonyx.interface import dtype_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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


class RowWriter:
    """Writes rows of one form; what is to be known of each field is looked up once.

    Args:
        fields: of ``Prediction``.
    """

    def __init__(self, fields: Iterable[OutputField]) -> None:
        self._fields = [(each.tensor.name, _writer(each)) for each in fields]

    def write(self, prediction: Any, answers: Mapping[str, Array]) -> None:
        """Fill a ``Prediction`` from the answers to one row.

        Args:
            prediction: the message; outputs that are not among the answers stay absent.
            answers: by the outputs' own names, shape [1] or [1, width].
        """
        for tensor, write in self._fields:
            values = answers.get(tensor)
            if values is not None:
                write(prediction, values.tolist()[0])


def _writer(field: OutputField) -> Callable[[Any, Any], None]:
    """What puts one output's value into a ``Prediction``."""
    name, value_name = field.name, field.value_name
    if field.is_label:
        numbers = {each.text: each.number for each in field.classes}

        def write_label(prediction: Any, value: Any) -> None:
            setattr(prediction, name, numbers[str(value)])
            setattr(prediction, value_name, value)

        return write_label
    if field.is_probabilities:
        classes = [each.name for each in field.classes]

        def write_probabilities(prediction: Any, values: Any) -> None:
            probabilities = getattr(prediction, name)
            for each, value in zip(classes, values, strict=True):
                setattr(probabilities, each, value)

        return write_probabilities
    if field.tensor.width:
        return lambda prediction, values: getattr(prediction, name).extend(values)
    return lambda prediction, value: setattr(prediction, name, value)
