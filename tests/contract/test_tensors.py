"""Tensors on the wire hold what numpy held, raw and typed, and say what is wrong where they do not."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st

from sardonyx.oip.messages import InferTensorContents
from sardonyx.oip.tensors import (
    CONTENTS_FIELDS,
    DTYPES,
    TensorError,
    decode_contents,
    decode_raw,
    encode_contents,
    encode_raw,
)

Array = npt.NDArray[Any]

SHAPES = np_st.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=8)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Array]:
    """A datatype and an array of it, of one or two dimensions, with every value that the type has."""
    datatype = draw(st.sampled_from(sorted(DTYPES)))
    dtype = DTYPES[datatype]
    elements = TEXT if datatype == "BYTES" else np_st.from_dtype(dtype)
    return datatype, draw(np_st.arrays(dtype, SHAPES, elements=elements, fill=st.nothing()))


@given(tensors())
def test_raw_contents_hold_what_was_written(tensor: tuple[str, Array]) -> None:
    """Raw bytes give the array back, row-major: NaN, infinities and every text."""
    datatype, values = tensor
    found = decode_raw(datatype, encode_raw(datatype, values), values.size)

    np.testing.assert_array_equal(found, values.ravel())
    assert found.dtype == DTYPES[datatype]


@given(tensors())
def test_typed_contents_hold_what_was_written(tensor: tuple[str, Array]) -> None:
    """Typed contents give the array back after a trip over the wire, and fill one field only."""
    datatype, values = tensor
    contents = InferTensorContents()
    encode_contents(datatype, values, contents)
    received = InferTensorContents.FromString(contents.SerializeToString())
    found = decode_contents(datatype, received, values.size)

    np.testing.assert_array_equal(found, values.ravel())
    assert found.dtype == DTYPES[datatype]
    assert {field.name for field, _ in received.ListFields()} <= {CONTENTS_FIELDS[datatype]}


@given(tensors(), st.integers(-3, 3).filter(bool))
def test_a_wrong_count_is_refused(tensor: tuple[str, Array], off: int) -> None:
    """Neither more nor fewer elements than the shape says are read."""
    datatype, values = tensor
    count = max(values.size + off, 0)
    contents = InferTensorContents()
    encode_contents(datatype, values, contents)
    if count == values.size:
        return
    with pytest.raises(TensorError, match="element"):
        decode_raw(datatype, encode_raw(datatype, values), count)
    with pytest.raises(TensorError, match="elements expected"):
        decode_contents(datatype, contents, count)


@given(st.sampled_from(sorted(DTYPES)), st.binary(max_size=40), st.integers(0, 2**40))
def test_garbage_is_refused_and_nothing_else_is_raised(datatype: str, data: bytes, count: int) -> None:
    """Any bytes with any count are an array of that count or a TensorError, whatever the count would take."""
    with contextlib.suppress(TensorError):
        assert decode_raw(datatype, data, count).shape == (count,)


def test_raw_numbers_are_little_endian() -> None:
    """The bytes are those of the protocol, whatever this machine's order."""
    assert encode_raw("INT32", np.array([1, -2])) == struct.pack("<ii", 1, -2)
    assert encode_raw("FP64", np.array([1.5], dtype=">f8")) == struct.pack("<d", 1.5)
    assert encode_raw("BOOL", np.array([True, False])) == b"\x01\x00"
    assert encode_raw("BYTES", np.array(["ab", "Å"], dtype=object)) == b"\x02\x00\x00\x00ab\x02\x00\x00\x00\xc3\x85"


def test_raw_is_row_major_for_any_layout() -> None:
    """An array that is transposed in memory is written by rows all the same."""
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))

    assert decode_raw("FP64", encode_raw("FP64", values), 6).tolist() == [0, 1, 2, 3, 4, 5]


def test_any_byte_but_zero_is_true() -> None:
    """A client that writes 2 or 255 for true is understood, and numpy gets an honest boolean."""
    found = decode_raw("BOOL", b"\x00\x01\x02\xff", 4)

    assert found.view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("data", "count", "said"),
    [
        (b"\x02\x00\x00\x00ab\x05\x00", 1, "cut off within its length"),
        (b"\x05\x00\x00\x00ab", 1, "element 0 of BYTES says 5 bytes, 2 are left"),
        (b"\xff\xff\xff\xffab", 1, "says 4294967295 bytes"),
        (b"\x01\x00\x00\x00\xff", 1, "element 0 of BYTES is no UTF-8 at byte 0"),
        (b"\x01\x00\x00\x00a\x01\x00\x00\x00b", 1, "1 elements of BYTES expected, got 2"),
        (b"\x08\x00\x00\x00abcdefgh", 2, "2 elements of BYTES expected, got 1"),
        (b"", 2**62, "take at least"),
    ],
    ids=["cut-length", "cut-text", "huge-length", "no-utf8", "more", "fewer", "huge-count"],
)
def test_broken_texts_say_where(data: bytes, count: int, said: str) -> None:
    """A broken BYTES tensor names the element and what is wrong with it."""
    with pytest.raises(TensorError, match=said):
        decode_raw("BYTES", data, count)


def test_a_wrong_field_is_named() -> None:
    """Numbers in another field than the datatype's are refused, and the field that is filled is named."""
    contents = InferTensorContents(fp32_contents=[1.0])

    with pytest.raises(TensorError, match="expected in fp64_contents, filled is fp32_contents"):
        decode_contents("FP64", contents, 1)


@given(tensors(), st.sampled_from(sorted(CONTENTS_FIELDS)))
def test_a_second_field_is_refused(tensor: tuple[str, Array], other: str) -> None:
    """Values in another field than the datatype's are not passed over, though the right ones are there too."""
    datatype, values = tensor
    contents = InferTensorContents()
    encode_contents(datatype, values, contents)
    if other != datatype:
        encode_contents(other, np.zeros(1).astype(DTYPES[other]), contents)
        with pytest.raises(TensorError, match=rf"filled is .*{CONTENTS_FIELDS[other]}"):
            decode_contents(datatype, contents, values.size)


def test_typed_text_that_is_no_utf8_is_refused() -> None:
    """Typed BYTES that are no text name the element."""
    with pytest.raises(TensorError, match="element 1 of BYTES is no UTF-8"):
        decode_contents("BYTES", InferTensorContents(bytes_contents=[b"a", b"\xff"]), 2)
