"""What a generation's descriptor says to those who write its callers: the same from a registry and from a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sardonyx.errors import SardonyxError
from sardonyx.typed import text
from sardonyx.typed.schema import ROW_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

#: What callers import by name, beside the enum of classes.
_MESSAGES: Final = {"Columns", "Features", "PredictBatchResponse", "PredictResponse", "Prediction", "Predictions"}
_MESSAGE: Final = 4
_PART: Final = 2
#: How the comment of an input ends that callers must give. Without comments none is known to be required: callers may
#: leave out what they like, and the server says what it lacks.
_REQUIRED: Final = "Required."


@dataclass(frozen=True, slots=True)
class Argument:
    """An input, as callers give it.

    Attributes:
        name: its field's.
        number: its field's.
        kind: the type of its value, a FieldDescriptorProto.Type.
        is_vector: whether a row has several values of it.
        meaning: its field's comment, in one line; empty where there is none.
        original: the input's own name.
    """

    name: str
    number: int
    kind: int
    is_vector: bool
    meaning: str
    original: str

    @property
    def is_required(self) -> bool:
        """Whether it must be given."""
        return self.meaning.endswith(_REQUIRED)


@dataclass(frozen=True, slots=True)
class Described:
    """One generation of a model's interface.

    Attributes:
        model: its name.
        major: the generation.
        package: of the .proto.
        service: its name within the package.
        path: the .proto's, which follows from its package.
        source: the .proto's text.
        arguments: the inputs, in the order of their numbers.
        messages: what callers import by name.
    """

    model: str
    major: int
    package: str
    service: str
    path: str
    source: str
    arguments: Sequence[Argument]
    messages: Sequence[str]

    @property
    def module(self) -> str:
        """The .proto's name without its ending."""
        return self.path.rpartition("/")[2].removesuffix(".proto")

    @property
    def client(self) -> str:
        """The name of the client's class."""
        return f"{self.service.removesuffix('Service')}Client"


def describe(file: FileDescriptorProto, model: str, major: int) -> Described:
    """What a descriptor says.

    Raises:
        SardonyxError: it is not one that sardonyx wrote.
    """
    messages = {message.name: at for at, message in enumerate(file.message_type)}
    fields = file.message_type[messages["Features"]].field if messages.keys() >= _MESSAGES else []
    if not fields or len(file.service) != 1 or not {field.type for field in fields} <= {*ROW_TYPES.values()}:
        raise SardonyxError(f"{file.name} has no typed service of sardonyx. Name another model.")
    at = messages["Features"]
    return Described(
        *(model, major, file.package, file.service[0].name, file.name, text(file)),
        arguments=[_argument(file, field, (_MESSAGE, at, _PART, part)) for part, field in enumerate(fields)],
        messages=sorted([*_MESSAGES, *(enum.name for enum in file.enum_type)]),
    )


def _argument(file: FileDescriptorProto, field: FieldDescriptorProto, path: tuple[int, ...]) -> Argument:
    comments = (each.leading_comments for each in file.source_code_info.location if tuple(each.path) == path)
    meaning = " ".join(next(comments, "").split())
    is_vector = field.label == field.LABEL_REPEATED
    return Argument(field.name, field.number, field.type, is_vector, meaning, field.json_name or field.name)
