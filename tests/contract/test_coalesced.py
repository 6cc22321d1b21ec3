"""Who shares a request is written and read alike, and read from nobody who writes otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sardonyx.errors import InvalidInput
from sardonyx.oip import messages as oip
from sardonyx.oip.coalesced import PARAMETER, Coalesced, Member, read, write
from sardonyx.prediction_id import ID_LENGTH_MAX

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MEMBERS = st.lists(st.tuples(TEXT.filter(bool), st.integers(1, 9), TEXT), min_size=1, max_size=20)


@given(MEMBERS)
def test_what_is_written_is_read(members: list[tuple[str, int, str]]) -> None:
    """Ids of any characters, rows and spans arrive as they were, through the protocol's message."""
    ids, rows, parents = (list(column) for column in zip(*members, strict=True))
    request = oip.ModelInferRequest(id="shared")
    request.parameters[PARAMETER].string_param = write(Coalesced(ids, rows, parents))
    arrived = oip.ModelInferRequest.FromString(request.SerializeToString())
    found = read(arrived.parameters[PARAMETER].string_param, sum(rows))
    assert [(each.prediction_id, each.stop - each.start, each.traceparent) for each in found.members()] == members
    assert [each.start for each in found.members()] == [sum(rows[:index]) for index in range(len(rows))]


def test_single_rows_without_spans_are_ids_alone() -> None:
    """What everybody has alike is not written."""
    text = write(Coalesced(["a", "b"]))
    assert json.loads(text) == {"ids": ["a", "b"]}
    assert list(read(text, 2).members()) == [Member("a", 0, 1, ""), Member("b", 1, 2, "")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ids",
        "[" * 100_000,
        "[]",
        "{}",
        '{"ids": []}',
        '{"ids": "ab"}',
        '{"ids": ["a", 2]}',
        '{"ids": ["a", ""]}',
        '{"ids": ["a", "\\ud800"]}',
        '{"ids": ["a"]}',
        '{"ids": ["a", "b", "c"]}',
        '{"ids": ["a", "b"], "rows": [1]}',
        '{"ids": ["a", "b"], "rows": [2, 0]}',
        '{"ids": ["a", "b"], "rows": [3, -1]}',
        '{"ids": ["a", "b"], "rows": [1, true]}',
        '{"ids": ["a", "b"], "rows": [1, 1.0]}',
        '{"ids": ["a", "b"], "rows": {"a": 1}}',
        '{"ids": ["a", "b"], "traceparents": ["00"]}',
        '{"ids": ["a", "b"], "traceparents": [null, "00"]}',
        '{"ids": ["a", "b"], "more": 1}',
        json.dumps({"ids": ["a", "b"], "traceparents": ["", "0" * 300]}),
        json.dumps({"ids": ["a", "x" * (ID_LENGTH_MAX + 1)]}),
    ],
)
def test_another_form_is_refused(text: str) -> None:
    """What does not give each of the two rows to one prediction is refused, by the parameter's name."""
    with pytest.raises(InvalidInput, match=r"parameters\[sardonyx_predictions\]"):
        read(text, 2)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_whatever_it_holds_is_read_or_refused(value: Any) -> None:
    """No value in any of the places leads to another error."""
    for key in ("ids", "rows", "traceparents"):
        try:
            read(json.dumps({"ids": ["a", "b"], key: value}), 2)
        except InvalidInput:
            continue
