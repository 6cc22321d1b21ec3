"""An interface is what callers rely on: what counts changes its digest, what does not leaves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.errors import RuleBroken
from sardonyx.interface import DATATYPE_NAMES, NUMBER_MAX, digest, dtype_of, number_tensors, shape_of
from sardonyx.registry.v1 import interface_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable


def _interface() -> pb.Interface:
    interface = pb.Interface(
        task=pb.TASK_CLASSIFICATION,
        inputs=[
            pb.Input(name="distance", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_REFUSED),
            pb.Input(name="hour", datatype=pb.DATATYPE_INT64, missing=pb.MISSING_POLICY_REFUSED),
            pb.Input(
                name="carrier",
                datatype=pb.DATATYPE_BYTES,
                unknown_category=pb.UNKNOWN_CATEGORY_POLICY_REFUSED,
                categories=["AA", "UA"],
            ),
        ],
        outputs=[
            pb.Output(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BOOL, classes=["False", "True"]),
            pb.Output(
                name="probabilities",
                kind=pb.OUTPUT_KIND_PROBABILITIES,
                datatype=pb.DATATYPE_FP64,
                width=2,
                classes=["False", "True"],
            ),
        ],
    )
    number_tensors(interface, pb.Ledger())
    return interface


def _reversed(interface: pb.Interface) -> None:
    inputs, outputs = list(interface.inputs)[::-1], list(interface.outputs)[::-1]
    del interface.inputs[:], interface.outputs[:]
    interface.inputs.extend(inputs)
    interface.outputs.extend(outputs)


def _described(interface: pb.Interface) -> None:
    interface.inputs[0].description = "miles"


def _renamed(interface: pb.Interface) -> None:
    interface.inputs[0].name = "miles"


def _retyped(interface: pb.Interface) -> None:
    interface.inputs[0].datatype = pb.DATATYPE_FP32


def _widened(interface: pb.Interface) -> None:
    interface.inputs[0].width = 3


def _without(interface: pb.Interface) -> None:
    del interface.inputs[1]


def _with_another(interface: pb.Interface) -> None:
    interface.inputs.add(name="dest", number=4, datatype=pb.DATATYPE_BYTES)


def _missing_allowed(interface: pb.Interface) -> None:
    interface.inputs[0].missing = pb.MISSING_POLICY_ALLOWED


def _categories_grown(interface: pb.Interface) -> None:
    interface.inputs[2].categories.append("B6")


def _optional(interface: pb.Interface) -> None:
    interface.inputs[0].optional = True


def _classes_swapped(interface: pb.Interface) -> None:
    del interface.outputs[1].classes[:]
    interface.outputs[1].classes.extend(["True", "False"])


def _output_retyped(interface: pb.Interface) -> None:
    interface.outputs[0].datatype = pb.DATATYPE_BYTES


def _unit_stated(interface: pb.Interface) -> None:
    interface.inputs[0].unit = "mi"


def _range_stated(interface: pb.Interface) -> None:
    interface.inputs[0].minimum = 0


def _task_changed(interface: pb.Interface) -> None:
    interface.task = pb.TASK_REGRESSION


SAME = [_reversed, _described]
DIFFERENT = [
    *(_renamed, _retyped, _widened, _without, _with_another, _missing_allowed, _categories_grown, _optional),
    *(_classes_swapped, _output_retyped, _task_changed, _unit_stated, _range_stated),
]


@pytest.mark.parametrize("change", SAME, ids=lambda change: change.__name__)
def test_what_no_caller_relies_on_leaves_the_digest(change: Callable[[pb.Interface], None]) -> None:
    """The order of tensors and their descriptions leave the digest as it is."""
    before, after = _interface(), _interface()
    change(after)

    assert digest(after) == digest(before)


@pytest.mark.parametrize("change", DIFFERENT, ids=lambda change: change.__name__)
def test_what_callers_rely_on_changes_the_digest(change: Callable[[pb.Interface], None]) -> None:
    """Every other change gives another digest."""
    before, after = _interface(), _interface()
    change(after)

    assert digest(after) != digest(before)


def test_a_digest_leaves_its_interface_alone() -> None:
    """Computing the digest changes neither order nor descriptions."""
    interface = _interface()
    _reversed(interface)
    _described(interface)
    before = interface.SerializeToString()
    digest(interface)

    assert interface.SerializeToString() == before


def test_a_digest_never_changes() -> None:
    """The digest of this very interface is pinned: another one would make every registered version breaking."""
    assert digest(_interface()) == "5f5eb9619dfcc64eb80d370a1be62e5676323dfa928e672670d63ef98dd8045d"


@given(st.permutations(range(3)), st.permutations(range(2)))
def test_any_order_of_tensors_has_one_digest(inputs: list[int], outputs: list[int]) -> None:
    """Tensors are found by name: no order of inputs and outputs counts."""
    original = _interface()
    shuffled = pb.Interface(task=original.task)
    shuffled.inputs.extend(original.inputs[position] for position in inputs)
    shuffled.outputs.extend(original.outputs[position] for position in outputs)

    assert digest(shuffled) == digest(original)


# -------------------------------------------------------------------------------------------------------------- ledger


def _of(*names: str) -> pb.Interface:
    return pb.Interface(inputs=[pb.Input(name=name) for name in names])


NAME_LISTS = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=6)


@given(NAME_LISTS)
def test_a_number_is_never_given_to_a_second_name(versions: list[list[str]]) -> None:
    """Over any history of versions, a name keeps its number and a number its name."""
    ledger = pb.Ledger()
    seen: dict[str, int] = {}
    for names in versions:
        interface = _of(*names)
        ledger = number_tensors(interface, ledger)
        for tensor in interface.inputs:
            assert seen.setdefault(tensor.name, tensor.number) == tensor.number
    assert len(set(seen.values())) == len(seen)
    assert {entry.name: entry.number for entry in ledger.entries} == seen


def test_inputs_outputs_and_classes_are_numbered_apart() -> None:
    """Each set of names counts from one: a class may be called like an input."""
    interface = pb.Interface(
        inputs=[pb.Input(name="a"), pb.Input(name="b")], outputs=[pb.Output(name="a", classes=["b", "a"])]
    )
    ledger = number_tensors(interface, pb.Ledger())

    assert [(entry.kind, entry.name, entry.number) for entry in ledger.entries] == [
        (pb.LedgerEntry.KIND_INPUT, "a", 1),
        (pb.LedgerEntry.KIND_INPUT, "b", 2),
        (pb.LedgerEntry.KIND_OUTPUT, "a", 1),
        (pb.LedgerEntry.KIND_CLASS, "b", 1),
        (pb.LedgerEntry.KIND_CLASS, "a", 2),
    ]


def test_the_old_ledger_stays_as_it_was() -> None:
    """The ledger of the version before is not written to."""
    ledger = pb.Ledger()
    number_tensors(_of("a"), ledger)

    assert not ledger.entries


def test_numbers_that_protobuf_keeps_are_passed_over() -> None:
    """No name gets a number from 19000 to 19999: protoc would refuse the field."""
    ledger = pb.Ledger(entries=[pb.LedgerEntry(kind=pb.LedgerEntry.KIND_INPUT, name="last", number=18_998)])
    interface = _of("a", "b", "c")
    number_tensors(interface, ledger)

    assert [tensor.number for tensor in interface.inputs] == [18_999, 20_000, 20_001]


def test_a_model_that_has_used_all_numbers_is_refused() -> None:
    """The last number is the last: a sentence says what to do."""
    ledger = pb.Ledger(entries=[pb.LedgerEntry(kind=pb.LedgerEntry.KIND_INPUT, name="last", number=NUMBER_MAX)])

    with pytest.raises(RuleBroken, match=r"99,999 names of one kind\. Begin a model of another name\."):
        number_tensors(_of("a"), ledger)


# --------------------------------------------------------------------------------------------------------------- types


def test_every_datatype_has_a_name_and_a_type() -> None:
    """All six datatypes of the schema have the protocol's name and numpy's type."""
    assert DATATYPE_NAMES == {1: "FP32", 2: "FP64", 3: "INT32", 4: "INT64", 5: "BOOL", 6: "BYTES"}
    assert [dtype_of(datatype) for datatype in DATATYPE_NAMES] == [
        np.dtype(kind) for kind in ("<f4", "<f8", "<i4", "<i8", "?", object)
    ]


def test_a_shape_has_rows_and_perhaps_a_width() -> None:
    """A column is [-1], a matrix [-1, width]."""
    assert shape_of(pb.Input(name="hour")) == [-1]
    assert shape_of(pb.Output(name="probabilities", width=2)) == [-1, 2]
