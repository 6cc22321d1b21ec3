"""Every way to the bytes of a request writes the same bytes, and they are the protocol's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.client.answer import ModelInfo, TensorInfo
from sardonyx.client.coalescing import CALL_BYTES_MAX
from sardonyx.client.request import ROW_CHARS_MAX, Part, Writer
from sardonyx.errors import InvalidInput, SardonyxError
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import DTYPES, decode_raw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: A shared processor may pause any example.
untimed = settings(deadline=None)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "FP64": st.floats(),
    "FP32": st.floats(width=32),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "BOOL": st.booleans(),
    "BYTES": TEXT,
}
NAMES = {datatype: f"of {datatype}" for datatype in VALUES}
INFO = ModelInfo("model", (), tuple(TensorInfo(NAMES[each], each, 0) for each in VALUES), (), (), {})
ROWS = st.lists(st.fixed_dictionaries({NAMES[each]: values for each, values in VALUES.items()}), min_size=1, max_size=8)
#: Rows as a careless caller has them: among them such that no interface allows.
CARELESS = st.fixed_dictionaries(
    {
        name: st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(pd.NA)
        for name in NAMES.values()
    }
)


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _written(writer: Writer, data: Any) -> Part:
    """What is sent of it, the way that a call goes."""
    row = writer.row(data)
    return writer.part(data) if row is None else writer.of_rows([row])


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table whose columns have just the interface's types."""
    columns = _columns(rows)
    dtypes = {NAMES[each]: DTYPES[each] if each != "BYTES" else object for each in VALUES}
    return pd.DataFrame({name: pd.Series(columns[name], dtype=dtypes[name]) for name in columns})


@untimed
@given(ROWS)
def test_all_ways_write_the_same_bytes(rows: list[dict[str, Any]]) -> None:
    """Rows one by one, dicts, columns and a DataFrame become the same raw contents."""
    writer = Writer(INFO, "")
    plain = [writer.row(row) for row in rows]
    assert None not in plain
    one_by_one = writer.of_rows([row for row in plain if row is not None])
    assert one_by_one.rows == len(rows)
    for data in (rows, _columns(rows), _frame(rows)):
        part = writer.part(data)
        assert (part.rows, list(part.contents)) == (one_by_one.rows, list(one_by_one.contents))
    assert part.size == sum(len(content) for content in part.contents)


@untimed
@given(ROWS, ROWS, TEXT.filter(bool))
def test_a_request_is_the_protocols(first: list[dict[str, Any]], second: list[dict[str, Any]], key: str) -> None:
    """Parts one after the other are one request, which reads as the values that were written."""
    writer = Writer(INFO, "v2")
    written = writer.request([writer.part(first), writer.part(second)], "id-1", {"routing-key": key})
    request = oip.ModelInferRequest.FromString(written)
    rows = first + second
    assert (request.model_name, request.model_version, request.id) == ("model", "v2", "id-1")
    assert {name: each.string_param for name, each in request.parameters.items()} == {"routing-key": key}
    for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True):
        assert list(tensor.shape) == [len(rows)]
        sent = np.array([row[tensor.name] for row in rows], dtype=DTYPES.get(tensor.datatype, object))
        np.testing.assert_array_equal(decode_raw(tensor.datatype, content, len(rows)), sent)
    assert written == writer.request([writer.part(rows)], "id-1", {"routing-key": key})


@untimed
@given(CARELESS)
def test_the_short_way_takes_nothing_that_the_long_one_refuses(row: dict[str, Any]) -> None:
    """Whatever a row holds: both ways write the same bytes, or the row is refused as the table of it would be."""
    writer = Writer(INFO, "")

    def said(data: Any) -> Any:
        try:
            return list(writer.part(data).contents)
        except InvalidInput as error:
            return error.message

    assert said(row) == said(_columns([row]))


