"""A descriptor as the text of a .proto, in the form that ``buf format`` leaves as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from sardonyx.typed.names import default_json_name
from sardonyx.typed.schema import SYNTAX_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FileDescriptorProto,
        ServiceDescriptorProto,
    )

_PATHS: Final = {"message": 4, "enum": 5, "service": 6, "part": 2}


def text(file: FileDescriptorProto) -> str:
    """The text of a file that ``schema`` made; protoc makes the same descriptor of it."""
    return _Printer(file).text()


class _Printer:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        locations = file.source_code_info.location
        self._comments = {tuple(location.path): location.leading_comments for location in locations}

    def text(self) -> str:
        file = self._file
        blocks = [
            [*self._comment(SYNTAX_PATH, ""), f'syntax = "{file.syntax}";'],
            [f"package {file.package};"],
            *(list(self._service(service, (_PATHS["service"], at))) for at, service in enumerate(file.service)),
            *(list(self._message(message, (_PATHS["message"], at))) for at, message in enumerate(file.message_type)),
            *(list(self._enum(enum, (_PATHS["enum"], at))) for at, enum in enumerate(file.enum_type)),
        ]
        return "\n\n".join("\n".join(block) for block in blocks) + "\n"

    def _service(self, service: ServiceDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield from self._comment(path, "")
        yield f"service {service.name} {{"
        for at, method in enumerate(service.method):
            yield from self._comment((*path, _PATHS["part"], at), "  ")
            yield f"  rpc {method.name}({self._near(method.input_type)}) returns ({self._near(method.output_type)});"
        yield "}"

    def _message(self, message: DescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield from self._comment(path, "")
        if not message.field and not message.reserved_range:
            yield f"message {message.name} {{}}"
            return
        yield f"message {message.name} {{"
        yield from _reserved([each.start for each in message.reserved_range], message.reserved_name)
        for at, field in enumerate(message.field):
            yield from self._comment((*path, _PATHS["part"], at), "  ")
            yield f"  {self._field(field)}"
        yield "}"

    def _enum(self, enum: EnumDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
        yield from self._comment(path, "")
        yield f"enum {enum.name} {{"
        yield from _reserved([each.start for each in enum.reserved_range], enum.reserved_name)
        for at, value in enumerate(enum.value):
            yield from self._comment((*path, _PATHS["part"], at), "  ")
            yield f"  {value.name} = {value.number};"
        yield "}"

    def _field(self, field: FieldDescriptorProto) -> str:
        label = "optional " if field.proto3_optional else ""
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            label = "repeated "
        kind = field.type_name and self._near(field.type_name)
        kind = kind or FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        named = field.json_name != default_json_name(field.name)
        options = f" [json_name = {_literal(field.json_name)}]" if named else ""
        return f"{label}{kind} {field.name} = {field.number}{options};"

    def _near(self, name: str) -> str:
        """A type's name as it is written within its own package."""
        return name.removeprefix(f".{self._file.package}.")

    def _comment(self, path: Sequence[int], indent: str) -> list[str]:
        return [f"{indent}//{line}" for line in self._comments.get(tuple(path), "").splitlines()]


def _reserved(numbers: Sequence[int], names: Sequence[str]) -> Iterator[str]:
    if numbers:
        yield f"  reserved {', '.join(map(str, numbers))};"
        yield f"  reserved {', '.join(map(_literal, names))};"


def _literal(text: str) -> str:
    """A string as the .proto language writes it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else _octal(each) for each in escaped) + '"'


def _octal(character: str) -> str:
    return "".join(f"\\{byte:03o}" for byte in character.encode())
