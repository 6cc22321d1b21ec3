"""The typed form of an interface: which field holds which input, output and class, in one row and in columns.

Numbers come from the ledger, so a name has one number in every version of a model; names come from ``names``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sardonyx.interface import NUMBER_MAX, numbers_of
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx.registry.v1.interface_pb2 import Input, Interface, Ledger, LedgerEntry, Output
    from sardonyx.registry.v1.manifest_pb2 import Manifest


@dataclass(frozen=True, slots=True)
class InputField:
    """An input and its field in ``Features`` and in ``Columns``.

    Attributes:
        tensor: the input, with its own name.
        name: the field's.
        json: the field's in JSON: the tensor's own name, but for a few that protobuf does not take.
        number: the field's.
        may_miss: whether a caller may leave it out. One that is left out is missing in every row; where it may not be,
            the call is an InvalidInput that names it.
    """

    tensor: Input
    name: str
    json: str
    number: int
    may_miss: bool


@dataclass(frozen=True, slots=True)
class ClassField:
    """A class, its field in ``Probabilities``, and its value of the enum ``Label``.

    Attributes:
        text: the class as the interface has it.
        name: the field's.
        json: the field's in JSON.
        number: the field's and the enum value's.
        symbol: the enum value's name.
    """

    text: str
    name: str
    json: str
    number: int
    symbol: str


@dataclass(frozen=True, slots=True)
class OutputField:
    """An output and its field in ``Prediction`` and in ``Predictions``.

    Attributes:
        tensor: the output, with its own name.
        name: the field's.
        json: the field's in JSON.
        number: the field's.
        classes: the classes in the order of the output's values; empty unless the field is an enum or has a field for
            each class.
    """

    tensor: Output
    name: str
    json: str
    number: int
    classes: tuple[ClassField, ...] = ()

    @property
    def is_label(self) -> bool:
        """Whether the field is an enum, and ``value_name`` beside it holds the class itself."""
        return self.tensor.kind == pb.OUTPUT_KIND_LABEL and bool(self.classes)

    @property
    def is_probabilities(self) -> bool:
        """Whether the field is a message with a field for each class."""
        return self.tensor.kind == pb.OUTPUT_KIND_PROBABILITIES and bool(self.classes)

    @property
    def value_name(self) -> str:
        """The field beside an enum that holds the class as the model has it: a truth value, a number or a text."""
        return value_name(self.name)

    @property
    def value_number(self) -> int:
        """The number of that field."""
        return value_number(self.number)


@dataclass(frozen=True, slots=True)
class Form:
    """One generation of a model's interface, as callers compile it.

    Attributes:
        model: its name.
        package: the package of its .proto.
        inputs: in the order of their numbers.
        outputs: in the order of their numbers.
        classes: of all outputs, in the order of their numbers.
        dropped: the fields and numbers that other generations had, by kind of name.
    """

    model: str
    package: str
    inputs: tuple[InputField, ...]
    outputs: tuple[OutputField, ...]
    classes: tuple[ClassField, ...]
    dropped: Mapping[int, Sequence[Dropped]]

    @property
    def module(self) -> str:
        """The .proto's name without its ending."""
        return names.module_of(self.model)

    @property
    def path(self) -> str:
        """The .proto's path, which follows from its package."""
        return f"{self.package.replace('.', '/')}/{self.module}.proto"

    @property
    def service(self) -> str:
        """The service's name without its package."""
        return names.service_of(self.model)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A name that this generation does without: neither its field nor its number is used for anything else.

    Attributes:
        name: the field's.
        symbol: the enum value's, for a class.
        number: of both.
    """

    name: str
    number: int
    symbol: str = ""


def form_of(manifest: Manifest) -> Form:
    """The typed form of a version; equal interfaces of one generation have equal ones."""
    typed = manifest.typed_service
    # A manifest of before there were typed services says no package.
    package = typed.package or names.package_of(manifest.model, manifest.interface_major)
    return form(manifest.model, package, manifest.interface, manifest.ledger, typed.dropped)


def form(model: str, package: str, interface: Interface, ledger: Ledger, dropped: Ledger | None = None) -> Form:
    """The typed form of an interface.

    Args:
        model: its name.
        package: of the .proto.
        interface: with its numbers.
        ledger: every name that the interface has, with those that came before.
        dropped: the entries of the ledger whose numbers are to be reserved, unless the interface has them again.
    """
    spelled = {
        pb.LedgerEntry.KIND_INPUT: names.input_fields(ledger),
        pb.LedgerEntry.KIND_OUTPUT: names.output_fields(ledger),
        pb.LedgerEntry.KIND_CLASS: names.class_fields(ledger),
    }
    symbols = names.class_symbols(ledger)
    numbers = numbers_of(ledger, pb.LedgerEntry.KIND_CLASS)
    classes = {
        text: ClassField(text, *spelled[pb.LedgerEntry.KIND_CLASS][text], numbers[text], symbols[text])
        for output in interface.outputs
        for text in output.classes
    }
    inputs = [
        InputField(each, *spelled[pb.LedgerEntry.KIND_INPUT][each.name], each.number, _may_miss(each))
        for each in interface.inputs
    ]
    outputs = [
        OutputField(each, *spelled[pb.LedgerEntry.KIND_OUTPUT][each.name], each.number, _classes_of(each, classes))
        for each in interface.outputs
    ]
    gone = drop(interface, dropped or pb.Ledger()).entries
    return Form(
        model,
        package,
        tuple(sorted(inputs, key=_number)),
        tuple(sorted(outputs, key=_number)),
        tuple(sorted(classes.values(), key=_number)),
        {kind: _dropped(kind, fields, symbols, gone) for kind, fields in spelled.items()},
    )


def drop(interface: Interface, ledger: Ledger) -> Ledger:
    """The entries of a ledger that an interface has not: what a generation reserves that begins with it."""
    used = {
        pb.LedgerEntry.KIND_INPUT: {tensor.name for tensor in interface.inputs},
        pb.LedgerEntry.KIND_OUTPUT: {tensor.name for tensor in interface.outputs},
        pb.LedgerEntry.KIND_CLASS: {text for output in interface.outputs for text in output.classes},
    }
    return pb.Ledger(entries=[entry for entry in ledger.entries if entry.name not in used[entry.kind]])


def _classes_of(tensor: Output, classes: Mapping[str, ClassField]) -> tuple[ClassField, ...]:
    if tensor.kind == pb.OUTPUT_KIND_PROBABILITIES and tensor.width != len(tensor.classes):
        return ()
    return tuple(classes[text] for text in tensor.classes)


def _may_miss(tensor: Input) -> bool:
    return tensor.optional or tensor.missing == pb.MISSING_POLICY_ALLOWED


def _number(field: InputField | OutputField | ClassField | Dropped) -> int:
    return field.number


def _dropped(
    kind: int, fields: Mapping[str, names.Spelled], symbols: Mapping[str, str], gone: Iterable[LedgerEntry]
) -> tuple[Dropped, ...]:
    entries = [entry for entry in gone if entry.kind == kind]
    is_class = kind == pb.LedgerEntry.KIND_CLASS
    found = [Dropped(fields[each.name].field, each.number, symbols[each.name] if is_class else "") for each in entries]
    if kind == pb.LedgerEntry.KIND_OUTPUT:
        # It may have been a label: a ledger does not say.
        found += [Dropped(value_name(each.name), value_number(each.number)) for each in found]
    return tuple(sorted(found, key=_number))


def value_name(field: str) -> str:
    """The name of the field beside a label's."""
    return f"{field}_value"


def value_number(number: int) -> int:
    """The number of the field beside a label's: above all that a ledger gives."""
    return NUMBER_MAX + 1 + number
