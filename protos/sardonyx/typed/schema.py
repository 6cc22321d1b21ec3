"""The typed form as a descriptor, with its comments: what servers answer by, and what the .proto's text says.

One row is a message of named fields, all ``optional``: an absent value is absent, never a silent zero. Many rows are
columns: a packed column costs a server what raw bytes cost, where a message for each row cost 45 times as much (10,000
rows of 30 numbers: 0.6 ms and 28 ms). Whole numbers have a fixed width there, so a column's bytes on the wire are an
array's bytes in memory, in every language; a missing value is NaN, and needs no bitmap beside it.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed.names import default_json_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto

    from sardonyx.registry.v1.interface_pb2 import Input, Output
    from sardonyx.typed.form import Dropped, Form, InputField, OutputField

    FieldType: TypeAlias = FieldDescriptorProto.Type.ValueType

_F = FieldDescriptorProto

#: The type of one value, by datatype.
ROW_TYPES: Final[dict[int, FieldType]] = {
    pb.DATATYPE_FP32: _F.TYPE_FLOAT,
    pb.DATATYPE_FP64: _F.TYPE_DOUBLE,
    pb.DATATYPE_INT32: _F.TYPE_INT32,
    pb.DATATYPE_INT64: _F.TYPE_INT64,
    pb.DATATYPE_BOOL: _F.TYPE_BOOL,
    pb.DATATYPE_BYTES: _F.TYPE_STRING,
}
#: The type of a column's values, by datatype.
COLUMN_TYPES: Final[dict[int, FieldType]] = {
    **ROW_TYPES,
    pb.DATATYPE_INT32: _F.TYPE_SFIXED32,
    pb.DATATYPE_INT64: _F.TYPE_SFIXED64,
}

#: Where a descriptor's parts lie, by the field numbers of FileDescriptorProto and its parts.
SYNTAX_PATH: Final = (12,)
_MESSAGE, _ENUM, _SERVICE, _PART = 4, 5, 6, 2
_WIDTH: Final = 100
#: So many categories are named in a comment.
_CATEGORIES_NAMED_MAX: Final = 100


def schema(form: Form) -> FileDescriptorProto:
    """The form's descriptor; equal forms have equal ones, byte for byte."""
    return _Writer(form).file


