"""The classes of a generated Python package: a call for a function call, with an argument for each input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed.schema import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sardonyx.typed import Form, InputField

#: Python's type of one value, by datatype.
_TYPES: Final = {
    pb.DATATYPE_FP32: "float",
    pb.DATATYPE_FP64: "float",
    pb.DATATYPE_INT32: "int",
    pb.DATATYPE_INT64: "int",
    pb.DATATYPE_BOOL: "bool",
    pb.DATATYPE_BYTES: "str",
}
#: The array module's code for a column of each datatype; texts have none.
_CODES: Final = {
    pb.DATATYPE_FP32: "f",
    pb.DATATYPE_FP64: "d",
    pb.DATATYPE_INT32: "i",
    pb.DATATYPE_INT64: "q",
    pb.DATATYPE_BOOL: "?",
}

_HEAD: Final = '''"""Calls of the model {model}, interface v{major}: an argument for each input, and typed answers."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from types import TracebackType

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
            grpc.RpcError: the server refused, or could not be reached; the details say what to do.
        """
        features = _pb.Features({features})
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
def _packed(number: int, code: str, values: Iterable[float]) -> bytes:
    """A column of numbers as the bytes of its field: an array of the right type is copied as it is."""
    data = _memory(code, values)
    if data is None:
        if code == "?":
            data = bytes(bytearray(map(bool, values)))
        else:
            column = array(code, values)
            if sys.byteorder == "big":
                column.byteswap()
            data = column.tobytes()
    return _varint(number << 3 | 2) + _varint(len(data)) + data


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


def client(form: Form, major: int) -> str:
    """The text of the module with both classes."""
    head = _HEAD.format(
        model=quoted(form.model), major=major, package=form.package, module=form.module, service=form.service
    )
    return head + "".join(_class(form, way) for way in (0, 1)) + _PACKED


def class_name(form: Form) -> str:
    """The name of the client's class."""
    return f"{form.service.removesuffix('Service')}Client"


def _class(form: Form, way: int) -> str:
    # What must be given comes before what may be left out, as Python has it.
    fields = sorted(form.inputs, key=lambda field: field.may_miss)
    return _CLASS.format(
        **{name: choices[way] for name, choices in _WAYS.items()},
        name=form.service.removesuffix("Service"),
        service=form.service,
        row_arguments=_arguments(fields, _row_type),
        row_docs="\n".join(f"            {field.name}: {_meaning(field)}" for field in fields),
        features=", ".join(f"{field.name}={field.name}" for field in fields),
        column_arguments=_arguments(fields, _column_type),
        fill="\n".join(line for field in fields for line in _fill(field)),
    )


def _arguments(fields: Sequence[InputField], type_of: Callable[[InputField], str]) -> str:
    return "\n".join(
        f"        {field.name}: {type_of(field)}{' | None = None' if field.may_miss else ''}," for field in fields
    )


def _row_type(field: InputField) -> str:
    kind = _TYPES[field.tensor.datatype]
    return f"Sequence[{kind}]" if field.tensor.width else kind


def _column_type(field: InputField) -> str:
    return f"Iterable[{_TYPES[field.tensor.datatype]}]"


def _meaning(field: InputField) -> str:
    unit = f", in {field.tensor.unit}" if field.tensor.unit else ""
    described = f" {field.tensor.description.rstrip('. ')}." if field.tensor.description else ""
    left_out = " May be left out." if field.may_miss else ""
    return _one_line(f"input {quoted(field.tensor.name)}{unit}.{described}{left_out}")


def _one_line(text: str) -> str:
    """A text that may stand within a docstring."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain.replace("\\", "\\\\").replace('"""', "'''")


def _fill(field: InputField) -> Iterable[str]:
    indent = "        "
    if field.may_miss:
        yield f"{indent}if {field.name} is not None:"
        indent += "    "
    code = _CODES.get(field.tensor.datatype)
    if code is None:
        yield f"{indent}columns.{field.name}.extend({field.name})"
    else:
        yield f'{indent}columns.MergeFromString(_packed({field.number}, "{code}", {field.name}))'
