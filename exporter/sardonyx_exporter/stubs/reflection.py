"""What a running server says of a typed service, by reflection alone: v1, or v1alpha where it knows no v1."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2 as pb

from sardonyx import status
from sardonyx.address import Address
from sardonyx.client.security import authorization
from sardonyx.errors import (
    DeadlineExceeded,
    InvalidInput,
    ModelNotFound,
    NotFound,
    RouteNotFound,
    SardonyxError,
    Unavailable,
    Violation,
)
from sardonyx.names import check_model_name
from sardonyx.typed import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx.client.security import Tls

TIMEOUT_S: Final = 10.0
#: Both have the same messages on the wire.
_METHODS: Final = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]
#: Of gRPC's own names of targets, which have other shapes.
_SCHEMES: Final = ("unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:")
#: Thousands of inputs with their comments are more than gRPC's 4 MiB.
_OPTIONS: Final = [("grpc.max_receive_message_length", -1)]
#: prefix, module, major and service of a typed service's full name.
_SERVICE: Final = re.compile(r"(?:(?P<prefix>.+)\.)?(?P<module>[^.]+)\.v(?P<major>[1-9]\d*)\.(?P<service>[^.]+)")


def read_file(
    server: str,
    model: str,
    major: int | None = None,
    *,
    token: str | None = None,
    tls: Tls | None = None,
    allow_insecure_token: bool = False,
) -> tuple[FileDescriptorProto, int]:
    """The file of a model's typed service, with its comments where the server sends them, and its generation.

    Args:
        server: host:port.
        model: its name.
        major: the generation; may be left out where the server has one alone.
        token: where the server asks who calls.
        tls: where the server speaks it.
        allow_insecure_token: send the token in plain text to another machine.

    Raises:
        ModelNotFound, RouteNotFound: it has no such service; the message says which it has.
        InvalidInput: it has several generations, and none is named; or anybody on its way could read the token.
        SardonyxError: it does not answer, or has no reflection.
    """
    check_model_name(model)
    _check_address(server)
    metadata = authorization(token, [server], secure=tls is not None, allow_insecure=allow_insecure_token)
    with _channel(server, tls) as channel:
        reflection = _Reflection(channel, server, metadata)
        generations = _generations(reflection.services(), model)
        if major is None and len(generations) > 1:
            several = f"{server} has {', '.join(f'v{each}' for each in sorted(generations))} of {model!r}"
            raise InvalidInput([Violation("major", f"{several}. Say which one, such as --major {max(generations)}.")])
        wanted = next(iter(generations)) if major is None else major
        if wanted not in generations:
            raise RouteNotFound(model, f"v{wanted}", [f"v{each}" for each in sorted(generations)])
        return reflection.file(generations[wanted]), wanted


def _check_address(server: str) -> None:
    """What gRPC would try to resolve for long, or take for another port."""
    if server.startswith(_SCHEMES):
        return
    try:
        Address.parse(server)
    except ValueError as error:
        raise InvalidInput([Violation("server", str(error))]) from None


def _channel(server: str, tls: Tls | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(server, _OPTIONS)
    return grpc.secure_channel(server, tls.credentials(), _OPTIONS)


class _Reflection:
    """Asks one question a call, of the newest version of the service that the server has."""

    def __init__(self, channel: grpc.Channel, server: str, metadata: Any) -> None:
        self._channel = channel
        self._server = server
        self._metadata = metadata

    def services(self) -> list[str]:
        """The full names of all services."""
        return [each.name for each in self._ask(list_services="").list_services_response.service]

    def file(self, service: str) -> FileDescriptorProto:
        """The file that has a service."""
        answer = self._ask(file_containing_symbol=service)
        files = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
        for file in files:
            if service in (f"{file.package}.{each.name}" for each in file.service):
                return _checked(file, service)
        raise NotFound(f"{self._server} lists {service} and does not describe it any more. Try again.")

    def _ask(self, **question: Any) -> pb.ServerReflectionResponse:
        request = pb.ServerReflectionRequest(**question)
        for method in _METHODS:
            call = self._channel.stream_stream(
                method,
                request_serializer=pb.ServerReflectionRequest.SerializeToString,
                response_deserializer=pb.ServerReflectionResponse.FromString,
            )
            try:
                answers = list(call(iter([request]), timeout=TIMEOUT_S, metadata=self._metadata))
            except grpc.RpcError as error:
                self._refuse(error)
            else:
                if answers:
                    return answers[0]
        off = "has no server reflection. Ask the registry instead, with --registry, or have it turned on"
        raise SardonyxError(f"{self._server} {off} (sardonyx-server --reflection).")

    def _refuse(self, raised: Any) -> None:
        """Raise what a call ended with, unless another version of the service may answer."""
        if raised.code() is grpc.StatusCode.UNIMPLEMENTED:
            return
        error = status.from_rpc(raised.code(), raised.details() or "", raised.trailing_metadata() or ())
        if isinstance(error, (Unavailable, DeadlineExceeded)) and not status.has_details(raised.trailing_metadata()):
            raise Unavailable(f"No server answers at {self._server}: {error.message.rstrip('. ')}.") from None
        raise error from None


def _generations(services: Iterable[str], model: str) -> Mapping[int, str]:
    """The full names of a model's services, by generation."""
    module, found, known = names.module_of(model), dict[int, str](), set[str]()
    for service in services:
        match = _SERVICE.fullmatch(service)
        if match is None or match["service"] != _service_of(match["module"]):
            continue
        known.add(_model_of(match["module"]))
        if match["module"] == module:
            found[int(match["major"])] = service
    if not found:
        raise ModelNotFound(model, known)
    return found


def _service_of(module: str) -> str:
    return "".join(word.capitalize() for word in module.split("_")) + "Service"


def _model_of(module: str) -> str:
    """The name of the model that has a module, where one can be told; for people."""
    name = module.replace("_", "-")
    tries = [name, name.removesuffix("-model"), name.replace("-dash", "-")]
    return next((each for each in tries if _is_module_of(each, module)), name)


def _is_module_of(name: str, module: str) -> bool:
    try:
        return names.module_of(name) == module
    except InvalidInput:
        return False


def _checked(file: FileDescriptorProto, service: str) -> FileDescriptorProto:
    """The file, unless its path or its names are such as sardonyx does not write: they become files and code here."""
    package = service.rpartition(".")[0]
    words = package.split(".")
    names.check_prefix(".".join(words[:-2]))
    try:
        descriptor_pool.DescriptorPool().Add(file)
    except TypeError as error:
        raise SardonyxError(f"The server's descriptor of {service} is none: {error}.") from None
    if file.name != f"{'/'.join(words)}/{words[-2]}.proto":
        raise SardonyxError(f"{service} is in {file.name!r}, where sardonyx does not write it.")
    return file
