"""A verdict says whether those who call a version may be led to the next one, and why not."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from google.protobuf import json_format, unknown_fields
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from contract.drawn import evolved, interfaces, write
from sardonyx.interface import digest, number_tensors
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.typed import form, text, typed_service
from sardonyx.verdict import Kind, judge, judge_former, wire
from sardonyx.verdict.judging import schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from google.protobuf.message import Message

BUF = str(Path(sys.executable).parent / "buf")
CLASSES = ["cancelled", "late", "on time"]


def _classification() -> pb.Interface:
    return pb.Interface(
        task=pb.TASK_CLASSIFICATION,
        inputs=[
            pb.Input(name="distance", datatype=pb.DATATYPE_FP64, unit="mi", minimum=0, maximum=5000),
            pb.Input(name="hour", datatype=pb.DATATYPE_INT64),
            pb.Input(name="wind", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True),
            pb.Input(
                name="carrier",
                datatype=pb.DATATYPE_BYTES,
                unknown_category=pb.UNKNOWN_CATEGORY_POLICY_REFUSED,
                categories=["AA", "UA"],
            ),
            pb.Input(name="origin", datatype=pb.DATATYPE_BYTES, unknown_category=pb.UNKNOWN_CATEGORY_POLICY_ALLOWED),
            pb.Input(name="visibility", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_REFUSED),
            pb.Input(name="gust", datatype=pb.DATATYPE_FP32, missing=pb.MISSING_POLICY_ALLOWED),
            pb.Input(name="weekend", datatype=pb.DATATYPE_BOOL),
            pb.Input(name="stops", datatype=pb.DATATYPE_INT32),
            pb.Input(name="radar", datatype=pb.DATATYPE_FP32, width=4),
        ],
        outputs=[
            pb.Output(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BYTES, classes=CLASSES),
            pb.Output(
                name="probabilities",
                kind=pb.OUTPUT_KIND_PROBABILITIES,
                datatype=pb.DATATYPE_FP64,
                width=3,
                classes=CLASSES,
            ),
            pb.Output(name="score", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64),
        ],
    )


def _in(interface: pb.Interface, name: str) -> pb.Input:
    return next(each for each in interface.inputs if each.name == name)


def _out(interface: pb.Interface, name: str) -> pb.Output:
    return next(each for each in interface.outputs if each.name == name)


def _set(tensor: str, /, **fields: Any) -> Callable[[pb.Interface], None]:
    """A change of some fields of an input; None clears."""

    def change(interface: pb.Interface) -> None:
        for field, value in fields.items():
            _in(interface, tensor).ClearField(field)  # type: ignore[arg-type]  # a field's name, given as text
            if isinstance(value, list):
                getattr(_in(interface, tensor), field).extend(value)
            elif value is not None:
                setattr(_in(interface, tensor), field, value)

    return change


def _set_output(tensor: str, /, **fields: Any) -> Callable[[pb.Interface], None]:
    def change(interface: pb.Interface) -> None:
        for field, value in fields.items():
            setattr(_out(interface, tensor), field, value)

    return change


def _remove(*names: str) -> Callable[[pb.Interface], None]:
    def change(interface: pb.Interface) -> None:
        for tensors in (interface.inputs, interface.outputs):
            for tensor in [each for each in tensors if each.name in names]:
                tensors.remove(tensor)  # type: ignore[arg-type]  # one of its own

    return change


def _add(name: str, **fields: Any) -> Callable[[pb.Interface], None]:
    return lambda interface: interface.inputs.extend([pb.Input(name=name, datatype=pb.DATATYPE_FP64, **fields)])


def _add_output(name: str) -> Callable[[pb.Interface], None]:
    output = pb.Output(name=name, kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    return lambda interface: interface.outputs.extend([output])


def _rename(old: str, new: str) -> Callable[[pb.Interface], None]:
    def change(interface: pb.Interface) -> None:
        _in(interface, old).name = new

    return change


def _classes(*names: str) -> Callable[[pb.Interface], None]:
    def change(interface: pb.Interface) -> None:
        for output in ("label", "probabilities"):
            del _out(interface, output).classes[:]
            _out(interface, output).classes.extend(names)
        _out(interface, "probabilities").width = len(names)

    return change


def _reverse_tensors(interface: pb.Interface) -> None:
    inputs, outputs = list(interface.inputs)[::-1], list(interface.outputs)[::-1]
    del interface.inputs[:], interface.outputs[:]
    interface.inputs.extend(inputs)
    interface.outputs.extend(outputs)


def _regression(interface: pb.Interface) -> None:
    interface.task = pb.TASK_REGRESSION
    _remove("label", "probabilities")(interface)


def _swap_numbers(one: str, other: str) -> Callable[[pb.Interface], None]:
    """What a registry without a ledger would do: numbers by position, and two columns that changed places."""

    def change(interface: pb.Interface) -> None:
        first, second = _in(interface, one), _in(interface, other)
        first.number, second.number = second.number, first.number

    return change


def _both(*changes: Callable[[pb.Interface], None]) -> Callable[[pb.Interface], None]:
    def change(interface: pb.Interface) -> None:
        for each in changes:
            each(interface)

    return change


class Row(NamedTuple):
    """One change of the interface above, and what is to be said of it.

    Attributes:
        said: what changed, for people.
        change: makes it.
        kind: the verdict.
        rules: the rules of meaning that are to be named.
        wire: the rules of the wire and of JSON that are to be named; buf names the same.
        after: whether the change comes after the numbers are given.
    """

    said: str
    change: Callable[[pb.Interface], None]
    kind: Kind
    rules: str = ""
    wire: str = ""
    after: bool = False


TYPE = "FIELD_WIRE_COMPATIBLE_TYPE FIELD_WIRE_JSON_COMPATIBLE_TYPE"
MANY = "FIELD_WIRE_COMPATIBLE_CARDINALITY FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY"
RETRAIN, COMPATIBLE, BREAKING = Kind.RETRAIN, Kind.COMPATIBLE, Kind.BREAKING
ALLOWED, REFUSED = pb.MISSING_POLICY_ALLOWED, pb.MISSING_POLICY_REFUSED
ANY, KNOWN = pb.UNKNOWN_CATEGORY_POLICY_ALLOWED, pb.UNKNOWN_CATEGORY_POLICY_REFUSED

TABLE = [
    # What no caller notices.
    Row("nothing", _both(), RETRAIN),
    Row("columns in another order", _reverse_tensors, RETRAIN),
    Row("described in other words", _set("distance", description="great-circle"), RETRAIN),
    # Inputs come and go.
    Row("optional input added", _add("rain", optional=True, missing=ALLOWED), COMPATIBLE, "OPTIONAL_INPUT_ADDED"),
    Row("required input added", _add("rain"), BREAKING, "REQUIRED_INPUT_ADDED"),
    Row("required input added that may be missing", _add("rain", missing=ALLOWED), BREAKING, "REQUIRED_INPUT_ADDED"),
    Row("required input removed", _remove("hour"), BREAKING, "INPUT_REMOVED"),
    Row("optional input removed", _remove("wind"), BREAKING, "INPUT_REMOVED"),
    Row("input renamed", _rename("hour", "sched_hour"), BREAKING, "INPUT_REMOVED REQUIRED_INPUT_ADDED"),
    Row("input renamed in its case only", _rename("hour", "Hour"), BREAKING, "INPUT_REMOVED REQUIRED_INPUT_ADDED"),
    Row(
        "input replaced by an optional one",
        _both(_remove("hour"), _add("rain", optional=True)),
        BREAKING,
        "INPUT_REMOVED OPTIONAL_INPUT_ADDED",
    ),
    Row("input made optional", _set("gust", optional=True), COMPATIBLE, "INPUT_MADE_OPTIONAL"),
    Row("input made required", _set("wind", optional=False), BREAKING, "INPUT_MADE_REQUIRED"),
    Row(
        "two inputs of one type swapped",
        _swap_numbers("distance", "visibility"),
        BREAKING,
        "INPUT_NUMBER_REUSED INPUT_NUMBER_CHANGED",
        "FIELD_SAME_NAME FIELD_SAME_JSON_NAME",
        after=True,
    ),
    Row(
        "two inputs of different types swapped",
        _swap_numbers("distance", "hour"),
        BREAKING,
        "INPUT_NUMBER_REUSED INPUT_NUMBER_CHANGED",
        f"FIELD_SAME_NAME FIELD_SAME_JSON_NAME {TYPE}",
        after=True,
    ),
    Row(
        "number of a dropped input given to a new one",
        _both(_remove("hour"), _add("rain", number=2)),
        BREAKING,
        "INPUT_REMOVED REQUIRED_INPUT_ADDED INPUT_NUMBER_REUSED",
        f"FIELD_SAME_NAME FIELD_SAME_JSON_NAME {TYPE}",
        after=True,
    ),
    # What an input is.
    Row("double to single", _set("distance", datatype=pb.DATATYPE_FP32), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("single to double", _set("gust", datatype=pb.DATATYPE_FP64), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("double to integer", _set("distance", datatype=pb.DATATYPE_INT64), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("wider integer", _set("stops", datatype=pb.DATATYPE_INT64), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("narrower integer", _set("hour", datatype=pb.DATATYPE_INT32), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("boolean to integer", _set("weekend", datatype=pb.DATATYPE_INT32), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("integer to text", _set("hour", datatype=pb.DATATYPE_BYTES), BREAKING, "INPUT_DATATYPE_CHANGED", TYPE),
    Row("column to matrix", _set("distance", width=3), BREAKING, "INPUT_WIDTH_CHANGED", MANY),
    Row("matrix to column", _set("radar", width=0), BREAKING, "INPUT_WIDTH_CHANGED", MANY),
    Row("wider matrix", _set("radar", width=5), BREAKING, "INPUT_WIDTH_CHANGED"),
    # What an input means.
    Row("unit changed", _set("distance", unit="km"), BREAKING, "INPUT_UNIT_CHANGED"),
    Row("unit withdrawn", _set("distance", unit=""), BREAKING, "INPUT_UNIT_CHANGED"),
    Row("unit stated", _set("wind", unit="kn"), COMPATIBLE, "INPUT_UNIT_STATED"),
    Row("range narrowed below", _set("distance", minimum=50.0), BREAKING, "RANGE_NARROWED"),
    Row("range narrowed above", _set("distance", maximum=4999.5), BREAKING, "RANGE_NARROWED"),
    Row("range stated where there was none", _set("wind", maximum=200.0), BREAKING, "RANGE_NARROWED"),
    Row("range widened", _set("distance", maximum=9000.0), COMPATIBLE, "RANGE_WIDENED"),
    Row("range given up", _set("distance", minimum=None, maximum=None), COMPATIBLE, "RANGE_WIDENED"),
    Row("range moved", _set("distance", minimum=1.0, maximum=6000.0), BREAKING, "RANGE_NARROWED RANGE_WIDENED"),
    Row("missing values refused", _set("gust", missing=REFUSED), BREAKING, "MISSING_REFUSED"),
    Row("missing values allowed", _set("visibility", missing=ALLOWED), COMPATIBLE, "MISSING_ALLOWED"),
    Row("missing policy stated", _set("hour", missing=REFUSED), COMPATIBLE, "INTERFACE_RESTATED"),
    Row("category removed", _set("carrier", categories=["AA"]), BREAKING, "CATEGORIES_NARROWED"),
    Row("category added", _set("carrier", categories=["AA", "B6", "UA"]), COMPATIBLE, "CATEGORIES_WIDENED"),
    Row(
        "category replaced",
        _set("carrier", categories=["AA", "B6"]),
        BREAKING,
        "CATEGORIES_NARROWED CATEGORIES_WIDENED",
    ),
    Row("categories in another order", _set("carrier", categories=["UA", "AA"]), COMPATIBLE, "INTERFACE_RESTATED"),
    Row(
        "unknown categories refused",
        _set("origin", unknown_category=KNOWN, categories=["JFK"]),
        BREAKING,
        "UNKNOWN_CATEGORY_REFUSED",
    ),
    Row(
        "unknown categories allowed",
        _set("carrier", unknown_category=ANY, categories=None),
        COMPATIBLE,
        "UNKNOWN_CATEGORY_ALLOWED",
    ),
    # Outputs.
    Row("output added", _add_output("delay"), COMPATIBLE, "OUTPUT_ADDED"),
    Row("value removed", _remove("score"), BREAKING, "OUTPUT_REMOVED"),
    Row("probabilities removed", _remove("probabilities"), BREAKING, "OUTPUT_REMOVED"),
    Row("classes in another order", _classes("late", "on time", "cancelled"), BREAKING, "CLASSES_REORDERED"),
    Row("class added", _classes(*CLASSES, "diverted"), BREAKING, "CLASS_ADDED"),
    Row("class removed", _classes("late", "on time"), BREAKING, "CLASS_REMOVED"),
    Row("class renamed", _classes("canceled", "late", "on time"), BREAKING, "CLASS_ADDED CLASS_REMOVED"),
    Row(
        "probabilities made scores",
        _both(
            _set_output("probabilities", kind=pb.OUTPUT_KIND_VALUE),
            lambda each: _out(each, "probabilities").ClearField("classes"),
        ),
        BREAKING,
        "OUTPUT_KIND_CHANGED CLASS_REMOVED",
        f"{TYPE} {MANY}",
    ),
    Row(
        "label of another type",
        _set_output("label", datatype=pb.DATATYPE_INT64),
        BREAKING,
        "OUTPUT_DATATYPE_CHANGED",
        TYPE,
    ),
    Row(
        "value of another type",
        _set_output("score", datatype=pb.DATATYPE_FP32),
        BREAKING,
        "OUTPUT_DATATYPE_CHANGED",
        TYPE,
    ),
    Row("several values for one", _set_output("score", width=2), BREAKING, "OUTPUT_WIDTH_CHANGED", MANY),
    Row("task changed", _regression, BREAKING, "TASK_CHANGED OUTPUT_REMOVED"),
]


def _pair(row: Row) -> tuple[pb.Interface, pb.Interface, pb.Ledger]:
    old, new = _classification(), _classification()
    ledger = number_tensors(old, pb.Ledger())
    if not row.after:
        row.change(new)
    ledger = number_tensors(new, ledger)
    if row.after:
        row.change(new)
        ledger = number_tensors(_copy(new), ledger)
    return old, new, ledger


def _copy(interface: pb.Interface) -> pb.Interface:
    copy = pb.Interface()
    copy.CopyFrom(interface)
    return copy


@pytest.mark.parametrize("row", TABLE, ids=[row.said for row in TABLE])
def test_a_change_has_a_verdict(row: Row) -> None:
    """Each change of interface has this verdict, for these reasons and no others."""
    verdict = judge(*_pair(row))

    assert verdict.kind is row.kind
    assert {reason.rule for reason in verdict.reasons} == {*row.rules.split(), *row.wire.split()}
    assert any(reason.breaking for reason in verdict.reasons) == verdict.breaks


def test_the_table_is_long_enough() -> None:
    """Forty changes at least, none twice."""
    assert len({row.said for row in TABLE}) == len(TABLE) >= 40


def _buf_says(folder: Path, pairs: Sequence[tuple[pb.Interface, pb.Interface, pb.Ledger]]) -> list[set[str]]:
    """The rules of WIRE and WIRE_JSON that the real buf finds broken, for each pair."""
    for side in ("old", "new"):
        write([("buf.yaml", "version: v2\nbreaking:\n  use:\n    - WIRE\n    - WIRE_JSON\n")], folder / side)
    for number, pair in enumerate(pairs):
        for side, file in zip(("old", "new"), schemas(*pair, model=f"row-{number}"), strict=True):
            write([(file.name, text(file))], folder / side)
    command = [BUF, "breaking", "new", "--against", "old", "--error-format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 100), done.stderr
    found: dict[str, set[str]] = {}
    for complaint in map(json.loads, done.stdout.splitlines()):
        found.setdefault(Path(complaint["path"]).stem, set()).add(complaint["type"])
    return [found.get(f"row_{number}", set()) for number in range(len(pairs))]


def test_buf_says_the_same_of_the_wire(tmp_path: Path) -> None:
    """The real buf names, for each change of the table, the very rules that are named here."""
    said = _buf_says(tmp_path, [_pair(row) for row in TABLE])

    assert {row.said: rules for row, rules in zip(TABLE, said, strict=True)} == {
        row.said: set(row.wire.split()) for row in TABLE
    }


@st.composite
def _changed(draw: st.DrawFn) -> tuple[pb.Interface, pb.Interface, pb.Ledger]:
    old = draw(interfaces())
    ledger = number_tensors(old, pb.Ledger())
    new = draw(evolved(old))
    return old, new, number_tensors(new, ledger)


@settings(max_examples=12)
@given(st.lists(_changed(), min_size=1, max_size=3))
def test_buf_says_the_same_of_any_change(pairs: list[tuple[pb.Interface, pb.Interface, pb.Ledger]]) -> None:
    """Whatever becomes of an interface, the rules of the wire are those that buf finds broken."""
    with tempfile.TemporaryDirectory() as folder:
        said = _buf_says(Path(folder), pairs)

    assert said == [{reason.rule for reason in wire.compare(*schemas(*pair))} for pair in pairs]


def test_what_the_wire_does_not_see_is_seen() -> None:
    """Changes that break callers, and that no rule of the wire or of JSON says a word about, are breaking."""
    silent = {row.said for row in TABLE if row.kind is BREAKING and not row.wire}

    assert silent >= {
        *("required input added", "required input removed", "input renamed", "optional input removed", "class added"),
        *("class removed", "class renamed", "classes in another order", "unit changed", "range narrowed below"),
        *("missing values refused", "category removed", "unknown categories refused", "input made required"),
        *("value removed", "task changed", "wider matrix"),
    }
    swapped = next(row for row in TABLE if row.said == "two inputs of one type swapped")
    assert "FIELD_WIRE_COMPATIBLE_TYPE" not in swapped.wire


def test_the_first_version_follows_nobody() -> None:
    """Without a version before, there is nothing to break."""
    interface = _classification()
    verdict = judge(None, interface, number_tensors(interface, pb.Ledger()))

    assert (verdict.kind, verdict.reasons, verdict.breaks) == (Kind.FIRST, (), False)


def test_a_reason_says_what_changed_and_what_it_means() -> None:
    """Each has a rule's name, what changed, and a sentence for the caller; what breaks comes first."""
    row = next(row for row in TABLE if row.said == "range moved")
    first, second = judge(*_pair(row)).reasons

    assert str(first) == (
        "input 'distance' goes from 1 to 6000, and went from 0 to 5000 (RANGE_NARROWED)."
        " Calls with a value outside are refused."
    )
    assert (first.breaking, second.breaking) == (True, False)


