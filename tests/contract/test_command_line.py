"""What the command lines share."""

from __future__ import annotations

import math

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.command_line import FiniteRange, WholeRange


@given(number=st.floats() | st.floats(0, 100))
def test_only_finite_numbers_within_the_range_are_taken(number: float) -> None:
    """Whatever a float may be: what is taken is finite and within, and nothing of that is refused."""
    fits = math.isfinite(number) and 0 <= number <= 100
    try:
        taken = FiniteRange(0, 100).convert(str(number), None, None)
    except click.BadParameter:
        assert not fits
    else:
        assert fits
        assert taken == number


@pytest.mark.parametrize("text", ["", "10%", "1,5", "nan", "NaN", "inf", "-Infinity", "1e999", "0x10"])
def test_what_is_no_number_is_told_how_one_is_written(text: str) -> None:
    """The words are for people, and name no type."""
    with pytest.raises(click.BadParameter, match=r"Write it without a sign, such as 12\.5"):
        FiniteRange(0).convert(text, None, None)


@pytest.mark.parametrize("text", ["", "abc", "1.5", "1e3", "0x10", "nan"])
def test_what_is_no_whole_number_is_told_how_one_is_written(text: str) -> None:
    """The same of whole numbers; what is one is held to its range."""
    with pytest.raises(click.BadParameter, match=r"no whole number\. Write it in digits alone, such as 12"):
        WholeRange(1, 256).convert(text, None, None)
    with pytest.raises(click.BadParameter, match="not in the range 1<=x<=256"):
        WholeRange(1, 256).convert("257", None, None)
    assert WholeRange(1, 256).convert("12", None, None) == 12
