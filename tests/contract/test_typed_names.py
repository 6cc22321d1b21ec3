"""Whatever people called their columns and classes, callers get names that every tool takes, and keep them."""

from __future__ import annotations

import itertools
import keyword
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contract.drawn import AWKWARD, MODELS, NAMES, PROTO_WORDS, compiled, write
from sardonyx.errors import InvalidInput
from sardonyx.interface import number_tensors
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import check_prefix, form, package_of, text, typed_service
from sardonyx.typed.names import (
    RESERVED,
    class_fields,
    class_symbols,
    input_fields,
    module_of,
    output_fields,
    service_of,
)

FIELD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def _ledger(names: list[str]) -> pb.Ledger:
    interface = pb.Interface(inputs=[pb.Input(name=name) for name in names])
    interface.outputs.extend(pb.Output(name=name, classes=names) for name in names)
    return number_tensors(interface, pb.Ledger())


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("distance", "distance"),
        ("distance (mi)", "distance_mi"),
        ("DepDelay", "dep_delay"),
        ("HTTPServer", "http_server"),
        ("sched-hour", "sched_hour"),
        ("Fluggesellschaft ü", "fluggesellschaft_u"),
        ("Straße", "strasse"),
        ("pm2.5", "pm2_5"),
        ("humidity [%]", "humidity_percent"),
        ("class", "input_class"),
        ("2nd", "input_2nd"),
        ("日本", "unnamed"),
        ("timeout_s", "input_timeout_s"),
        ("service", "service"),
    ],
)
def test_an_input_keeps_as_much_of_its_name_as_any_language_takes(name: str, field: str) -> None:
    """Words stay words; what no language takes is left out, or has the noun before it."""
    assert input_fields(_ledger([name]))[name].field == field


@pytest.mark.parametrize(
    ("name", "symbol", "field"),
    [
        ("True", "LABEL_TRUE", "class_true"),
        ("0", "LABEL_0", "class_0"),
        ("-1", "LABEL_MINUS_1", "minus_1"),
        ("on time", "LABEL_ON_TIME", "on_time"),
        ("<=50K", "LABEL_LESS_EQUAL_50K", "less_equal_50k"),
        ("A+", "LABEL_A_PLUS", "a_plus"),
        ("A-", "LABEL_A_MINUS", "a_minus"),
        ("unspecified", "LABEL_UNSPECIFIED_1", "unspecified"),
        ("", "LABEL_UNNAMED", "unnamed"),
    ],
)
def test_a_class_is_a_value_of_the_enum_and_a_field(name: str, symbol: str, field: str) -> None:
    """Truth values, numbers, signs and texts are told apart as people would read them out."""
    ledger = _ledger([name])

    assert class_symbols(ledger)[name] == symbol
    assert class_fields(ledger)[name].field == field


@given(st.lists(NAMES, max_size=12, unique=True))
# Longer than a field's name may be, and a number where the second's would be.
@example(["a" * 60 + end for end in ("_2", "_3", "_4")])
def test_names_are_what_tools_take_and_differ_in_more_than_case(names: list[str]) -> None:
    """A field is lower_snake_case, no word of a language, and unlike all others, whatever generators do, or in JSON."""
    ledger = _ledger(names)
    for found in (input_fields(ledger), output_fields(ledger), class_fields(ledger)):
        fields = [spelled.field for spelled in found.values()]
        assert all(
            FIELD.fullmatch(field) and field not in RESERVED and not keyword.iskeyword(field) for field in fields
        )
        assert len({field.replace("_", "") for field in fields}) == len(names)
        assert len({spelled.json for spelled in found.values()}) == len(names)
        owners = {spelled.json: name for name, spelled in found.items()}
        assert all(owners.get(spelled.field, name) == name for name, spelled in found.items())
    symbols = class_symbols(ledger).values()
    assert len({symbol.replace("_", "") for symbol in symbols} - {"LABELUNSPECIFIED"}) == len(names)


