"""Whether a version can have a typed service: protobuf bounds what one message holds, and says so when it is made.

A message of 8,191 columns is too large for its tables, one of 8,065 optional numbers too, and so is one of 4,064
optional texts. Nothing here knows these numbers: what fits is found by making it.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING

from sardonyx.interface import number_tensors
from sardonyx.registry.v1.interface_pb2 import Interface, Ledger
from sardonyx.typed import Form, form, package_of, typed_service
from sardonyx_exporter.errors import SourceRefused

if TYPE_CHECKING:
    from collections.abc import Callable


def check_interface(name: str, interface: Interface) -> None:
    """Make the service that a model's first version would have.

    Raises:
        SourceRefused: it cannot be made.
    """
    numbered = Interface()
    numbered.CopyFrom(interface)
    ledger = number_tensors(numbered, Ledger())
    check_form(form(name, package_of(name, 1), numbered, ledger))


def check_form(whole: Form) -> None:
    """Make a service.

    Raises:
        SourceRefused: it cannot be made; the message says what is too much, how much is not, and what to do.
    """
    reason = _fault(whole)
    if not reason:
        return
    inputs, classes = len(whole.inputs), len(whole.classes)
    fit = _most(inputs, lambda count: replace(whole, inputs=whole.inputs[:count], outputs=(), classes=()))
    if fit < inputs:
        raise SourceRefused(
            f"The model has {inputs:,} inputs, and callers could send no message of so many fields: protobuf takes"
            f" {fit:,} of them. Fit it on an array, such as frame.to_numpy(): then it has one input of {inputs:,}"
            " columns."
        )
    fit = _most(classes, lambda count: _of_classes(whole, count))
    if fit < classes:
        raise SourceRefused(
            f"The model has {classes:,} classes, and no message has a field for each: protobuf takes {fit:,} of them."
            " Fit it on fewer, such as with the rare ones as one."
        )
    raise SourceRefused(f"Callers could have no typed service of the model: {reason}.")


def _fault(whole: Form) -> str:
    """Why no service can be made; empty where one can."""
    try:
        typed_service(whole)
    except TypeError as error:  # whatever protobuf does not take
        return str(error).splitlines()[0]
    return ""


def _most(count: int, part: Callable[[int], Form]) -> int:
    """Of so many, how many make a service."""
    return bisect_left(range(1, count + 1), True, key=lambda some: bool(_fault(part(some))))


def _of_classes(whole: Form, count: int) -> Form:
    outputs = tuple(replace(output, classes=output.classes[:count]) for output in whole.outputs)
    return replace(whole, inputs=whole.inputs[:1], outputs=outputs, classes=whole.classes[:count])
