"""The typed form of an interface: which field holds which input, output and class, in one row and in columns.

Numbers come from the ledger, so a name has one number in every version of a model; names come from ``names``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sardonyx.interface import NUMBER_MAX, numbers_of
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


_KINDS: Final = (pb.LedgerEntry.KIND_INPUT, pb.LedgerEntry.KIND_OUTPUT, pb.LedgerEntry.KIND_CLASS)


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
    classes = {each.text: each for each in _classes(interface, ledger)}
    input_names, output_names = names.input_fields(ledger), names.output_fields(ledger)
    inputs = [
        InputField(tensor, *input_names[tensor.name], tensor.number, _may_miss(tensor)) for tensor in interface.inputs
    ]
    outputs = [
        OutputField(tensor, *output_names[tensor.name], tensor.number, _classes_of(tensor, classes))
        for tensor in interface.outputs
    ]
    return Form(
        model,
        package,
        tuple(sorted(inputs, key=lambda field: field.number)),
        tuple(sorted(outputs, key=lambda field: field.number)),
        tuple(classes.values()),
        {kind: tuple(_dropped(kind, interface, ledger, dropped or pb.Ledger())) for kind in _KINDS},
    )


def drop(interface: Interface, ledger: Ledger) -> Ledger:
    """The entries of a ledger that an interface has not: what a generation reserves that begins with it."""
    used = _used(interface)
    return pb.Ledger(entries=[entry for entry in ledger.entries if entry.name not in used[entry.kind]])


def _classes(interface: Interface, ledger: Ledger) -> list[ClassField]:
    numbers = numbers_of(ledger, pb.LedgerEntry.KIND_CLASS)
    fields, symbols = names.class_fields(ledger), names.class_symbols(ledger)
    texts = dict.fromkeys(text for output in interface.outputs for text in output.classes)
    return sorted(
        (ClassField(text, *fields[text], numbers[text], symbols[text]) for text in texts), key=lambda each: each.number
    )


def _classes_of(tensor: Output, classes: Mapping[str, ClassField]) -> tuple[ClassField, ...]:
    if tensor.kind == pb.OUTPUT_KIND_PROBABILITIES and tensor.width != len(tensor.classes):
        return ()
    return tuple(classes[text] for text in tensor.classes)


def _may_miss(tensor: Input) -> bool:
    return tensor.optional or tensor.missing == pb.MISSING_POLICY_ALLOWED


def _used(interface: Interface) -> dict[int, set[str]]:
    return {
        pb.LedgerEntry.KIND_INPUT: {tensor.name for tensor in interface.inputs},
        pb.LedgerEntry.KIND_OUTPUT: {tensor.name for tensor in interface.outputs},
        pb.LedgerEntry.KIND_CLASS: {text for output in interface.outputs for text in output.classes},
    }


def _dropped(kind: LedgerEntry.Kind.ValueType, interface: Interface, ledger: Ledger, dropped: Ledger) -> list[Dropped]:
    used = _used(interface)[kind]
    fields = {
        pb.LedgerEntry.KIND_INPUT: names.input_fields,
        pb.LedgerEntry.KIND_OUTPUT: names.output_fields,
        pb.LedgerEntry.KIND_CLASS: names.class_fields,
    }[kind](ledger)
    symbols = names.class_symbols(ledger) if kind == pb.LedgerEntry.KIND_CLASS else {}
    entries = [entry for entry in dropped.entries if entry.kind == kind and entry.name not in used]
    found = [Dropped(fields[entry.name].field, entry.number, symbols.get(entry.name, "")) for entry in entries]
    if kind == pb.LedgerEntry.KIND_OUTPUT:
        # It may have been a label: a ledger does not say.
        found += [Dropped(value_name(each.name), value_number(each.number)) for each in found]
    return sorted(found, key=lambda each: each.number)


def value_name(field: str) -> str:
    """The name of the field beside a label's."""
    return f"{field}_value"


def value_number(number: int) -> int:
    """The number of the field beside a label's: above all that a ledger gives."""
    return NUMBER_MAX + 1 + number