class _Writer:
    """Writes one file, from its first comment to its last."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self.file = FileDescriptorProto(name=form.path, package=form.package, syntax="proto3")
        self._comment(SYNTAX_PATH, f"Predictions of the model {quoted(form.model)}.", "Written by sardonyx.")
        self._row_messages()
        self._batch_messages()
        if form.classes or form.dropped[pb.LedgerEntry.KIND_CLASS]:
            self._label()
        self._service()

    # ------------------------------------------------------------------------------------------------------- messages

    def _row_messages(self) -> None:
        request = self._message("PredictRequest", "Asks for the prediction of one row.")
        self._field(request, "features", 1, "Features")
        self._call(request)
        features = self._message("Features", "The inputs of one row.")
        for field in self._form.inputs:
            self._value(features, field, ROW_TYPES[field.tensor.datatype], *_row_comment(field))
        self._reserve(features, self._form.dropped[pb.LedgerEntry.KIND_INPUT])
        response = self._message("PredictResponse", "The prediction of one row.")
        self._field(response, "prediction", 1, "Prediction")
        self._origin(response)
        prediction = self._message("Prediction", "The outputs of one row.")
        for output in self._form.outputs:
            self._output(prediction, output, ROW_TYPES, "Probabilities")
        self._reserve(prediction, self._form.dropped[pb.LedgerEntry.KIND_OUTPUT])
        if self._has_probabilities:
            self._probabilities("Probabilities", "How likely each class is, from 0 to 1.", repeated=False)

    def _batch_messages(self) -> None:
        request = self._message("PredictBatchRequest", "Asks for the predictions of many rows.")
        self._field(request, "columns", 1, "Columns")
        self._call(request)
        columns = self._message("Columns", "The inputs of many rows, a column each: row k is the k-th value of each.")
        for field in self._form.inputs:
            kind = COLUMN_TYPES[field.tensor.datatype]
            self._value(columns, field, kind, *_column_comment(field), repeated=True)
        self._reserve(columns, self._form.dropped[pb.LedgerEntry.KIND_INPUT])
        response = self._message("PredictBatchResponse", "The predictions of many rows.")
        self._field(response, "predictions", 1, "Predictions")
        self._origin(response)
        predictions = self._message("Predictions", "The outputs of many rows, a column each, in the order of the rows.")
        for output in self._form.outputs:
            self._output(predictions, output, COLUMN_TYPES, "ProbabilityColumns", repeated=True)
        self._reserve(predictions, self._form.dropped[pb.LedgerEntry.KIND_OUTPUT])
        if self._has_probabilities:
            self._probabilities("ProbabilityColumns", "How likely each class is, a value a row.", repeated=True)

    @property
    def _has_probabilities(self) -> bool:
        return any(output.is_probabilities for output in self._form.outputs)

    def _call(self, request: DescriptorProto) -> None:
        own = "The request's own id, under which outcomes are reported; by default, a random one."
        self._field(request, "prediction_id", 2, _F.TYPE_STRING, own)
        key = "Requests of equal keys meet the same version while a new one is tried on a share of them."
        self._field(request, "routing_key", 3, _F.TYPE_STRING, key)

    def _origin(self, response: DescriptorProto) -> None:
        self._field(response, "model_version", 2, _F.TYPE_INT32, "The version of the model that answered.")
        self._field(response, "route", 3, _F.TYPE_STRING, "Why that version: live or canary.")
        self._field(response, "prediction_id", 4, _F.TYPE_STRING, "The request's id, or the one that it was given.")

    def _output(
        self,
        message: DescriptorProto,
        output: OutputField,
        kinds: dict[int, FieldType],
        each: str,
        *,
        repeated: bool = False,
    ) -> None:
        kind = kinds[output.tensor.datatype]
        if output.is_label:
            comment = f"Output {quoted(output.tensor.name)}: the chosen class. Its number says nothing: see the names."
            self._field(message, output.name, output.number, "Label", comment, repeated=repeated, json=output.json)
            value = "The chosen class itself, as the model has it."
            self._field(
                message, output.value_name, output.value_number, kind, value, repeated=repeated, optional=not repeated
            )
        elif output.is_probabilities:
            self._field(message, output.name, output.number, each, *_output_comment(output.tensor), json=output.json)
        else:
            self._value(message, output, kind, *_output_comment(output.tensor), repeated=repeated)

    def _probabilities(self, name: str, comment: str, *, repeated: bool) -> None:
        message = self._message(name, comment)
        for each in self._form.classes:
            about = f"Class {quoted(each.text)}."
            self._field(message, each.name, each.number, _F.TYPE_DOUBLE, about, repeated=repeated, json=each.json)
        self._reserve(message, self._form.dropped[pb.LedgerEntry.KIND_CLASS])

    # ------------------------------------------------------------------------------------------------ enum and service

    def _label(self) -> None:
        enum = self.file.enum_type.add(name="Label")
        self._comment((_ENUM, 0), "The classes of the model.")
        self._symbol(enum, "LABEL_UNSPECIFIED", 0, "No class: never an answer.")
        for each in self._form.classes:
            self._symbol(enum, each.symbol, each.number, f"Class {quoted(each.text)}.")
        for gone in self._form.dropped[pb.LedgerEntry.KIND_CLASS]:
            enum.reserved_range.add(start=gone.number, end=gone.number)
            enum.reserved_name.append(gone.symbol)

    def _symbol(self, enum: EnumDescriptorProto, name: str, number: int, comment: str) -> None:
        self._comment((_ENUM, 0, _PART, len(enum.value)), comment)
        enum.value.add(name=name, number=number)

    def _service(self) -> None:
        service = self.file.service.add(name=self._form.service)
        self._comment((_SERVICE, 0), f"Predictions of the model {quoted(self._form.model)}.")
        for name, comment in (("Predict", "Predicts one row."), ("PredictBatch", "Predicts many rows at once.")):
            self._comment((_SERVICE, 0, _PART, len(service.method)), comment)
            request, response = (f".{self._form.package}.{name}{end}" for end in ("Request", "Response"))
            service.method.add(name=name, input_type=request, output_type=response)

    # --------------------------------------------------------------------------------------------------------- fields

    def _message(self, name: str, comment: str) -> DescriptorProto:
        self._comment((_MESSAGE, len(self.file.message_type)), comment)
        return self.file.message_type.add(name=name)

    def _value(
        self,
        message: DescriptorProto,
        field: InputField | OutputField,
        kind: FieldType,
        *comment: str,
        repeated: bool = False,
    ) -> None:
        """A field of its tensor's own name, which is absent until it is set."""
        many = repeated or bool(field.tensor.width)
        self._field(
            message, field.name, field.number, kind, *comment, repeated=many, optional=not many, json=field.json
        )

    def _field(
        self,
        message: DescriptorProto,
        name: str,
        number: int,
        kind: FieldType | str,
        *comment: str,
        repeated: bool = False,
        optional: bool = False,
        json: str | None = None,
    ) -> None:
        self._comment((_MESSAGE, len(self.file.message_type) - 1, _PART, len(message.field)), *comment)
        field = message.field.add(
            name=name,
            number=number,
            label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL,
            json_name=default_json_name(name) if json is None else json,
        )
        if isinstance(kind, str):
            field.type = _F.TYPE_ENUM if kind == "Label" else _F.TYPE_MESSAGE
            field.type_name = f".{self._form.package}.{kind}"
        else:
            field.type = kind
        if optional:
            # What presence is made of: a oneof of this field alone, which is not written in the text.
            field.proto3_optional = True
            field.oneof_index = len(message.oneof_decl)
            message.oneof_decl.add(name=f"_{name}")

    def _reserve(self, message: DescriptorProto, dropped: Sequence[Dropped]) -> None:
        for gone in dropped:
            message.reserved_range.add(start=gone.number, end=gone.number + 1)
            message.reserved_name.append(gone.name)

    def _comment(self, path: Sequence[int], *sentences: str) -> None:
        lines = textwrap.wrap(
            " ".join(map(_printable, sentences)), _WIDTH, break_long_words=False, break_on_hyphens=False
        )
        if lines:
            text = "".join(f" {line}\n" for line in lines)
            self.file.source_code_info.location.add(path=path, span=(0, 0, 0), leading_comments=text)


