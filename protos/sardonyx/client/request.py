"""From what a caller has to the bytes of a ModelInferRequest, by what is looked up once for each interface.

Raw contents are row-major, and a request's rows are its parts' rows one after the other. So each part can be written
alone, and a request is a matter of joining bytes: the head (model, inputs, shapes) depends on the number of rows only
and is kept, and a protobuf message may be written in pieces.
"""

from __future__ import annotations

import struct
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from sardonyx.client.data import columns_of, number_of
from sardonyx.errors import InvalidInput, Violation
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_raw

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sardonyx.client.answer import ModelInfo, TensorInfo

    #: One value for each input, each of exactly the type in _KINDS.
    Row = tuple[Any, ...]

#: Rows that one request may have when it is made of several calls; heads are kept up to here.
ROWS_MAX: Final = 512

#: Characters of a row's texts; one that has more is a part from the start, whose bytes are counted.
ROW_CHARS_MAX: Final = 4096

#: The Python type whose values go as they are, by datatype.
_KINDS: Final[dict[str, type]] = {
    "FP32": float,
    "FP64": float,
    "INT32": int,
    "INT64": int,
    "BOOL": bool,
    "BYTES": str,
}
#: numpy has one object for it: an array whose type is another, such as the other byte order, takes the longer way.
_FP64: Final = np.dtype("<f8")
_FORMATS: Final = {"FP32": "f", "FP64": "d", "INT32": "i", "INT64": "q", "BOOL": "?"}


class Part(NamedTuple):
    """Some rows as they travel.

    Attributes:
        rows: how many.
        contents: raw bytes of each input.
        size: bytes of all inputs.
    """

    rows: int
    contents: Sequence[bytes]
    size: int

    @classmethod
    def of(cls, rows: int, contents: Sequence[bytes]) -> Part:
        """Some rows, whose bytes are counted."""
        return cls(rows, contents, sum(map(len, contents)))


