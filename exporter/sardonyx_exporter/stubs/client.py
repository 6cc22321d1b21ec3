"""The classes of a generated Python package: a call for a function call, with an argument for each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from sardonyx.typed.schema import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sardonyx_exporter.stubs.described import Argument, Described

#: Python's type of one value, by the field's.
_TYPES: Final[dict[int, str]] = {
    FieldDescriptorProto.TYPE_FLOAT: "float",
    FieldDescriptorProto.TYPE_DOUBLE: "float",
    FieldDescriptorProto.TYPE_INT32: "int",
    FieldDescriptorProto.TYPE_INT64: "int",
    FieldDescriptorProto.TYPE_BOOL: "bool",
    FieldDescriptorProto.TYPE_STRING: "str",
}
#: The array module's code for a column of each type; texts have none.
_CODES: Final[dict[int, str]] = {
    FieldDescriptorProto.TYPE_FLOAT: "f",
    FieldDescriptorProto.TYPE_DOUBLE: "d",
    FieldDescriptorProto.TYPE_INT32: "i",
    FieldDescriptorProto.TYPE_INT64: "q",
    FieldDescriptorProto.TYPE_BOOL: "?",
}

_HEAD: Final = '''"""Calls of the model {model}, interface v{major}: an argument for each input, and typed answers."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

import grpc
from grpc import aio

from {package} import {module}_pb2 as _pb
from {package}.{module}_pb2_grpc import {service}Stub

