"""Long columns that are taken out of a typed request are what protobuf would have read, whatever else is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import assume, given
from hypothesis import strategies as st

from contract.drawn import forms
from sardonyx.errors import InvalidInput
from sardonyx.interface import dtype_of, number_tensors
from sardonyx.protobuf import delimited, varint
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import Form, form, typed_service
from sardonyx.typed.columns import read_columns, write_column
from sardonyx_server.bounds import PARTS_MAX
from sardonyx_server.typed import parts
from sardonyx_server.typed.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_MAX = 1000
COLUMNS, ID, KEY = b"\x0a", b"\x12", b"\x1a"
#: Fields that no form has, of each wire type; and one that is cut off.
UNKNOWN = [b"\xd0\x86\x03\x07", b"\xd2\x86\x03\x03abc", b"\xd5\x86\x03" + bytes(4), b"\xd2\x86\x03\x7f"]


@pytest.fixture(scope="module", autouse=True)
def everything_is_large() -> Iterator[None]:
    """Every message is looked at, and every column is long whose length takes two bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "COUNTED_BYTES_MIN", 0)
        patch.setattr(parts, "LONG_BYTES_MIN", 128)
        yield


@st.composite
def requests(draw: st.DrawFn, drawn: Form) -> bytes:
    """A batch, its columns in any order and in pieces, with fields that nobody knows; hardly ever twice, or damaged."""
    pieces = [piece for field in drawn.inputs for piece in _pieces(draw, field)]
    pieces += draw(st.lists(st.sampled_from(UNKNOWN[:-1]), max_size=2))
    columns = b"".join(draw(st.permutations(pieces)))
    fields = [delimited(COLUMNS, columns), delimited(ID, b"id")]
    match draw(st.sampled_from(["", "", "", "", "twice", "damaged", "cut off"])):
        case "twice":
            fields.append(fields[0])
        case "damaged":
            position = draw(st.integers(0, len(fields[0])))
            fields[0] = fields[0][:position] + draw(st.binary(max_size=2)) + fields[0][position + 1 :]
        case "cut off":
            fields.append(UNKNOWN[-1])
    return b"".join(draw(st.permutations(fields)))


def _pieces(draw: st.DrawFn, field: Any) -> list[bytes]:
    """A column: packed, mostly at once; text is never packed."""
    if field.tensor.datatype == pb.DATATYPE_BYTES:
        texts = draw(st.lists(st.sampled_from([b"", b"UA", "日本".encode(), b"x" * 200]), max_size=3))
        return [varint(field.number << 3 | 2) + varint(len(text)) + text for text in texts]
    count = draw(st.sampled_from([0, 1, 40, 130]))
    dtype = dtype_of(field.tensor.datatype)
    bits = draw(st.binary(min_size=64, max_size=64))
    values = np.resize(np.frombuffer(bits, np.uint8) % 2 if dtype.kind == "b" else np.frombuffer(bits, dtype), count)
    cut = draw(st.sampled_from([count, count, count, count // 2]))
    halves = [values[:cut], values[cut:]]
    return [write_column(field.number, field.tensor.datatype, half) for half in halves if len(half)]


@given(st.data())
def test_what_is_taken_out_is_what_protobuf_reads(data: st.DataObject) -> None:
    """Columns, texts, ids and fields that nobody knows are the same; and what protobuf refuses is refused."""
    drawn = data.draw(forms())
    service = typed_service(drawn)
    request = data.draw(requests(drawn))
    try:
        whole = service.batch_request.FromString(request)
    except DecodeError:
        with pytest.raises((DecodeError, InvalidInput)):
            service.batch_request.FromString(Parts(drawn, ROWS_MAX).cut(request, "a batch")[0])
        return
    try:
        rest, taken = Parts(drawn, ROWS_MAX).cut(request, "a batch")
    except InvalidInput:
        # Groups and the like, which protobuf still reads: a damaged byte made one.
        assume(False)
    left = service.batch_request.FromString(rest)
    found = read_columns(left.columns, drawn.inputs, taken)
    expected = read_columns(whole.columns, drawn.inputs)

    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    for message in (left, whole):
        for field in drawn.inputs:
            message.columns.ClearField(field.name)
    assert left == whole


def _of(*datatypes: pb.Datatype.ValueType) -> Form:
    inputs = [pb.Input(name=f"x{index}", datatype=datatype) for index, datatype in enumerate(datatypes)]
    interface = pb.Interface(inputs=inputs)
    return form("m", "m.v1", interface, number_tensors(interface, pb.Ledger()))


def test_long_columns_are_taken_out() -> None:
    """Columns of numbers are, of each width; truth values and texts are not, nor what was sent in pieces."""
    drawn = _of(pb.DATATYPE_FP64, pb.DATATYPE_FP32, pb.DATATYPE_INT64, pb.DATATYPE_BOOL, pb.DATATYPE_BYTES)
    numbers = {field.tensor.name: field.number for field in drawn.inputs}
    request = typed_service(drawn).batch_request(prediction_id="id")
    request.columns.x0.extend([1.0, 2.0] * 100)
    request.columns.x1.extend([3.0, 4.0] * 100)
    request.columns.x2.extend([5, 6] * 100)
    request.columns.x3.extend([True, False] * 100)
    request.columns.x4.extend(["a", "b" * 200])
    rest, taken = Parts(drawn, ROWS_MAX).cut(request.SerializeToString(), "a batch")
    assert taken.keys() == {numbers["x0"], numbers["x1"], numbers["x2"]}
    left = type(request).FromString(rest)
    assert list(left.columns.x0) == []
    assert list(left.columns.x3) == [True, False] * 100
    assert list(left.columns.x4) == ["a", "b" * 200]

    twice = request.SerializeToString() * 2
    assert Parts(drawn, ROWS_MAX).cut(twice, "a batch") == (twice, {})


@pytest.mark.parametrize("rows_max", [1000, 2 * PARTS_MAX])
def test_too_many_texts_are_too_many_rows(rows_max: int) -> None:
    """A text is a value of a row, so the refusal names the column and speaks of rows, as that of numbers does."""
    drawn = _of(pb.DATATYPE_FP64, pb.DATATYPE_BYTES)
    most = max(rows_max, PARTS_MAX)
    request = typed_service(drawn).batch_request()
    request.columns.x1.extend(["a"] * most)
    Parts(drawn, rows_max).cut(request.SerializeToString(), "a batch")
    request.columns.x1.append("a")
    with pytest.raises(InvalidInput) as refused:
        Parts(drawn, rows_max).cut(request.SerializeToString(), "a batch")
    (violation,) = refused.value.violations
    assert violation.field == "columns.x1"
    assert (
        violation.description
        == f"more than {most} rows, and this server takes {rows_max} at most. Send fewer at a time."
    )


@pytest.mark.parametrize("method", ["cut", "check"])
def test_too_many_other_parts_are_no_rows(method: str) -> None:
    """Numbers may come in pieces, and of a field that nobody knows there are no rows at all."""
    drawn = _of(pb.DATATYPE_FP64, pb.DATATYPE_BYTES)
    number = drawn.inputs[0].number
    for piece in (varint(number << 3 | 2) + b"\0", UNKNOWN[0]):
        with pytest.raises(InvalidInput, match=r"more parts than any version of the model takes\. Send fewer "):
            getattr(Parts(drawn, ROWS_MAX), method)(delimited(COLUMNS, piece * (PARTS_MAX + 1)), "a batch")
