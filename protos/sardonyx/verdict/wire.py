"""The rules of the wire and of JSON, under the names that buf gives them, for two descriptors of one package.

Two descriptors that these rules let pass can read each other's bytes. Whether they mean the same by them is for the
semantic rules: the wire knows numbers and types, and takes two swapped inputs for what they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from sardonyx.verdict.reason import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto

_F = FieldDescriptorProto
#: Types whose bytes are read alike, and types whose JSON is; any other is alike to itself alone.
_ALIKE_ON_WIRE: Final[tuple[set[int], ...]] = (
    {_F.TYPE_INT32, _F.TYPE_INT64, _F.TYPE_UINT32, _F.TYPE_UINT64, _F.TYPE_BOOL},
    {_F.TYPE_SINT32, _F.TYPE_SINT64},
    {_F.TYPE_FIXED32, _F.TYPE_SFIXED32},
    {_F.TYPE_FIXED64, _F.TYPE_SFIXED64},
)
_ALIKE_IN_JSON: Final[tuple[set[int], ...]] = (
    {_F.TYPE_INT32, _F.TYPE_UINT32},
    {_F.TYPE_INT64, _F.TYPE_UINT64},
    *_ALIKE_ON_WIRE[1:],
)

#: What each rule means for a caller.
_MEANINGS: Final = {
    "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED": "What callers send or read under its number may come to mean another.",
    "FIELD_NO_DELETE_UNLESS_NAME_RESERVED": "What callers send or read under its name may come to mean another.",
    "FIELD_WIRE_COMPATIBLE_TYPE": "Bytes of compiled stubs are read as something else, or not at all.",
    "FIELD_WIRE_JSON_COMPATIBLE_TYPE": "JSON of compiled stubs is read as something else, or not at all.",
    "FIELD_WIRE_COMPATIBLE_CARDINALITY": "One value and many are different bytes.",
    "FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY": "One value and many are different JSON.",
    "FIELD_SAME_NAME": "Code that was compiled anew does not find the field.",
    "FIELD_SAME_JSON_NAME": "JSON under the old name is not found.",
    "ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED": "The number of the class may come to mean another.",
    "ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED": "The name of the class may come to mean another.",
    "ENUM_VALUE_SAME_NAME": "An answer is read as another class.",
}


def compare(old: FileDescriptorProto, new: FileDescriptorProto) -> list[Reason]:
    """What buf's categories WIRE and WIRE_JSON have against the change."""
    messages = {message.name: message for message in new.message_type}
    enums = {enum.name: enum for enum in new.enum_type}
    found: list[Reason] = []
    for message in old.message_type:
        # A message that is gone is read by nobody who may still call: buf's two categories say nothing of it either.
        if message.name in messages:
            found += _messages(message, messages[message.name])
    for enum in old.enum_type:
        if enum.name in enums:
            found += _enums(enum, enums[enum.name])
    return found


def _messages(old: DescriptorProto, new: DescriptorProto) -> Iterator[Reason]:
    after = {field.number: field for field in new.field}
    reserved = {number for each in new.reserved_range for number in range(each.start, each.end)}
    for before in old.field:
        where = f"{old.name}.{before.name}"
        if before.number in after:
            yield from _fields(where, before, after[before.number])
            continue
        if before.number not in reserved:
            yield _reason("FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", f"field {where} is gone")
        if before.name not in new.reserved_name:
            yield _reason("FIELD_NO_DELETE_UNLESS_NAME_RESERVED", f"field {where} is gone")


def _fields(where: str, old: FieldDescriptorProto, new: FieldDescriptorProto) -> Iterator[Reason]:
    if old.name != new.name:
        yield _reason("FIELD_SAME_NAME", f"field {where} is called {new.name} now")
    if old.json_name != new.json_name:
        yield _reason("FIELD_SAME_JSON_NAME", f"field {where} is {new.json_name!r} in JSON and was {old.json_name!r}")
    kinds = f"field {where} is {_type(new)} and was {_type(old)}"
    if not _are_alike(old, new, _ALIKE_ON_WIRE):
        yield _reason("FIELD_WIRE_COMPATIBLE_TYPE", kinds)
    if not _are_alike(old, new, _ALIKE_IN_JSON):
        yield _reason("FIELD_WIRE_JSON_COMPATIBLE_TYPE", kinds)
    if old.label != new.label:
        many = "many values and was one" if new.label == _F.LABEL_REPEATED else "one value and was many"
        yield _reason("FIELD_WIRE_COMPATIBLE_CARDINALITY", f"field {where} is {many}")
        yield _reason("FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", f"field {where} is {many}")


def _enums(old: EnumDescriptorProto, new: EnumDescriptorProto) -> Iterator[Reason]:
    after = {value.number: value.name for value in new.value}
    reserved = {number for each in new.reserved_range for number in range(each.start, each.end + 1)}
    for value in old.value:
        if value.number in after:
            if after[value.number] != value.name:
                yield _reason("ENUM_VALUE_SAME_NAME", f"value {value.name} is called {after[value.number]} now")
            continue
        if value.number not in reserved:
            yield _reason("ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", f"value {value.name} is gone")
        if value.name not in new.reserved_name:
            yield _reason("ENUM_VALUE_NO_DELETE_UNLESS_NAME_RESERVED", f"value {value.name} is gone")


def _are_alike(old: FieldDescriptorProto, new: FieldDescriptorProto, groups: Sequence[set[int]]) -> bool:
    same = old.type == new.type and old.type_name == new.type_name
    return same or any({old.type, new.type} <= group for group in groups)


def _type(field: FieldDescriptorProto) -> str:
    return field.type_name.rpartition(".")[2] or _F.Type.Name(field.type).removeprefix("TYPE_").lower()


def _reason(rule: str, change: str) -> Reason:
    return Reason(rule, change, _MEANINGS[rule], breaking=True)