'''

_CLASS: Final = '''
class {prefix}{name}Client:
    """Asks a sardonyx-server for predictions{how}.

    Args:
        target: the server's address, such as "localhost:8001", or a channel with credentials and options of your own.
    """

    def __init__(self, target: str | {channel}) -> None:
        self.channel = {insecure}(target) if isinstance(target, str) else target
        self.stub = {service}Stub(self.channel)

    {async_}def predict(
        self,
        *,
{row_arguments}
        prediction_id: str = "",
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> _pb.PredictResponse:
        """Predict one row.

        Args:
{row_docs}
            prediction_id: the request's own id, under which outcomes are reported; by default, a random one.
            routing_key: requests of equal keys meet the same version while a new one is tried on a share of them.
            timeout_s: how long the answer may take; by default, as long as it takes.

        Raises:
            TypeError: a value is of another type than its argument; the argument is named.
            grpc.RpcError: the server refused, or could not be reached; the details say what to do.
        """
        features = _features({features})
        request = _pb.PredictRequest(features=features, prediction_id=prediction_id, routing_key=routing_key)
        return {await_}self.stub.Predict(request, timeout=timeout_s)

    {async_}def predict_batch(
        self,
        *,
{column_arguments}
        prediction_id: str = "",
        routing_key: str = "",
        timeout_s: float | None = None,
    ) -> _pb.PredictBatchResponse:
        """Predict many rows: a column for each input, all of one length; arrays are the fastest.

        The arguments are those of ``predict``. A matrix goes row by row.

        Raises:
            TypeError: a column cannot be sent; the argument is named.
            grpc.RpcError: the server refused, or could not be reached; the details say what to do.
        """
        columns = _pb.Columns()
{fill}
        request = _pb.PredictBatchRequest(columns=columns, prediction_id=prediction_id, routing_key=routing_key)
        return {await_}self.stub.PredictBatch(request, timeout=timeout_s)

    {async_}def close(self) -> None:
        """Close the channel."""
        {await_}self.channel.close()

    {async_}def __{a}enter__(self) -> {prefix}{name}Client:
        """The client itself."""
        return self

    {async_}def __{a}exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel."""
        {await_}self.close()

'''

_PACKED: Final = '''
def _features(**values: Any) -> _pb.Features:
    """One row; what is None stays absent."""
    try:
        return _pb.Features(**values)
    except (TypeError, ValueError, OverflowError):
        for name, value in values.items():
            try:
                _pb.Features(**{name: value})
            except (TypeError, ValueError, OverflowError) as error:
                raise TypeError(f"{name}: {value!r:.100} cannot be sent: {error}. See predict for its type.") from None
        raise


def _texts(name: str, values: Iterable[str]) -> list[str]:
    """A column of texts."""
    texts = [values] if isinstance(values, str) else list(values)
    if isinstance(values, str) or not all(isinstance(each, str) for each in texts):
        raise TypeError(f"{name}: {values!r:.100} is no column of texts. Give a list of str.")
    return texts


def _packed(name: str, number: int, code: str, values: Iterable[float]) -> bytes:
    """A column of numbers as the bytes of its field: an array of the right type is copied as it is."""
    try:
        data = _bytes(code, values)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{name}: {values!r:.100} is no column: {error}. Give a list or an array, NaN for what is missing."
        raise TypeError(message) from None
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _bytes(code: str, values: Iterable[float]) -> bytes:
    data = _memory(code, values)
    if data is None:
        if code == "?":
            data = bytes(bytearray(map(bool, values)))
        else:
            column = array(code, values)
            if sys.byteorder == "big":
                column.byteswap()
            data = column.tobytes()
    return data


def _memory(code: str, values: object) -> bytes | None:
    try:
        view = memoryview(values)  # type: ignore[arg-type]  # whether it has memory is the question
    except TypeError:
        return None
    code_of = {"l": "q"} if view.itemsize == 8 else {"l": "i"}
    fits = code_of.get(view.format, view.format) == code and sys.byteorder == "little"
    return view.tobytes() if fits else None


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
'''

_WAYS: Final = {
    "prefix": ("", "Async"),
    "how": ("", " from asyncio"),
    "channel": ("grpc.Channel", "aio.Channel"),
    "insecure": ("grpc.insecure_channel", "aio.insecure_channel"),
    "async_": ("", "async "),
    "await_": ("", "await "),
    "a": ("", "a"),
}


def client(described: Described) -> str:
    """The text of the module with both classes."""
    head = _HEAD.format(
        model=quoted(described.model),
        major=described.major,
        package=described.package,
        module=described.module,
        service=described.service,
    )
    return head + "".join(_class(described, way) for way in (0, 1)) + _PACKED


def row_type(argument: Argument) -> str:
    """The type of an input's value in one row."""
    kind = _TYPES[argument.kind]
    return f"Sequence[{kind}]" if argument.is_vector else kind


def _class(described: Described, way: int) -> str:
    # What must be given comes before what may be left out, as Python has it.
    arguments = sorted(described.arguments, key=lambda argument: not argument.is_required)
    return _CLASS.format(
        **{name: choices[way] for name, choices in _WAYS.items()},
        name=described.service.removesuffix("Service"),
        service=described.service,
        row_arguments=_signature(arguments, row_type),
        row_docs="\n".join(f"            {each.name}: {_one_line(each.meaning)}" for each in arguments),
        features=", ".join(f"{each.name}={each.name}" for each in arguments),
        column_arguments=_signature(arguments, _column_type),
        fill="\n".join(line for each in arguments for line in _fill(each)),
    )


def _signature(arguments: Sequence[Argument], type_of: Callable[[Argument], str]) -> str:
    return "\n".join(
        f"        {each.name}: {type_of(each)}{'' if each.is_required else ' | None = None'}," for each in arguments
    )


def _column_type(argument: Argument) -> str:
    return f"Iterable[{_TYPES[argument.kind]}]"


def _one_line(text: str) -> str:
    """A text that may stand within a docstring."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain.replace("\\", "\\\\").replace('"""', "'''")


def _fill(argument: Argument) -> Iterable[str]:
    indent = "        "
    if not argument.is_required:
        yield f"{indent}if {argument.name} is not None:"
        indent += "    "
    code = _CODES.get(argument.kind)
    if code is None:
        yield f'{indent}columns.{argument.name}.extend(_texts("{argument.name}", {argument.name}))'
    else:
        packed = f'_packed("{argument.name}", {argument.number}, "{code}", {argument.name})'
        yield f"{indent}columns.MergeFromString({packed})"
