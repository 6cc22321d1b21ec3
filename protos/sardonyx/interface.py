"""What the messages of an interface mean: names, types, the digest, the verdict on a change."""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sardonyx.oip.tensors import DTYPES
from sardonyx.registry.v1.interface_pb2 import Datatype, Input, Interface, Ledger, LedgerEntry, Output

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

#: The protocol's name of each datatype, such as FP64.
DATATYPE_NAMES: Final[dict[int, str]] = {
    value: name.removeprefix("DATATYPE_") for name, value in Datatype.items() if value != Datatype.DATATYPE_UNSPECIFIED
}


def dtype_of(datatype: int) -> np.dtype[Any]:
    """Numpy's type for a datatype; object for text."""
    return DTYPES[DATATYPE_NAMES[datatype]]


def shape_of(tensor: Input | Output) -> list[int]:
    """The tensor's shape as the protocol writes it: [-1] or [-1, width]."""
    return [-1, tensor.width] if tensor.width else [-1]


def digest(interface: Interface) -> str:
    """SHA-256 of the interface's canonical form, in hex.

    Tensors are found by name, so the order of inputs and outputs does not count: they are sorted by number. The order
    of classes does, and descriptions do not.
    """
    canonical = Interface(task=interface.task)
    canonical.inputs.extend(sorted(interface.inputs, key=lambda tensor: tensor.number))
    canonical.outputs.extend(sorted(interface.outputs, key=lambda tensor: tensor.number))
    for tensor in canonical.inputs:
        tensor.description = ""
    return hashlib.sha256(canonical.SerializeToString(deterministic=True)).hexdigest()


class Kind(enum.StrEnum):
    """What a new version means to the callers of the live one."""

    FIRST = "first"
    RETRAIN = "retrain"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A computed judgement on a change of interface.

    Attributes:
        kind: retrain may take the live route of the same major; breaking becomes the next major.
        differences: what differs, a sentence each.
    """

    kind: Kind
    differences: tuple[str, ...] = ()


def judge(old: Interface | None, new: Interface) -> Verdict:
    """Compare a new version's interface with that of the version it would follow."""
    if old is None:
        return Verdict(Kind.FIRST)
    if digest(old) == digest(new):
        return Verdict(Kind.RETRAIN)
    differences = [*_compare("input", old.inputs, new.inputs), *_compare("output", old.outputs, new.outputs)]
    if old.task != new.task:
        differences.append("the task changed")
    return Verdict(Kind.BREAKING, tuple(differences))


def _compare(noun: str, old: Iterable[Input | Output], new: Iterable[Input | Output]) -> list[str]:
    before = {tensor.name: tensor for tensor in old}
    after = {tensor.name: tensor for tensor in new}
    gone = [f"{noun} {name!r} is gone" for name in before if name not in after]
    added = [f"{noun} {name!r} is new" for name in after if name not in before]
    changed = [
        f"{noun} {name!r}: {field} changed from {_written(before[name], field)} to {_written(after[name], field)}"
        for name in before
        if name in after
        for field in _fields_changed(before[name], after[name])
    ]
    return [*gone, *added, *changed]


def _written(tensor: Input | Output, name: str) -> str:
    """A field's value as people know it: enums by their names, repeated fields as lists."""
    field, value = tensor.DESCRIPTOR.fields_by_name[name], getattr(tensor, name)
    if field.enum_type is not None:
        values = field.enum_type.values_by_number
        prefix = values[0].name.removesuffix("UNSPECIFIED")
        return values[value].name.removeprefix(prefix).lower()
    return str(value if isinstance(value, str | int) else list(value))


def _fields_changed(before: Input | Output, after: Input | Output) -> list[str]:
    names = [field.name for field in before.DESCRIPTOR.fields if field.name != "description"]
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def number_tensors(interface: Interface, ledger: Ledger) -> Ledger:
    """Give every input, output and class its number: the one its name has always had, or a new one.

    Fills ``number`` in the interface and returns the ledger with what is new in it.
    """
    grown = Ledger()
    grown.CopyFrom(ledger)
    for tensor in interface.inputs:
        tensor.number = _number(grown, LedgerEntry.KIND_INPUT, tensor.name)
    for output in interface.outputs:
        output.number = _number(grown, LedgerEntry.KIND_OUTPUT, output.name)
        for name in output.classes:
            _number(grown, LedgerEntry.KIND_CLASS, name)
    return grown


def _number(ledger: Ledger, kind: LedgerEntry.Kind.ValueType, name: str) -> int:
    numbers = {entry.name: entry.number for entry in ledger.entries if entry.kind == kind}
    if name not in numbers:
        numbers[name] = max(numbers.values(), default=0) + 1
        ledger.entries.add(kind=kind, name=name, number=numbers[name])
    return numbers[name]
