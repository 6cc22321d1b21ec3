"""From what a caller has to the columns that a model takes: nothing is changed silently.

A DataFrame, a list of dicts, a dict of columns or of scalars, an array. pandas is not imported: a DataFrame is what has
``columns`` and ``to_numpy``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx.errors import InvalidInput, Violation, nearest
from sardonyx.oip.tensors import DTYPES

if TYPE_CHECKING:
    from sardonyx.client.answer import ModelInfo, TensorInfo

Array = npt.NDArray[Any]

_INTEGERS: Final = ("INT32", "INT64")
#: Up to here a float of so many bytes holds every whole number.
_WHOLE_MAX: Final = {4: 1 << 24, 8: 1 << 53}
#: How many bytes hold them; what would be infinite there cannot be packed.
_FLOATS: Final = {"FP32": struct.Struct("<f"), "FP64": struct.Struct("<d")}


def columns_of(data: Any, info: ModelInfo) -> dict[str, Array]:
    """The inputs by name, in the model's types, shape [rows] or [rows, width].

    Args:
        data: DataFrame; list of dicts; dict of sequences or of scalars; array of shape [rows, width] or [width].
        info: the model's interface.

    Raises:
        InvalidInput: columns are missing or unknown, lengths differ, or a value cannot become the input's type without
            loss. The first wrong row of each column is named.
    """
    try:
        return _columns_of(data, info)
    except (TypeError, ValueError, OverflowError) as error:
        # numpy's and pandas' own refusals, of what no rows can be made of.
        raise InvalidInput([Violation("inputs", f"this cannot be read as rows: {error}.")]) from error


def number_of(value: Any, datatype: str) -> float | int | bool | None:
    """A value in the datatype's Python type; None where it would lose something."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return math.nan if datatype in _FLOATS else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str | bytes) or not isinstance(value, bool | int | float):
        return None
    if datatype == "BOOL":
        return value if isinstance(value, bool) else None
    if datatype in _INTEGERS:
        limits = np.iinfo(DTYPES[datatype])
        whole = isinstance(value, int) or value.is_integer()
        return int(value) if whole and limits.min <= value <= limits.max else None
    try:
        (held,) = _FLOATS[datatype].unpack(_FLOATS[datatype].pack(value))
    except (OverflowError, struct.error):
        return None
    # A fraction is rounded, as everywhere; a whole number that changed would be another one.
    return float(value) if not isinstance(value, int) or int(held) == value else None


def _columns_of(data: Any, info: ModelInfo) -> dict[str, Array]:
    if len(info.inputs) == 1 and info.inputs[0].width:
        return {info.inputs[0].name: _matrix(data, info.inputs[0])}
    raw = _raw_columns(data, info)
    _check_names(raw, info)
    violations: list[Violation] = []
    columns = {
        tensor.name: _column(raw[tensor.name], tensor, violations) for tensor in info.inputs if tensor.name in raw
    }
    lengths = {name: len(values) for name, values in columns.items() if values.ndim}
    if len(set(lengths.values())) > 1:
        violations.append(Violation("inputs", f"the columns have different lengths: {lengths}. Give one value a row."))
    if not any(lengths.values()) and not violations:
        violations.append(Violation("inputs", "there are no rows. Give one at least."))
    if violations:
        raise InvalidInput(violations)
    rows = next(iter(lengths.values()))
    for tensor in info.inputs:
        if tensor.name not in columns:
            # What may be left out is a number that may be missing.
            columns[tensor.name] = np.full(rows, math.nan, DTYPES[tensor.datatype])
    return columns


def _matrix(data: Any, tensor: TensorInfo) -> Array:
    values = data[tensor.name] if isinstance(data, Mapping) and tensor.name in data else data
    given = np.atleast_2d(_as_given(values))
    if given.ndim != 2 or given.shape[1] != tensor.width or not len(given):
        found = list(np.shape(values))
        expected = f"expected an array of shape [rows, {tensor.width}], got {found}."
        raise InvalidInput([Violation(f"inputs[{tensor.name}].shape", expected)])
    violations: list[Violation] = []
    matrix: Array = _to_number(given.ravel(), tensor, violations).reshape(given.shape)
    if violations:
        row = (violations[0].row or 0) // max(1, tensor.width)
        raise InvalidInput([Violation(violations[0].field, violations[0].description, row)])
    return matrix


