"""The columns of a hold-out: names, types, and their values as the interface will speak of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = npt.NDArray[Any]
Data = pd.DataFrame | Array

#: The name of the one input of a model that was fitted on a plain array.
MATRIX_NAME = "features"


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One input as the model sees it.

    Attributes:
        name: the DataFrame's column, or MATRIX_NAME.
        datatype: the interface's type.
        width: 0 for a column, k for a matrix of k columns.
    """

    name: str
    datatype: pb.Datatype.ValueType
    width: int = 0

    @property
    def is_text(self) -> bool:
        """Whether its values are text."""
        return self.datatype == pb.DATATYPE_BYTES

    @property
    def may_hold_nan(self) -> bool:
        """Whether its type has a missing value."""
        return self.datatype in (pb.DATATYPE_FP32, pb.DATATYPE_FP64)


def specs_of(data: Data) -> list[ColumnSpec]:
    """The inputs that a hold-out stands for.

    Raises:
        SourceRefused: a column has a type that no input can have, or its name is no text.
    """
    if isinstance(data, pd.DataFrame):
        if not data.columns.is_unique:
            repeated = sorted(set(data.columns[data.columns.duplicated()]))
            raise SourceRefused(f"The hold-out has several columns named {repeated}. Rename them.")
        return [_spec_of(data[name], name) for name in data.columns]
    if data.ndim != 2 or data.shape[1] == 0:
        raise SourceRefused(f"The hold-out array has shape {list(data.shape)}. Give one of shape [rows, columns].")
    return [ColumnSpec(MATRIX_NAME, _numeric_type(data, "The hold-out array"), data.shape[1])]


def values_of(data: Data, specs: Sequence[ColumnSpec]) -> dict[str, Array]:
    """The values by input name, shape [rows] or [rows, width]; text as ``str`` objects.

    Raises:
        SourceRefused: a text column holds something else, such as a missing value.
    """
    if not isinstance(data, pd.DataFrame):
        return {MATRIX_NAME: data}
    return {spec.name: _texts(data[spec.name]) if spec.is_text else data[spec.name].to_numpy() for spec in specs}


def rows_of(data: Data, positions: Any) -> Data:
    """Some rows, in the order given."""
    rows: Data = data.iloc[positions] if isinstance(data, pd.DataFrame) else data[positions]
    return rows


def between(data: Data) -> Data:
    """The same rows, with each number moved to one that lies between two of its column's, or beyond the greatest."""
    if not isinstance(data, pd.DataFrame):
        return np.column_stack([_moved(column) for column in data.T])
    plain = [name for name in data.columns if isinstance(data[name].dtype, np.dtype)]
    return data.assign(**{name: _moved(data[name].to_numpy()) for name in plain})


def _moved(values: Array) -> Array:
    if values.dtype.kind not in "iuf":
        return values
    present = np.isfinite(values)
    known = np.unique(values[present])
    if values.dtype.kind == "f":
        # Half-way, where trees have their thresholds; no whole number, which may be a category; as people write it.
        steps = np.append(np.minimum(np.diff(known) / 2, 0.5), 0.5)
        others = np.array([float(f"{number:.12g}") for number in known + steps])
    else:
        others = known + np.append(np.diff(known) // 2, 1).astype(known.dtype)
    moved = values.copy()
    moved[present] = others[np.searchsorted(known, values[present])]
    return moved


def _spec_of(column: pd.Series[Any], name: Any) -> ColumnSpec:
    if not isinstance(name, str) or not name:
        raise SourceRefused(f"The hold-out has a column named {name!r}. Callers need names that are text: rename it.")
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    if pd.api.types.is_string_dtype(kind) or kind.kind == "O":
        return ColumnSpec(name, pb.DATATYPE_BYTES)
    if not isinstance(kind, np.dtype):
        raise SourceRefused(
            f"Column {name!r} has pandas' own type {kind}. Convert it: frame[{name!r}].astype('float64')."
        )
    return ColumnSpec(name, _numeric_type(np.asarray(column, dtype=kind), f"Column {name!r}"))


def _numeric_type(values: Array, what: str) -> pb.Datatype.ValueType:
    kind = values.dtype
    if kind.kind == "b":
        return pb.DATATYPE_BOOL
    if kind == np.uint64 and (values > np.iinfo(np.int64).max).any():
        raise SourceRefused(f"{what} has a number beyond 2^63, which no caller can send. Convert it to text.")
    if kind.kind in "iu":
        return pb.DATATYPE_INT32 if kind.itemsize <= 4 and kind != np.uint32 else pb.DATATYPE_INT64
    if kind.kind == "f":
        return pb.DATATYPE_FP32 if kind.itemsize <= 4 else pb.DATATYPE_FP64
    raise SourceRefused(
        f"{what} has type {kind}, which no caller can send. Convert it to numbers or text before the model is fitted."
    )


def _texts(column: pd.Series[Any]) -> Array:
    values = column.to_numpy(dtype=object)
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise SourceRefused(
                f"Column {column.name!r} is text, but row {row} holds {value!r}. Fill it, such as with 'missing', in"
                " the training data and here."
            )
    return values