class Writer:
    """Writes requests to one version's interface.

    Args:
        info: the interface.
        version: the selector that led to it.
    """

    def __init__(self, info: ModelInfo, version: str) -> None:
        self.info = info
        #: Whether whoever answers knows of requests that several predictions share.
        self.shares = "sardonyx_version" in info.properties
        major = info.properties.get("sardonyx_interface_major", "")
        #: The generation of the interface; 0 where whoever answers has none.
        self.major = int(major) if major.isdecimal() else 0
        self._version = version
        self._names = tuple(tensor.name for tensor in info.inputs)
        self._datatypes = tuple(tensor.datatype for tensor in info.inputs)
        self._kinds = tuple(_KINDS.get(datatype, object) for datatype in self._datatypes)
        self._matrix_width = info.inputs[0].width if len(info.inputs) == 1 else 0
        self._foreign = [each for each in info.inputs if each.datatype not in _KINDS]
        is_plain = not any(each.width for each in info.inputs) and not self._foreign
        self._of_row = not self._matrix_width and bool(self._names) and is_plain
        self._texts = [index for index, datatype in enumerate(self._datatypes) if datatype == "BYTES"]
        self._values: Callable[[Mapping[str, Any]], Row] = _getter(self._names)
        self._heads: dict[int, bytes] = {}

    def row(self, data: Any) -> Row | None:
        """The values of one row, where the data is just that; None where ``part`` must look at it.

        This is what most calls bring, and for it alone takes a microsecond: a dict of scalars, or a list of one.
        """
        if type(data) is list and len(data) == 1:
            data = data[0]
        if type(data) is not dict or not self._of_row or len(data) != len(self._names):
            return None
        try:
            values = self._values(data)
        except KeyError:
            return None
        row = values if tuple(map(type, values)) == self._kinds else self._exact(values)
        return None if row is not None and self._is_long(row) else row

    def of_rows(self, rows: Sequence[Row]) -> Part:
        """Some of those rows.

        Raises:
            InvalidInput: one of them holds a number that its type cannot hold, or text that UTF-8 cannot hold.
        """
        try:
            columns = zip(*rows, strict=True)
            return Part.of(len(rows), [_write(*each) for each in zip(self._datatypes, columns, strict=True)])
        except (struct.error, OverflowError, UnicodeEncodeError):
            return self._part([dict(zip(self._names, row, strict=True)) for row in rows])

    def part(self, data: Any) -> Part:
        """Whatever a caller has.

        Raises:
            InvalidInput: it does not fit the interface; see ``columns_of``.
        """
        if self._matrix_width:
            return self._matrix(data) or self._part(data)
        row = self.row(data)
        return self._part(data) if row is None else self.of_rows([row])

    def _part(self, data: Any) -> Part:
        if self._foreign:
            raise InvalidInput([_unwritable(each) for each in self._foreign])
        columns = columns_of(data, self.info)
        contents = []
        for tensor in self.info.inputs:
            try:
                contents.append(encode_raw(tensor.datatype, columns[tensor.name]))
            except UnicodeEncodeError as error:
                unsendable = f"{error.object[error.start : error.end]!r} is no text that UTF-8 can hold. Replace it."
                raise InvalidInput([Violation(f"inputs[{tensor.name}]", unsendable)]) from None
        return Part.of(len(columns[self._names[0]]), contents)

    def request(self, parts: Sequence[Part], request_id: str, parameters: Mapping[str, str]) -> bytes:
        """A request of all parts' rows, one part after the other."""
        contents = parts[0].contents if len(parts) == 1 else _joined(parts)
        body = oip.ModelInferRequest(id=request_id, raw_input_contents=contents)
        for name, value in parameters.items():
            body.parameters[name].string_param = value
        return self._head(sum(part.rows for part in parts)) + body.SerializeToString()

    def _is_long(self, row: Row) -> bool:
        return bool(self._texts) and sum([len(row[index]) for index in self._texts]) > ROW_CHARS_MAX

    def _exact(self, values: Row) -> Row | None:
        """The values in exactly the types that they travel in; None where one cannot be that."""
        exact = []
        for value, datatype, kind in zip(values, self._datatypes, self._kinds, strict=True):
            if type(value) is kind:
                exact.append(value)
                continue
            number = None if datatype == "BYTES" else number_of(value, datatype)
            if number is None:
                return None
            exact.append(kind(number))
        return tuple(exact)

    def _matrix(self, data: Any) -> Part | None:
        """One row or more of a float64 array, which need no look at their values."""
        if type(data) is not np.ndarray or data.dtype is not _FP64 or self._datatypes[0] != "FP64":
            return None
        shape = data.shape
        rows = shape[0] if len(shape) == 2 else 1
        if len(shape) not in (1, 2) or shape[-1] != self._matrix_width or not rows:
            return None
        content = data.tobytes()
        return Part(rows, [content], len(content))

    def _head(self, rows: int) -> bytes:
        head = self._heads.get(rows)
        if head is None:
            request = oip.ModelInferRequest(model_name=self.info.name, model_version=self._version)
            for tensor in self.info.inputs:
                shape = [rows, tensor.width] if tensor.width else [rows]
                request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
            head = request.SerializeToString()
            if rows <= ROWS_MAX:
                self._heads[rows] = head
        return head


def _unwritable(tensor: TensorInfo) -> Violation:
    what = f"the server takes {tensor.datatype} here, which this client cannot write. It has {', '.join(_KINDS)}."
    return Violation(f"inputs[{tensor.name}]", what)


def _getter(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Row]:
    if len(names) == 1:
        return lambda row: (row[names[0]],)
    return itemgetter(*names) if names else lambda _row: ()


def _joined(parts: Sequence[Part]) -> list[bytes]:
    return [b"".join(pieces) for pieces in zip(*(part.contents for part in parts), strict=True)]


def _write(datatype: str, values: Sequence[Any]) -> bytes:
    """One input's values as raw bytes; they are of the type in _KINDS."""
    if datatype == "BYTES":
        texts = [value.encode() for value in values]
        return b"".join([piece for text in texts for piece in (len(text).to_bytes(4, "little"), text)])
    return struct.pack(f"<{len(values)}{_FORMATS[datatype]}", *values)