# ------------------------------------------------------------------------------------------------------------ comments


def quoted(name: str) -> str:
    """A name as people wrote it, in one line."""
    return json.dumps(name, ensure_ascii=False)


def number(value: float) -> str:
    """A number as people write it: 5 for 5.0, and every digit where there are more."""
    return repr(value).removesuffix(".0")


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _row_comment(field: InputField) -> Iterable[str]:
    tensor = field.tensor
    yield from _meaning(tensor)
    if tensor.width:
        yield f"{tensor.width} values, in the order of the model's columns."
    if not field.may_miss:
        yield "Required."
    elif tensor.missing == pb.MISSING_POLICY_ALLOWED:
        yield "May be left out, or NaN: the model knows how to treat a missing value."
    else:
        yield "May be left out."


def _column_comment(field: InputField) -> Iterable[str]:
    tensor = field.tensor
    yield from _meaning(tensor)
    if tensor.width:
        yield f"{tensor.width} values a row, row by row."
    yield "May be left out, as missing in every row." if field.may_miss else "Required."
    if tensor.missing == pb.MISSING_POLICY_ALLOWED:
        yield "NaN is a missing value."


def _meaning(tensor: Input) -> Iterable[str]:
    unit = f", in {tensor.unit}" if tensor.unit else ""
    yield f"Input {quoted(tensor.name)}{unit}."
    if tensor.description:
        yield f"{tensor.description.rstrip('. ')}."
    yield from _range(tensor)
    if tensor.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_REFUSED:
        yield f"One of {_listed(tensor.categories)}; any other value is refused."
    elif tensor.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_ALLOWED:
        yield "A value that the model has not seen is answered too."


def _range(tensor: Input) -> Iterable[str]:
    low = number(tensor.minimum) if tensor.HasField("minimum") else ""
    high = number(tensor.maximum) if tensor.HasField("maximum") else ""
    if low and high:
        yield f"From {low} to {high}."
    elif low:
        yield f"At least {low}."
    elif high:
        yield f"At most {high}."


def _listed(categories: Sequence[str]) -> str:
    named = ", ".join(map(quoted, categories[:_CATEGORIES_NAMED_MAX]))
    rest = len(categories) - _CATEGORIES_NAMED_MAX
    return f"{named} and {rest} more" if rest > 0 else named


def _output_comment(tensor: Output) -> Iterable[str]:
    meaning = {
        pb.OUTPUT_KIND_LABEL: "the chosen class",
        pb.OUTPUT_KIND_PROBABILITIES: "how likely each class is",
        pb.OUTPUT_KIND_VALUE: "the estimated value",
    }.get(tensor.kind, "what the model says")
    yield f"Output {quoted(tensor.name)}: {meaning}."
    if tensor.width and not tensor.classes:
        yield f"{tensor.width} values a row."
