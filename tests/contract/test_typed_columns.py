"""Columns go between messages and arrays as memory, and are what the slow way would have made of them."""

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
from sardonyx.typed.columns import read_columns, write_column

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