@pytest.mark.parametrize(
    ("datatype", "value", "fits"),
    [
        ("FP64", 10**400, False),
        ("FP64", 2**53 + 1, False),
        ("FP64", 2**53, True),
        ("FP64", math.inf, True),
        ("FP32", 2**24 + 1, False),
        ("FP32", 2**24, True),
        ("FP32", 10**400, False),
        ("FP32", 10**39, False),
        ("FP32", 1e39, False),
        ("FP32", -1e39, False),
        ("FP32", float.fromhex("0x1.ffffffp+127"), False),
        ("FP32", float.fromhex("0x1.fffffefffffffp+127"), True),
        ("FP32", math.inf, True),
        ("FP32", True, True),
        ("INT32", 2**31, False),
        ("INT64", 2**63, False),
        ("INT64", 2**63 - 1, True),
        ("INT64", 3.0, True),
    ],
)
def test_no_way_changes_a_number(datatype: str, value: Any, fits: bool) -> None:
    """A number that its type cannot hold is refused as a scalar, in a column and beside others; another is sent."""
    writer = Writer(ModelInfo("m", (), (TensorInfo("x", datatype, 0),), (), (), {}), "")
    for data in ({"x": value}, [{"x": value}], {"x": [value]}, {"x": [0, value]}, {"x": np.array([0, value], object)}):
        if fits:
            assert _written(writer, data).rows in (1, 2)
            continue
        with pytest.raises(InvalidInput):
            _written(writer, data)


@untimed
@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_a_matrix_is_written_alike(rows: list[list[float]]) -> None:
    """An array, its transposed copy in the other order, a list and the named input become the same bytes."""
    writer = Writer(ModelInfo("m", (), (TensorInfo("features", "FP64", 3),), (), (), {}), "")
    array = np.array(rows)
    written = [array.tobytes()]
    for data in (array, np.asfortranarray(array), rows, {"features": rows}, array.astype(">f8")):
        part = writer.part(data)
        assert (part.rows, list(part.contents)) == (len(rows), written)
    assert list(writer.part(array[0]).contents) == [array[0].tobytes()]


@pytest.mark.parametrize("data", [np.ones((2, 4)), np.ones((0, 3)), np.ones((1, 2, 3)), np.ones(2), "text", None])
def test_another_shape_is_refused(data: Any) -> None:
    """An array that is not [rows, width] is refused before anything is sent."""
    writer = Writer(ModelInfo("m", (), (TensorInfo("features", "FP64", 3),), (), (), {}), "")
    with pytest.raises(InvalidInput):
        writer.part(data)


def test_a_row_of_long_texts_is_counted_in_bytes() -> None:
    """No row of the short way has more bytes than a call that shares requests may have."""
    writer = Writer(ModelInfo("m", (), (TensorInfo("x", "BYTES", 0),), (), (), {}), "")
    widest = "\U0001f600"
    row = writer.row({"x": widest * (ROW_CHARS_MAX - 1)})
    assert row is not None
    assert writer.of_rows([row]).size <= CALL_BYTES_MAX
    assert writer.row({"x": widest * (ROW_CHARS_MAX + 1)}) is None
    assert writer.part({"x": widest * (ROW_CHARS_MAX + 1)}).size > CALL_BYTES_MAX


@pytest.mark.parametrize("data", [{"x": [1.0]}, [{"x": 1.0}], {"x": 1.0}])
def test_a_type_that_is_not_written_is_refused(data: Any) -> None:
    """A foreign server's type that the client cannot write is an error of the family, which names the input."""
    writer = Writer(ModelInfo("m", (), (TensorInfo("x", "FP16", 0),), (), (), {}), "")
    with pytest.raises(InvalidInput, match=r"inputs\[x\].*FP16"):
        writer.part(data)


@untimed
@given(st.integers(0, 6), st.sampled_from(["\ud800", 2**63, 2**40]))
def test_a_bad_row_among_written_ones_is_refused(place: int, bad: Any) -> None:
    """Where one of the rows that are written together cannot be, the error says so."""
    datatype = "BYTES" if isinstance(bad, str) else "INT64" if bad == 2**63 else "INT32"
    writer = Writer(ModelInfo("m", (), (TensorInfo("x", datatype, 0),), (), (), {}), "")
    good: Any = "a" if datatype == "BYTES" else 1
    rows: list[tuple[Any, ...]] = [(good,)] * 7
    rows[place] = (bad,)
    with pytest.raises(SardonyxError) as raised:
        writer.of_rows(rows)
    assert isinstance(raised.value, InvalidInput)
    assert {each.row for each in raised.value.violations} <= {place, None}