def test_a_verdict_is_kept_whole() -> None:
    """A manifest holds kind, version and every reason."""
    row = next(row for row in TABLE if row.said == "input renamed")
    verdict = judge(*_pair(row))
    kept = verdict.message(7)

    assert (kept.kind, kept.version) == (manifest_pb2.Verdict.KIND_BREAKING, 7)
    assert [(each.rule, each.change, each.meaning, each.breaking) for each in kept.reasons] == [
        (each.rule, each.change, each.meaning, each.breaking) for each in verdict.reasons
    ]


# ----------------------------------------------------------------------------------------------------------- properties


@given(interfaces(), interfaces())
def test_equal_digests_are_a_retrain_and_nothing_else_is(one: pb.Interface, other: pb.Interface) -> None:
    """A verdict without reasons is a retrain, and a retrain is an equal digest."""
    ledger = number_tensors(other, number_tensors(one, pb.Ledger()))
    verdict = judge(one, other, ledger)

    assert (verdict.kind is RETRAIN) == (digest(one) == digest(other)) == (not verdict.reasons)


@st.composite
def compatible_pairs(draw: st.DrawFn) -> tuple[pb.Interface, pb.Interface, pb.Ledger]:
    """An interface and one that grew out of it, by changes that may or may not break."""
    old = draw(interfaces())
    ledger = number_tensors(old, pb.Ledger())
    new = _copy(old)
    for name in draw(st.lists(st.sampled_from(["rain", "a b", "Rain", "class"]), unique=True)):
        if name not in {each.name for each in old.inputs}:
            _add(name, optional=True, missing=ALLOWED)(new)
    for name in draw(st.lists(st.sampled_from(["delay", "value"]), unique=True)):
        if name not in {each.name for each in old.outputs}:
            _add_output(name)(new)
    for tensor in new.inputs:
        if draw(st.booleans()):
            tensor.missing = ALLOWED
    return old, new, number_tensors(new, ledger)