@given(st.lists(NAMES, min_size=1, max_size=10, unique=True), st.lists(NAMES, max_size=10))
def test_a_name_is_spelled_alike_for_ever(names: list[str], later: list[str]) -> None:
    """Whatever a later version brings, no field that callers compiled changes its name, here or in JSON."""
    before, after = _ledger(names), _ledger(list(dict.fromkeys([*names, *later])))
    for spell in (input_fields, output_fields, class_fields):
        assert spell(after).items() >= spell(before).items()
    assert class_symbols(after).items() >= class_symbols(before).items()


@given(NAMES)
def test_json_has_the_name_as_it_is(name: str) -> None:
    """In JSON, and so for clients that know a descriptor alone, a field has the name that people gave it."""
    legal = "\0" not in name and not (name.startswith("[") and name.endswith("]"))

    assert (input_fields(_ledger([name]))[name].json == name) == legal


def test_every_awkward_name_at_once_compiles() -> None:
    """Protoc, a pool, buf's lint and buf's format take an interface with all of them as inputs, outputs and classes."""
    names = list(dict.fromkeys(AWKWARD))
    interface = pb.Interface(inputs=[pb.Input(name=name, datatype=pb.DATATYPE_FP64) for name in names])
    interface.outputs.extend(
        pb.Output(name=name, kind=kind, datatype=pb.DATATYPE_BYTES, classes=names, width=len(names))
        for name, kind in zip(names, itertools.cycle([pb.OUTPUT_KIND_LABEL, pb.OUTPUT_KIND_PROBABILITIES]))
    )
    service = typed_service(form("m", "m.v1", interface, number_tensors(interface, pb.Ledger())))
    file = service.file

    assert set(PROTO_WORDS) <= set(names)
    assert compiled(file.name, text(file)).message_type == file.message_type
    with tempfile.TemporaryDirectory() as folder:
        write([("buf.yaml", "version: v2\nlint:\n  use:\n    - STANDARD\n"), (file.name, text(file))], Path(folder))
        for command in (["lint"], ["format", "--diff", "--exit-code"]):
            buf = [str(Path(sys.executable).parent / "buf"), *command]
            done = subprocess.run(buf, cwd=folder, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ------------------------------------------------------------------------------------------------------------- packages


@pytest.mark.parametrize(
    ("model", "package", "service"),
    [
        ("flight-delay", "flight_delay.v2", "FlightDelayService"),
        ("import", "import_model.v2", "ImportModelService"),
        ("import-model", "import_model_model.v2", "ImportModelModelService"),
        ("a--b", "a_dash_b.v2", "ADashBService"),
        ("a-dash-b", "a_dashdash_b.v2", "ADashdashBService"),
    ],
)
def test_a_model_is_a_package_and_a_service(model: str, package: str, service: str) -> None:
    """Dashes become underscores; where that says too little or too much, the name says more."""
    assert (package_of(model, 2), service_of(model)) == (package, service)
    assert package_of(model, 2, "acme.models") == f"acme.models.{package}"


@given(st.lists(MODELS, unique=True, min_size=2, max_size=20))
def test_no_two_models_share_a_package(models: list[str]) -> None:
    """One server answers for all models of a registry: their services must have names of their own."""
    assert len({module_of(model) for model in models}) == len(models)


@pytest.mark.parametrize("prefix", ["", "acme", "acme.models", "a_1.b2"])
def test_a_prefix_is_a_package(prefix: str) -> None:
    """Lower-case words, with dots between them, may stand before the packages of a registry."""
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    "prefix", ["Acme", "acme.", ".acme", "acme..models", "1a", "a-b", "a__b", "acme.import", "a b"]
)
def test_a_prefix_that_is_no_package_is_refused(prefix: str) -> None:
    """What some language could not compile is refused before anything follows from it."""
    with pytest.raises(InvalidInput, match="proto_prefix"):
        check_prefix(prefix)
