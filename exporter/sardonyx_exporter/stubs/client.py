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

from collections.abc import Iterable, Sequence
from types import TracebackType

import grpc
from grpc import aio

from {package} import {module}_pb2 as _pb
from {package}.access import Access
from {package}.columns import Table
from {package}.{module}_pb2_grpc import {service}Stub
from {package}.row import row as _row
from {package}.row import truth_of as _truth

'''

_CLASS: Final = '''
class {prefix}{name}Client:
    """Asks a sardonyx-server for predictions{how}.

    Args:
        target: the server's address, such as "localhost:8001", or a channel with options of your own.
        credentials: where the server speaks TLS: ``grpc.ssl_channel_credentials()``.
        token: where the server asks who calls.
        caller: a name for whoever calls, such as "checkout": the server's monitor shows who calls which interface.

    Raises:
        TypeError, ValueError: one of these cannot be what it is given as.{raises}
    """

    def __init__(
        self,
        target: str | {channel},
        *,
        credentials: grpc.ChannelCredentials | None = None,
        token: str = "",
        caller: str = "",
    ) -> None:
        self._access = Access(
            target, {channel}, "{package}.{service}", credentials=credentials, token=token, caller=caller
        )
        if not isinstance(target, str):
            self.channel = target
        elif credentials is None:
            self.channel = {grpc}.insecure_channel(target, options=self._access.options)
        else:
            self.channel = {grpc}.secure_channel(target, credentials, options=self._access.options)
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
            ValueError: ``timeout_s`` is no time to wait.
            CallFailed: the server refused, as with InvalidArgument, or could not be reached; the message says what to
                do. It is a grpc.RpcError.
        """
        features = _row(_pb.Features, {features})
        request = _pb.PredictRequest(features=features, prediction_id=prediction_id, routing_key=routing_key)
        with self._access.explaining(timeout_s):
            return {await_}self.stub.Predict(request, timeout=timeout_s, metadata=self._access.metadata)

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
            TypeError: something in a column is of another type; the argument is named, and the row.
            InvalidArgument: the columns are not of one length, or have no rows. What the server refuses is one, too.
            CallFailed: as with ``predict``.
        """
        columns = Table(_pb.Columns())
{fill}
        request = _pb.PredictBatchRequest(
            columns=columns.message(), prediction_id=prediction_id, routing_key=routing_key
        )
        with self._access.explaining(timeout_s):
            return {await_}self.stub.PredictBatch(request, timeout=timeout_s, metadata=self._access.metadata)

    {async_}def close(self) -> None:
        """Close the channel; there are no more calls."""
        self._access.is_closed = True
        {await_}self.channel.close({grace})

    {async_}def __{a}enter__(self) -> {prefix}{name}Client:
        """The client itself."""
        return self

    {async_}def __{a}exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel."""
        {await_}self.close()

'''

_WAYS: Final = {
    "prefix": ("", "Async"),
    "how": ("", " from asyncio"),
    "channel": ("grpc.Channel", "aio.Channel"),
    "grpc": ("grpc", "aio"),
    "async_": ("", "async "),
    "await_": ("", "await "),
    "a": ("", "a"),
    # Some of gRPC's types want it named.
    "grace": ("", "grace=None"),
    "raises": ("", "\n        RuntimeError: no event loop runs yet."),
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
    return head + "".join(_class(described, way) for way in (0, 1))


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
        package=described.package,
        service=described.service,
        row_arguments=_signature(arguments, row_type),
        row_docs="\n".join(f"            {each.name}: {_one_line(each.meaning)}" for each in arguments),
        features=", ".join(map(_feature, arguments)),
        column_arguments=_signature(arguments, _column_type),
        fill="\n".join(line for each in arguments for line in _fill(each)),
    )


def _signature(arguments: Sequence[Argument], type_of: Callable[[Argument], str]) -> str:
    return "\n".join(
        f"        {each.name}: {type_of(each)}{'' if each.is_required else ' | None = None'}," for each in arguments
    )


def _column_type(argument: Argument) -> str:
    kind = _TYPES[argument.kind]
    return f"Iterable[{kind} | Iterable[{kind}]]" if argument.is_vector else f"Iterable[{kind}]"


def _feature(argument: Argument) -> str:
    is_truth = argument.kind == FieldDescriptorProto.TYPE_BOOL and not argument.is_vector
    return (
        f'{argument.name}=_truth("{argument.name}", {argument.name})'
        if is_truth
        else f"{argument.name}={argument.name}"
    )


def _one_line(text: str) -> str:
    """A text that may stand within a docstring."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain.replace("\\", "\\\\").replace('"""', "'''")


def _fill(argument: Argument) -> Iterable[str]:
    indent = "        "
    if not argument.is_required:
        yield f"{indent}if {argument.name} is not None:"
        indent += "    "
    name, vector = argument.name, ", is_vector=True" if argument.is_vector else ""
    code = _CODES.get(argument.kind)
    if code is None:
        yield f'{indent}columns.texts("{name}", {name}{vector})'
    else:
        yield f'{indent}columns.numbers("{name}", {argument.number}, "{code}", {name}{vector})'