@given(compatible_pairs(), st.data())
def test_old_bytes_mean_the_same_to_a_compatible_version(
    pair: tuple[pb.Interface, pb.Interface, pb.Ledger], data: st.DataObject
) -> None:
    """What an old stub writes, bytes or JSON, the new version reads under the same names; what is new is absent."""
    old, new, ledger = pair
    assume(not judge(*pair).breaks)
    before = typed_service(form("m", "m.v1", old, ledger))
    after = typed_service(form("m", "m.v1", new, ledger))
    for kind in ("predict_request", "batch_request", "predict_response", "batch_response"):
        written = data.draw(_filled(getattr(before, kind)))
        read = getattr(after, kind).FromString(written.SerializeToString())
        assert _by_name(read) == _by_name(written)
        assert json_format.Parse(json_format.MessageToJson(written), getattr(after, kind)()) == read
        assert not len(unknown_fields.UnknownFieldSet(read))


@given(compatible_pairs(), st.data())
def test_an_old_version_keeps_what_it_does_not_know(
    pair: tuple[pb.Interface, pb.Interface, pb.Ledger], data: st.DataObject
) -> None:
    """Bytes of a newer stub pass through an older one unharmed: known fields are read, unknown ones are kept."""
    old, new, ledger = pair
    assume(not judge(*pair).breaks)
    before = typed_service(form("m", "m.v1", old, ledger))
    after = typed_service(form("m", "m.v1", new, ledger))
    for kind in ("predict_request", "batch_request", "predict_response", "batch_response"):
        written = data.draw(_filled(getattr(after, kind)))
        read = getattr(before, kind).FromString(written.SerializeToString())
        assert _by_name(read).items() <= _by_name(written).items()
        assert _by_name(getattr(after, kind).FromString(read.SerializeToString())) == _by_name(written)