def _raw_columns(data: Any, info: ModelInfo) -> Mapping[str, Any]:
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        return {str(name): data[name] for name in data.columns}
    if isinstance(data, Mapping):
        scalars = all(np.ndim(value) == 0 for value in data.values())
        return {name: [value] for name, value in data.items()} if scalars else data
    if isinstance(data, Sequence) and data and all(isinstance(row, Mapping) for row in data):
        return _from_rows(data)
    if isinstance(data, Sequence) and not data:
        raise InvalidInput([Violation("inputs", "there are no rows. Give one at least.")])
    names = ", ".join(tensor.name for tensor in info.inputs)
    series = " A row of a DataFrame is a dict by its to_dict()." if hasattr(data, "to_dict") else ""
    expected = f"model {info.name!r} takes named columns ({names}): give a DataFrame, a dict or dicts.{series}"
    raise InvalidInput([Violation("inputs", expected)])


def _from_rows(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = list(rows[0])
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            differing = sorted(row.keys() ^ rows[0].keys())
            raise InvalidInput([Violation("inputs", f"differs from row 0 in {differing}. Give equal keys.", number)])
    return {name: [row[name] for row in rows] for name in names}


def _check_names(raw: Mapping[str, Any], info: ModelInfo) -> None:
    known = [tensor.name for tensor in info.inputs]
    needed = [tensor.name for tensor in info.inputs if not tensor.optional]
    violations = [Violation(f"inputs[{name}]", "missing. Give one value a row.") for name in needed if name not in raw]
    for name in raw:
        if name not in known:
            near = nearest(name, known)
            hint = f"Did you mean {near[0]!r}?" if near else f"The inputs are {', '.join(known)}."
            violations.append(Violation(f"inputs[{name}]", f"model {info.name!r} has no such input. {hint}"))
    if violations:
        raise InvalidInput(violations)


def _column(values: Any, tensor: TensorInfo, violations: list[Violation]) -> Array:
    """One column in its type; where that cannot be, a violation, and the values as they are."""
    array = _as_array(values)
    if array.ndim != 1:
        found = f"expected one value a row, got {_form(array)}."
        violations.append(Violation(f"inputs[{tensor.name}].shape", found))
        return array
    convert = _to_text if tensor.datatype == "BYTES" else _to_number
    return convert(array, tensor, violations)


def _form(array: Array) -> str:
    """What an array looks like that is no column."""
    return f"shape {list(array.shape)}" if array.ndim else f"{array.item()!r:.100} alone"


def _as_array(values: Any) -> Array:
    if hasattr(values, "to_numpy"):
        # pandas' own types (nullable, categorical, text) become objects, which are looked at one by one.
        plain = isinstance(getattr(values, "dtype", None), np.dtype)
        return np.asarray(values.to_numpy() if plain else values.to_numpy(dtype=object))
    array = _as_given(values)
    # numpy turns [1, "a"] into text; what the caller meant is in the objects.
    return array if array.dtype.kind in "biuf" else np.asarray(values, dtype=object)


def _as_given(values: Any) -> Array:
    """An array of the values as they are: among floats numpy rounds whole numbers that a float cannot hold."""
    array = np.asarray(values)
    rounded = array.dtype.kind == "f" and array is not values and bool((np.abs(array) >= _WHOLE_MAX[8]).any())
    return np.asarray(values, dtype=object) if rounded else array


def _to_text(array: Array, tensor: TensorInfo, violations: list[Violation]) -> Array:
    for row, value in enumerate(array.tolist()):
        if not isinstance(value, str):
            violations.append(Violation(f"inputs[{tensor.name}]", f"expected text, got {value!r}. Give a str.", row))
            break
    return array


def _to_number(array: Array, tensor: TensorInfo, violations: list[Violation]) -> Array:
    target = DTYPES[tensor.datatype]
    if array.dtype.kind in "biuf" and _fits(array, target):
        return array.astype(target)
    converted = np.zeros(len(array), dtype=target)
    for row, value in enumerate(array.tolist()):
        number = number_of(value, tensor.datatype)
        if number is None:
            expected = f"{value!r} cannot be sent as {tensor.datatype} without loss. Convert it."
            violations.append(Violation(f"inputs[{tensor.name}]", expected, row))
            break
        converted[row] = number
    return converted


def _fits(array: Array, target: np.dtype[Any]) -> bool:
    """Whether every value of an array keeps its value in another type; numpy calls int64 to float64 safe, always."""
    if not np.can_cast(array.dtype, target, "safe"):
        return False
    if array.dtype.kind not in "iu" or target.kind != "f" or not len(array):
        return True
    return max(-int(array.min()), int(array.max())) <= _WHOLE_MAX[target.itemsize]
