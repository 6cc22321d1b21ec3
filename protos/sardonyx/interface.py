"""What the messages of an interface mean: names, types, the digest, the numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from sardonyx.errors import RuleBroken
from sardonyx.oip.tensors import DTYPES
from sardonyx.registry.v1.interface_pb2 import Datatype, Input, Interface, Ledger, LedgerEntry, Output

if TYPE_CHECKING:
    import numpy as np

#: The protocol's name of each datatype, such as FP64.
DATATYPE_NAMES: Final[dict[int, str]] = {
    value: name.removeprefix("DATATYPE_") for name, value in Datatype.items() if value != Datatype.DATATYPE_UNSPECIFIED
}


#: Numbers that no field may have: protobuf keeps them for itself.
PROTOBUF_RESERVED: Final = range(19_000, 20_000)
#: The largest number of a name; the typed form has fields of its own above.
NUMBER_MAX: Final = 99_999
_KINDS: Final = (LedgerEntry.KIND_INPUT, LedgerEntry.KIND_OUTPUT, LedgerEntry.KIND_CLASS)


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


def number_tensors(interface: Interface, ledger: Ledger) -> Ledger:
    """Give every input, output and class its number: the one its name has always had, or a new one.

    Fills ``number`` in the interface and returns the ledger with what is new in it.

    Raises:
        RuleBroken: there are no numbers left.
    """
    grown = Ledger()
    grown.CopyFrom(ledger)
    inputs, outputs, classes = (_Numbers(grown, kind) for kind in _KINDS)
    for tensor in interface.inputs:
        tensor.number = inputs.of(tensor.name)
    for output in interface.outputs:
        output.number = outputs.of(output.name)
        for name in output.classes:
            classes.of(name)
    return grown


def numbers_of(ledger: Ledger, kind: LedgerEntry.Kind.ValueType) -> dict[str, int]:
    """The numbers of one kind of names, in the order in which they were given."""
    return {entry.name: entry.number for entry in ledger.entries if entry.kind == kind}


class _Numbers:
    """The numbers of one kind of names in a ledger that grows."""

    def __init__(self, ledger: Ledger, kind: LedgerEntry.Kind.ValueType) -> None:
        self._ledger, self._kind = ledger, kind
        self._numbers = numbers_of(ledger, kind)
        self._last = max(self._numbers.values(), default=0)

    def of(self, name: str) -> int:
        if name not in self._numbers:
            self._last = self._numbers[name] = _next(self._last)
            self._ledger.entries.add(kind=self._kind, name=name, number=self._last)
        return self._numbers[name]


def _next(last: int) -> int:
    number = last + 1
    if number in PROTOBUF_RESERVED:
        number = PROTOBUF_RESERVED.stop
    if number > NUMBER_MAX:
        raise RuleBroken(f"The model has used {NUMBER_MAX:,} names of one kind. Begin a model of another name.")
    return number