@given(interfaces(), interfaces())
def test_a_former_version_binds_only_where_the_live_one_is_silent(one: pb.Interface, other: pb.Interface) -> None:
    """What a former version had is compared where the new one has it and the live one does not; nothing else is."""
    ledger = number_tensors(other, number_tensors(one, pb.Ledger()))

    assert judge_former(one, one, other, ledger).kind is Kind.RETRAIN
    assert judge_former(one, other, other, ledger).kind is Kind.RETRAIN
    assert judge_former(one, pb.Interface(), pb.Interface(task=one.task), ledger).kind is Kind.RETRAIN
    found = {reason.rule for reason in judge_former(one, pb.Interface(), other, ledger).reasons}
    assert not found & {
        "INPUT_REMOVED",
        "OPTIONAL_INPUT_ADDED",
        "REQUIRED_INPUT_ADDED",
        "OUTPUT_REMOVED",
        "OUTPUT_ADDED",
    }


@given(interfaces(), interfaces())
def test_the_wire_finds_no_fault_with_equal_schemas(one: pb.Interface, other: pb.Interface) -> None:
    """A schema is compatible with itself, and faults are found in one direction as buf finds them."""
    ledger = number_tensors(other, number_tensors(one, pb.Ledger()))
    file = schemas(one, one, ledger)[1]

    assert wire.compare(file, file) == []


