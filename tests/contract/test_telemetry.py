"""The telemetry vocabulary is complete: every name has its meaning, and no meaning lacks its name."""

from __future__ import annotations

import re
from pathlib import Path

from sardonyx import telemetry

#: Not attributes: what the service, its scope and its spans are called.
NO_ATTRIBUTES = {"SERVICE_NAME_SERVER", "SCOPE_NAME", "SPAN_MODEL_INFER", "SPAN_MODEL_STREAM_INFER"}


def _attributes() -> dict[str, str]:
    """By the module's names. A prefix is followed by the name of an input."""
    return {
        name: f"{value}<name>" if name.endswith("_PREFIX") else value
        for name, value in vars(telemetry).items()
        if name.isupper() and isinstance(value, str) and name not in NO_ATTRIBUTES
    }


def test_every_attribute_has_a_meaning_and_the_other_way_round() -> None:
    """The table of meanings holds exactly the module's attributes."""
    assert set(telemetry.MEANINGS) == set(_attributes().values())


def test_no_two_attributes_share_a_name() -> None:
    """Each attribute has a name of its own."""
    values = list(_attributes().values())

    assert len(values) == len(set(values))


def test_names_are_of_the_conventions_or_of_our_own_namespace() -> None:
    """Names are dotted and lower-case; what is not ``sardonyx.*`` is of the RPC conventions."""
    for value in _attributes().values():
        assert re.fullmatch(r"[a-z]+(\.[a-z_]+)+(\.<name>)?", value)
        assert value.startswith(("sardonyx.", "rpc.", "server.", "error."))


def test_every_meaning_is_said_in_words() -> None:
    """No meaning is empty, and none ends like a sentence: they stand in a table."""
    assert all(meaning and not meaning.endswith(".") for meaning in telemetry.MEANINGS.values())


def test_stages_are_the_stage_attributes_in_their_order() -> None:
    """A request is decoded, waits, runs and is encoded, and each stage is timed in nanoseconds."""
    stages = [value for name, value in _attributes().items() if name.startswith("STAGE_")]

    assert stages == list(telemetry.STAGES)
    assert all(stage.endswith("_ns") for stage in telemetry.STAGES)


def test_the_documentation_has_every_name_with_its_meaning() -> None:
    """The table of spans in docs/OBSERVABILITY.md is the vocabulary, row by row."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "OBSERVABILITY.md").read_text()
    table = text.partition("| attribute | meaning |\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE)

    assert dict(rows) == telemetry.MEANINGS
