"""What a caller has becomes what the model takes, or an error: nothing is changed silently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.client.answer import ModelInfo, TensorInfo
from sardonyx.client.calls import request_id
from sardonyx.client.data import columns_of
from sardonyx.client.retry import TIMEOUT_S_MAX, Deadline
from sardonyx.errors import InvalidInput
from sardonyx.prediction_id import ID_LENGTH_MAX


def _info(datatype: str, width: int = 0) -> ModelInfo:
    return ModelInfo("model", (), (TensorInfo("x", datatype, width),), (), (), {})


@pytest.mark.parametrize("width", [0, 3])
@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("INT64", 1.5),
        ("INT64", 2**63),
        ("INT32", 2**31),
        ("INT64", None),
        ("BOOL", "False"),
        ("BOOL", float("nan")),
        ("BOOL", 2),
        ("FP64", 1 + 2j),
        ("FP64", "1.0"),
        ("FP64", 10**400),
        ("FP64", 2**53 + 1),
    ],
)
def test_what_would_lose_something_is_refused(datatype: str, value: Any, width: int) -> None:
    """A value that its type cannot hold is refused, in a column and in a matrix."""
    data = [[value] * 3] if width else {"x": [value]}
    with pytest.raises(InvalidInput):
        columns_of(data, _info(datatype, width))


@pytest.mark.parametrize(
    "data",
    [{1: 2}, {None: [1]}, {"x": [1, [2]]}, [{"x": 1}, {2: 1}], "text", 5, None, [], [[1], [2, 3]], {"x": []}, object()],
)
@pytest.mark.parametrize("width", [0, 2])
def test_what_is_no_rows_is_refused(data: Any, width: int) -> None:
    """Whatever a caller passes, the answer is an error of the family."""
    with pytest.raises(InvalidInput):
        columns_of(data, _info("FP64", width))


@given(st.lists(st.tuples(*[st.floats(allow_nan=False)] * 3), min_size=1, max_size=20))
def test_a_matrix_arrives_as_it_is(rows: list[tuple[float, float, float]]) -> None:
    """Numbers that fit arrive bit by bit, from lists and from arrays."""
    expected = np.array(rows)
    for given_as in (rows, expected, {"x": expected}):
        np.testing.assert_array_equal(columns_of(given_as, _info("FP64", 3))["x"], expected)


@pytest.mark.parametrize("timeout_s", [0, -1, float("nan"), float("inf"), 2 * TIMEOUT_S_MAX])
def test_a_time_that_is_none_is_refused(timeout_s: float) -> None:
    """No time, negative time and endless time are errors, before anything is sent."""
    with pytest.raises(InvalidInput, match="timeout_s"):
        Deadline(timeout_s)


@pytest.mark.parametrize("whole", [2**53 + 1, -(2**53) - 1])
def test_whole_numbers_beyond_a_float_are_refused(whole: int) -> None:
    """An array of integers that a double cannot hold is refused; one that it can goes through."""
    with pytest.raises(InvalidInput, match="without loss"):
        columns_of({"x": np.array([1, whole])}, _info("FP64"))
    assert columns_of({"x": np.array([1, 2**53])}, _info("FP64"))["x"].tolist() == [1.0, 2.0**53]


@pytest.mark.parametrize("prediction_id", [7, "", "x" * (ID_LENGTH_MAX + 1), b"id"])
def test_an_id_that_cannot_be_kept_is_refused(prediction_id: Any) -> None:
    """A prediction id is text of a sensible length, or none is given."""
    with pytest.raises(InvalidInput, match="prediction_id"):
        request_id(prediction_id)
    assert request_id("order-1") == "order-1"
    assert request_id(None) != request_id(None)


def test_what_may_be_left_out_is_missing() -> None:
    """An input that may be left out is NaN in every row where it is, and any other is asked for."""
    info = ModelInfo("m", (), (TensorInfo("x", "FP64", 0), TensorInfo("wind", "FP32", 0, optional=True)), (), (), {})
    for data in ({"x": [1.0, 2.0]}, [{"x": 1.0}, {"x": 2.0}], pd.DataFrame({"x": [1.0, 2.0]})):
        columns = columns_of(data, info)
        assert list(columns["x"]) == [1.0, 2.0]
        assert columns["wind"].dtype == np.float32
        assert np.isnan(columns["wind"]).tolist() == [True, True]
    with pytest.raises(InvalidInput, match="x"):
        columns_of({"wind": [1.0]}, info)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, np.uint8, np.bool_])
def test_numpys_numbers_beside_missing_values_are_numbers(kind: type[np.generic]) -> None:
    """Whatever stands beside them: an array of both holds objects, and numpy's own are no numbers of Python's."""
    one = kind(1)
    for data in (
        {"x": [one, None]},
        [{"x": one}, {"x": None}],
        pd.DataFrame({"x": pd.Series([one, None], dtype=object)}),
    ):
        np.testing.assert_array_equal(columns_of(data, _info("FP64"))["x"], [1.0, np.nan])
    with pytest.raises(InvalidInput, match="without loss"):
        columns_of({"x": [np.int64(2**53 + 1), None]}, _info("FP64"))


def test_one_value_beside_columns_is_no_column() -> None:
    """It is named and shown: whether it holds for all rows is the caller's to say."""
    info = ModelInfo("m", (), (TensorInfo("x", "FP64", 0), TensorInfo("y", "INT64", 0)), (), (), {})
    with pytest.raises(InvalidInput, match=r"^inputs\[y\]\.shape: expected one value a row, got 7 alone\.$"):
        columns_of({"x": [1.0, 2.0], "y": 7}, info)
