"""Rows and columns go between messages and arrays, and are what the plain way would have made of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.drawn import forms
from sardonyx.interface import dtype_of, number_tensors
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import Form, form, typed_service
from sardonyx.typed.columns import read_columns, write_column, write_columns
from sardonyx.typed.rows import RowReader, RowWriter

NUMBERS: dict[pb.Datatype.ValueType, st.SearchStrategy[Any]] = {
    pb.DATATYPE_FP32: st.floats(width=32),
    pb.DATATYPE_FP64: st.floats(),
    pb.DATATYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    pb.DATATYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    pb.DATATYPE_BOOL: st.booleans(),
}


@given(forms(), st.data())
def test_columns_are_read_as_they_were_written(drawn: Form, data: st.DataObject) -> None:
    """Whatever is put into the fields of a message, the arrays hold; what was left out is not there."""
    columns = typed_service(drawn).batch_request().columns
    expected = {}
    for field in drawn.inputs:
        datatype = field.tensor.datatype
        values = data.draw(st.lists(NUMBERS.get(datatype, st.sampled_from(["", "UA", "日本"])), max_size=5))
        getattr(columns, field.name).extend(values)
        if values:
            expected[field.tensor.name] = np.array(values, dtype_of(datatype))
    found = read_columns(columns, drawn.inputs)

    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("datatype", NUMBERS, ids=pb.Datatype.Name)
@given(data=st.data())
def test_a_written_column_is_what_protobuf_writes(datatype: pb.Datatype.ValueType, data: st.DataObject) -> None:
    """The bytes of a column are those of its field, whatever its number: any reader of protobuf reads them."""
    values = data.draw(st.lists(NUMBERS[datatype], min_size=1, max_size=200))
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=datatype)])
    number = data.draw(st.sampled_from([1, 15, 16, 2047, 2048, 99_999]))
    ledger = number_tensors(
        interface, pb.Ledger(entries=[pb.LedgerEntry(kind=pb.LedgerEntry.KIND_INPUT, name="x", number=number)])
    )
    columns = typed_service(form("m", "m.v1", interface, ledger)).batch_request().columns
    columns.x.extend(values)

    assert write_column(number, datatype, np.array(values)) == columns.SerializeToString()


def test_a_newer_callers_columns_are_passed_over() -> None:
    """A field that this version does not know is no column of it, and harms none."""
    old = pb.Interface(inputs=[pb.Input(name="a", datatype=pb.DATATYPE_FP64)])
    new = pb.Interface(inputs=[*old.inputs, pb.Input(name="b", datatype=pb.DATATYPE_BYTES)])
    new.inputs.add(name="c", datatype=pb.DATATYPE_BOOL)
    ledger = number_tensors(new, number_tensors(old, pb.Ledger()))
    before, after = (typed_service(form("m", "m.v1", each, ledger)) for each in (old, new))
    request = after.batch_request()
    request.columns.a.extend([1.0, 2.0])
    request.columns.b.extend(["x" * 300, "y"])
    request.columns.c.extend([True, False])
    read = before.batch_request.FromString(request.SerializeToString())

    found = read_columns(read.columns, before.form.inputs)
    assert {name: values.tolist() for name, values in found.items()} == {"a": [1.0, 2.0]}


@pytest.mark.parametrize(
    "unknown",
    [
        b"\x50\xff\x7f",
        b"\x51" + bytes(8),
        b"\x52\x02hi",
        b"\x55" + bytes(4),
        b"\x53\x58\x01\x63\x61" + bytes(8) + b"\x64\x54",
    ],
    ids=["varint", "64 bits", "bytes", "32 bits", "groups"],
)
def test_a_field_of_any_wire_type_is_passed_over(unknown: bytes) -> None:
    """Whatever else is in the message, before a column or behind it, the column is read."""
    interface = pb.Interface(inputs=[pb.Input(name="a", datatype=pb.DATATYPE_FP64)])
    service = typed_service(form("m", "m.v1", interface, number_tensors(interface, pb.Ledger())))
    columns = service.batch_request().columns
    columns.a.extend([1.0, 2.0])
    known = columns.SerializeToString()
    for data in (unknown + known, known + unknown, unknown * 2 + known + unknown):
        found = read_columns(type(columns).FromString(data), service.form.inputs)
        assert {name: values.tolist() for name, values in found.items()} == {"a": [1.0, 2.0]}


# ---------------------------------------------------------------------------------------------------------------- rows


@given(forms(), st.data())
def test_a_row_is_read_as_it_was_written(drawn: Form, data: st.DataObject) -> None:
    """Whatever is set, the arrays hold, zeros and empty texts too; what was left out is not there."""
    features = typed_service(drawn).predict_request().features
    expected = {}
    for field in drawn.inputs:
        one = NUMBERS.get(field.tensor.datatype, st.sampled_from(["", "UA", "日本"]))
        values = data.draw(
            st.none() | st.lists(one, min_size=field.tensor.width or 1, max_size=field.tensor.width or 1)
        )
        if values is None:
            continue
        expected[field.tensor.name] = np.array(values, dtype_of(field.tensor.datatype))
        if field.tensor.width:
            getattr(features, field.name).extend(values)
        else:
            setattr(features, field.name, values[0])
    found = RowReader(drawn.inputs).read(features)

    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


# ------------------------------------------------------------------------------------------------------------- answers

CLASSES: dict[pb.Datatype.ValueType, list[Any]] = {
    pb.DATATYPE_BOOL: [False, True],
    pb.DATATYPE_INT64: [-1, 0, 10],
    pb.DATATYPE_BYTES: ["on time", "late", ""],
}


def _classifier(datatype: pb.Datatype.ValueType) -> Form:
    classes = [str(value) for value in CLASSES[datatype]]
    interface = pb.Interface(task=pb.TASK_CLASSIFICATION)
    interface.outputs.add(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=datatype, classes=classes)
    interface.outputs.add(
        name="probabilities",
        kind=pb.OUTPUT_KIND_PROBABILITIES,
        datatype=pb.DATATYPE_FP64,
        width=len(classes),
        classes=classes,
    )
    interface.outputs.add(name="value", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    interface.outputs.add(name="values", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64, width=2)
    # Classes that were numbered in another order: a number is no position.
    ledger = number_tensors(pb.Interface(outputs=[pb.Output(name="label", classes=classes[::-1])]), pb.Ledger())
    return form("m", "m.v1", interface, number_tensors(interface, ledger))


@pytest.mark.parametrize("datatype", CLASSES, ids=pb.Datatype.Name)
@given(data=st.data())
def test_answers_reach_callers_by_name(datatype: pb.Datatype.ValueType, data: st.DataObject) -> None:
    """A class is its enum value and itself, a probability stands under its class, in one row and in many alike."""
    drawn = _classifier(datatype)
    service = typed_service(drawn)
    rows = data.draw(st.integers(1, 5))
    numbers = st.floats(0, 1)
    labels = data.draw(st.lists(st.sampled_from(CLASSES[datatype]), min_size=rows, max_size=rows))
    width = len(CLASSES[datatype])
    answers = {
        "label": np.array(labels, dtype_of(datatype)),
        "probabilities": np.array(data.draw(st.lists(numbers, min_size=rows * width, max_size=rows * width))),
        "value": np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows))),
        "values": np.array(data.draw(st.lists(numbers, min_size=rows * 2, max_size=rows * 2))).reshape(rows, 2),
    }
    answers["probabilities"] = answers["probabilities"].reshape(rows, width)
    many = service.batch_response().predictions
    write_columns(many, drawn.outputs, answers)
    enum = service.pool.FindEnumTypeByName("m.v1.Label").values_by_name

    for row in range(rows):
        one = service.predict_response().prediction
        RowWriter(drawn.outputs).write(one, {name: values[row : row + 1] for name, values in answers.items()})
        (symbol,) = (each.symbol for each in drawn.classes if each.text == str(labels[row]))
        assert one.label == many.label[row] == enum[symbol].number
        assert one.label_value == many.label_value[row] == labels[row]
        assert one.value == many.value[row] == answers["value"][row]
        assert list(one.values) == list(many.values[2 * row : 2 * row + 2]) == answers["values"][row].tolist()
        for position, text in enumerate(CLASSES[datatype]):
            (name,) = (each.name for each in drawn.classes if each.text == str(text))
            expected = answers["probabilities"][row, position]
            assert getattr(one.probabilities, name) == getattr(many.probabilities, name)[row] == expected