#: protobuf writes single precision's largest number into JSON as 3.40282347e+38, and takes that for too large.
_UNREADABLE = 3.4028234663852886e38

_VALUES: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(allow_nan=False, width=32).filter(lambda each: abs(each) != _UNREADABLE),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_STRING: st.sampled_from(["", "UA", "日本"]),
}


def _values(field: Any) -> st.SearchStrategy[Any]:
    if field.enum_type is not None:
        return st.sampled_from([each.number for each in field.enum_type.values])
    return _VALUES[field.cpp_type]


@st.composite
def _filled(draw: st.DrawFn, kind: type[Message]) -> Message:
    """A message with any of its fields set, and theirs."""
    message = kind()
    _fill(draw, message)
    return message


def _fill(draw: st.DrawFn, message: Message) -> None:
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        if field.message_type is not None:
            getattr(message, field.name).SetInParent()
            _fill(draw, getattr(message, field.name))
            continue
        values = _values(field)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(values, max_size=3)))
        else:
            setattr(message, field.name, draw(values))


def _by_name(message: Message, path: str = "") -> dict[str, Any]:
    """Every value that is set, by the names of its fields."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        where = f"{path}.{field.name}"
        if field.message_type is not None:
            found.update(_by_name(value, where))
        else:
            found[where] = list(value) if field.is_repeated else value
    return found
