"""What a model may be called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.errors import InvalidInput
from sardonyx.names import MODEL_NAME, check_model_name

SAFE = re.compile(r"[a-z0-9-]+", re.ASCII)


@pytest.mark.parametrize("name", ["a", "flight-delay", "m1", "a--b", "x0-1", "a" * 63])
def test_a_good_name_is_given_back(name: str) -> None:
    """A name of the grammar passes as it is."""
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "A", "flight_delay", "flight delay", "1a", "-a", "a-", "a.b", "a/b", "..", "a\n", "\na", "é", "٣", "a" * 64],
)
def test_any_other_name_is_refused(name: str) -> None:
    """A name outside the grammar is InvalidInput, and the message shows it and says what a name looks like."""
    with pytest.raises(InvalidInput, match="lower-case letters, digits and dashes") as caught:
        check_model_name(name)
    assert repr(name) in caught.value.message
    assert caught.value.violations[0].field == "model"


@given(st.from_regex(MODEL_NAME, fullmatch=True))
def test_every_name_is_safe_in_a_path(name: str) -> None:
    """What passes holds no separator, no dot and no space, and fits a DNS label."""
    assert check_model_name(name) == name
    assert SAFE.fullmatch(name)
    assert len(name) <= 63


@given(st.text(max_size=70))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    """Nothing but InvalidInput is raised, whatever the text."""
    try:
        assert SAFE.fullmatch(check_model_name(text))
    except InvalidInput:
        assert not MODEL_NAME.fullmatch(text)
