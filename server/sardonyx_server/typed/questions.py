"""Typed requests as questions: one row of named fields, or many rows as columns.

A field that the version which answers does not know is passed over. Within a generation only inputs that may be left
out are ever added, so the answer is what that version has to say; to refuse would break new callers whenever a version
is rolled back. It is said in the trailer ``sardonyx-unknown-fields``, by the fields' numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet

from sardonyx.errors import InvalidInput, Violation
from sardonyx.guard import parse
from sardonyx.typed.columns import read_columns, write_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from sardonyx.typed import InputField
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.record import Record
    from sardonyx_server.typed.services import Generation

    Array = npt.NDArray[Any]

#: How many numbers of unknown fields are named.
UNKNOWN_NAMED_MAX: Final = 16


class _Typed:
    """What both forms have in common.

    Attributes:
        unknown: the numbers of fields that the version which answers does not know, ascending.
    """

    __slots__ = ("_generation", "_request", "model", "prediction_id", "routing_key", "selector", "unknown")
    id_field = "prediction_id"

    def __init__(self, generation: Generation, request: Any) -> None:
        self._generation = generation
        self._request = request
        self.model = generation.model
        self.selector = generation.selector
        self.prediction_id: str = request.prediction_id
        self.routing_key: str = request.routing_key
        self.unknown: Sequence[int] = ()

    def _decode(
        self, served: Served, message: Any, values: Mapping[str, Array], where: str, rows: int | None
    ) -> tuple[Mapping[str, Array], int, None]:
        """Checked against the version that answers; a refusal speaks of fields by the names that callers compiled."""
        fields = self._generation.typed.form.inputs
        self.unknown = _unknown(served, message, values, fields)
        try:
            decoded = served.decoder.decode_values(values, rows)
        except InvalidInput as error:
            raise _in_their_words(error, fields, where) from None
        return decoded.feed, decoded.rows, None

    def _finish(self, response: Any, served: Served, record: Record) -> bytes:
        response.model_version = served.version
        response.route = record.route
        response.prediction_id = record.prediction_id
        written: bytes = response.SerializeToString()
        return written


class RowQuestion(_Typed):
    """A PredictRequest: one row."""

    __slots__ = ()

    def __init__(self, generation: Generation, data: bytes) -> None:
        kind = generation.typed.predict_request
        generation.parts.check(data, kind.DESCRIPTOR.full_name)
        super().__init__(generation, parse(data, kind))

    def decode(self, served: Served) -> tuple[Mapping[str, Array], int, None]:
        """The arrays by graph tensor, and that it is one row; InvalidInput names all that is wrong."""
        features = self._request.features
        return self._decode(served, features, self._generation.rows.read(features), "features", 1)

    def encode(self, served: Served, outputs: Sequence[Array], record: Record) -> bytes:
        """A PredictResponse's bytes."""
        response = self._generation.typed.predict_response()
        self._generation.answers.write(response.prediction, _answers(served, outputs))
        return self._finish(response, served, record)


class ColumnsQuestion(_Typed):
    """A PredictBatchRequest: many rows."""

    __slots__ = ("_long",)

    def __init__(self, generation: Generation, data: bytes) -> None:
        kind = generation.typed.batch_request
        rest, self._long = generation.parts.cut(data, kind.DESCRIPTOR.full_name)
        super().__init__(generation, parse(rest, kind))

    def decode(self, served: Served) -> tuple[Mapping[str, Array], int, None]:
        """The arrays by graph tensor, and how many rows; InvalidInput names all that is wrong."""
        columns = self._request.columns
        fields = self._generation.typed.form.inputs
        values = read_columns(columns, fields, self._long)
        try:
            return self._decode(served, columns, values, "columns", _rows_meant(served, values, fields))
        except InvalidInput as error:
            if values:
                raise
            # On the wire an empty column is none: what callers know as no rows, the version has as missing inputs.
            missing = (each for each in error.violations if each.field != "columns")
            raise InvalidInput([Violation("columns", "no rows: give at least one."), *missing]) from None

    def encode(self, served: Served, outputs: Sequence[Array], record: Record) -> bytes:
        """A PredictBatchResponse's bytes."""
        response = self._generation.typed.batch_response()
        answers = _answers(served, outputs)
        fields = [field for field in self._generation.typed.form.outputs if field.tensor.name in answers]
        write_columns(response.predictions, fields, answers)
        return self._finish(response, served, record)


def _rows_meant(served: Served, values: Mapping[str, Array], fields: Iterable[InputField]) -> int | None:
    """How many rows most columns have, so that the odd ones are named; None where all agree."""
    known = [
        field.tensor for field in fields if field.tensor.name in values and field.tensor.name in served.decoder.names
    ]
    lengths = [len(values[tensor.name]) // (tensor.width or 1) for tensor in known]
    return max(filter(None, lengths), key=lengths.count) if len(set(lengths)) > 1 else None


def _answers(served: Served, outputs: Sequence[Array]) -> dict[str, Array]:
    """What the version says, by the outputs' names."""
    return dict(zip(served.output_names, outputs, strict=True))


def _unknown(served: Served, message: Any, values: Mapping[str, Array], fields: Iterable[InputField]) -> Sequence[int]:
    """Fields that nobody here knows, and those that only a newer version than the one that answers does."""
    unknown = UnknownFieldSet(message)
    numbers = {unknown[index].field_number for index in range(len(unknown))}
    if newer := values.keys() - served.decoder.names:
        numbers.update(field.number for field in fields if field.tensor.name in newer)
    return sorted(numbers)[:UNKNOWN_NAMED_MAX]


def _in_their_words(error: InvalidInput, fields: Iterable[InputField], where: str) -> InvalidInput:
    names = {f"inputs[{field.tensor.name}]": f"{where}.{field.name}" for field in fields} | {"inputs": where}
    return InvalidInput(
        [
            Violation(names.get(each.field, each.field), each.description, None if where == "features" else each.row)
            for each in error.violations
        ]
    )
