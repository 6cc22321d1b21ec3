"""Many rows as one message: a column for each input, all of one length."""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from .errors import InvalidArgument, Violation
from .row import overflowed, truth

if TYPE_CHECKING:
    from google.protobuf.message import Message

_Columns = TypeVar("_Columns", bound="Message")
_BOOLEAN: Final = "?"
#: What a value of each of the array module's codes is.
_WORDS: Final = {
    **dict.fromkeys("fd", "number. NaN is a missing one."),
    **dict.fromkeys("iq", "int."),
    _BOOLEAN: "bool.",
}


class Table(Generic[_Columns]):
    """Fills a message with columns, and knows how many rows each has.

    Args:
        columns: the message.
    """

    def __init__(self, columns: _Columns) -> None:
        self._columns = columns
        #: Of the columns with one value a row, and of matrices.
        self._rows: dict[str, int] = {}

    def texts(self, name: str, values: Iterable[Any], *, is_vector: bool = False) -> None:
        """Add a column of texts.

        Raises:
            TypeError: something in it is no text.
        """
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{name}: {values!r:.100} is no column of texts. Give a list of str.")
        values = _behind(name, values, is_vector=is_vector)
        texts = self._listed(name, values, is_vector=is_vector)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"{name}: {text!r:.100} in row {row} is no text. Give a list of str.")
        getattr(self._columns, name).extend(texts)

    def numbers(self, name: str, number: int, code: str, values: Iterable[Any], *, is_vector: bool = False) -> None:
        """Add a column of numbers or booleans, as the bytes of its field: an array of the right type is copied.

        Args:
            name: the field's.
            number: the field's.
            code: the array module's for the field's type.
            values: the column.
            is_vector: whether a row has several values: then the column is row by row, or a matrix.

        Raises:
            TypeError: something in it is of another type.
        """
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise TypeError(f"{name}: {values!r:.100} is no column. Give a list or an array.")
        values = _behind(name, values, is_vector=is_vector)
        data = self._memory(name, code, values, is_vector=is_vector)
        if data is None:
            data = _bytes(name, code, self._listed(name, values, is_vector=is_vector))
        self._columns.MergeFromString(_varint(number << 3 | 2) + _varint(len(data)) + data)

    def message(self) -> _Columns:
        """The message.

        Raises:
            InvalidArgument: the columns are not of one length, or there are no rows.
        """
        lengths = Counter(self._rows.values())
        if not any(lengths):
            if lengths or not self._columns.ByteSize():
                raise InvalidArgument.of([Violation("columns", "no rows: give at least one.")])
            return self._columns
        # The most frequent; of several, the first. Nobody means none.
        rows = max(filter(None, lengths), key=lambda length: lengths[length])
        if len(lengths) > 1:
            raise InvalidArgument.of(
                [Violation(f"columns.{name}", _odd(found, rows)) for name, found in self._rows.items() if found != rows]
            )
        return self._columns

    def _listed(self, name: str, values: Iterable[Any], *, is_vector: bool) -> list[Any]:
        """One value after the other, of a matrix too."""
        listed = list(values)
        if not is_vector:
            self._rows[name] = len(listed)
            return listed
        lines = [list(line) for line in listed if isinstance(line, Iterable) and not isinstance(line, str)]
        if not lines or len(lines) != len(listed):
            return listed
        self._rows[name] = len(lines)
        if len(widths := {len(line) for line in lines}) > 1:
            given = " and ".join(map(str, sorted(widths)[:2]))
            raise InvalidArgument.of([Violation(f"columns.{name}", f"rows of {given} values. Give each as many.")])
        return [value for line in lines for value in line]

    def _memory(self, name: str, code: str, values: object, *, is_vector: bool) -> bytes | None:
        """The bytes of an array of the right type."""
        try:
            view = memoryview(values)  # type: ignore[arg-type]  # whether it has memory is the question
        except (TypeError, ValueError, BufferError):
            return None
        code_of = {"l": "q"} if view.itemsize == 8 else {"l": "i"}
        if code_of.get(view.format, view.format) != code or sys.byteorder != "little":
            return None
        if not is_vector:
            self._rows[name] = view.nbytes // view.itemsize
        elif view.shape is not None and view.ndim > 1:
            self._rows[name] = view.shape[0]
        return view.tobytes()


def _behind(name: str, values: Iterable[Any], *, is_vector: bool) -> Iterable[Any]:
    """What is behind a column of pandas and its like: a frame itself would give its names, one after the other.

    Raises:
        TypeError: an array has other dimensions than the column.
    """
    if hasattr(values, "__array__"):
        values = values.__array__()
    dimensions = getattr(values, "ndim", 1)
    if dimensions not in ((1, 2) if is_vector else (1,)):
        expected = "a matrix" if is_vector else "one value a row"
        raise TypeError(f"{name}: an array of {dimensions} dimensions is no such column. Give {expected}.")
    return values


def _bytes(name: str, code: str, values: list[Any]) -> bytes:
    try:
        if code == _BOOLEAN:
            return bytes(bytearray(map(truth, values)))
        column = _numbers(code, values)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(_blamed(name, code, values)) from None
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _numbers(code: str, values: list[Any]) -> array[Any]:
    """An array of numbers; raises OverflowError for one that would be infinite there and is not."""
    column = array(code, values)
    # The sum of any numbers of single precision is finite: most columns are looked at no further.
    if code == "f" and not math.isfinite(sum(column)) and overflowed(column, values):
        raise OverflowError
    return column


def _blamed(name: str, code: str, values: list[Any]) -> str:
    """The first value that cannot be sent, and why."""
    for row, value in enumerate(values):
        try:
            array("b", [truth(value)]) if code == _BOOLEAN else _numbers(code, [value])
        except OverflowError:
            return f"{name}: {value!r:.100} in row {row} does not fit into {array(code).itemsize * 8} bits."
        except (TypeError, ValueError):
            return f"{name}: {value!r:.100} in row {row} is no {_WORDS[code]}"
    return f"{name}: {values!r:.100} cannot be sent."


def _odd(found: int, rows: int) -> str:
    if not found:
        return f"no rows, others have {rows}. To leave a column out, do not give it."
    return f"{found} {'row' if found == 1 else 'rows'}, others have {rows}."


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
