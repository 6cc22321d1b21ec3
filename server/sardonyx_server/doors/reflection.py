"""Server reflection, v1 and v1alpha: what generic clients such as grpcurl ask for, of services that come and go.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. Both versions have the same messages on the wire, so
one answer does for both; grpcio-reflection has the older names alone, and lists services that are known beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2 as pb

from sardonyx.guard import reading_stream
from sardonyx.oip import messages as oip
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from google.protobuf.descriptor import FileDescriptor

    from sardonyx_server.typed.services import Services

    Context = grpc.aio.ServicerContext[Any, Any]

_OLD: Final = "grpc.reflection.v1alpha"
_NEW: Final = "grpc.reflection.v1"
METHOD: Final = "ServerReflectionInfo"
SERVICES: Final = tuple(f"{package}.ServerReflection" for package in (_NEW, _OLD))


def handlers(services: Sequence[str], typed: Services) -> list[grpc.GenericRpcHandler]:
    """The handlers of both services.

    Args:
        services: those that are always there.
        typed: those that come and go.
    """
    door = ReflectionDoor([*services, *SERVICES], typed)
    answer = reading_stream(door.answer, pb.ServerReflectionRequest, LOG)
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {METHOD: grpc.stream_stream_rpc_method_handler(answer)}
    return [grpc.method_handlers_generic_handler(service, methods) for service in SERVICES]


class ReflectionDoor:
    """Answers from the descriptor pools of everything that is served.

    Args:
        services: full names of the services that are always there.
        typed: those that come and go, each with a pool of its own.
    """

    def __init__(self, services: Sequence[str], typed: Services) -> None:
        self._services = services
        self._typed = typed
        self._pools = [oip.POOL, descriptor_pool.Default(), _pool_of_v1()]

    async def answer(
        self, requests: AsyncIterator[pb.ServerReflectionRequest], _context: Context
    ) -> AsyncIterator[pb.ServerReflectionResponse]:
        """A stream of questions, each answered in its turn."""
        async for request in requests:
            response = pb.ServerReflectionResponse(valid_host=request.host, original_request=request)
            try:
                self._fill(response, request)
            except KeyError:
                code, text = grpc.StatusCode.NOT_FOUND.value
                response.error_response.error_code = code
                response.error_response.error_message = text
            yield response

    def _fill(self, response: pb.ServerReflectionResponse, request: pb.ServerReflectionRequest) -> None:
        """Answer one question.

        Raises:
            KeyError: there is no such thing.
        """
        match request.WhichOneof("message_request"):
            case "list_services":
                for name in sorted([*self._services, *self._typed.names]):
                    response.list_services_response.service.add(name=name)
            case "file_by_filename":
                self._add(response, self._first("FindFileByName", request.file_by_filename))
            case "file_containing_symbol":
                self._add(response, self._first("FindFileContainingSymbol", request.file_containing_symbol))
            case "file_containing_extension":
                wanted = request.file_containing_extension
                message = self._first("FindMessageTypeByName", wanted.containing_type)
                self._add(response, self._first("FindExtensionByNumber", message, wanted.extension_number).file)
            case "all_extension_numbers_of_type":
                message = self._first("FindMessageTypeByName", request.all_extension_numbers_of_type)
                response.all_extension_numbers_response.base_type_name = message.full_name
                numbers = sorted(each.number for pool in self._all for each in pool.FindAllExtensions(message))
                response.all_extension_numbers_response.extension_number.extend(numbers)
            case _:
                raise KeyError

    @property
    def _all(self) -> list[Any]:
        return [*self._pools, *self._typed.pools]

    def _first(self, method: str, *arguments: Any) -> Any:
        """What the first pool finds that knows it."""
        for pool in self._all:
            try:
                return getattr(pool, method)(*arguments)
            except KeyError:
                continue
        raise KeyError(arguments)

    def _add(self, response: pb.ServerReflectionResponse, file: FileDescriptor) -> None:
        """A file and all that it imports, each once."""
        files = {each.name: each for each in _with_imports(file)}
        response.file_descriptor_response.file_descriptor_proto.extend(map(self._written, files.values()))

    def _written(self, file: FileDescriptor) -> bytes:
        # A pool forgets comments: those of a typed service are worth sending.
        typed = self._typed.file(file.name)
        return file.serialized_pb if typed is None else typed.SerializeToString()


def _with_imports(file: FileDescriptor) -> Iterator[FileDescriptor]:
    yield file
    for imported in file.dependencies:
        yield from _with_imports(imported)


def _pool_of_v1() -> descriptor_pool.DescriptorPool:
    """The newer version's descriptors: those of the older one, under its own name."""
    file = descriptor_pb2.FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    file.name = file.name.replace("v1alpha", "v1")
    file.package = _NEW
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_OLD, _NEW)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(_OLD, _NEW)
            method.output_type = method.output_type.replace(_OLD, _NEW)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
