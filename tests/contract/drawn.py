"""Interfaces as hypothesis draws them: with the names that people give, and with histories."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from hypothesis import strategies as st

from sardonyx.interface import number_tensors
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import Form, drop, form, package_of
from sardonyx.typed.names import RESERVED

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROTO = (
    "syntax import package option message enum service rpc returns stream oneof map reserved extensions extend group"
    " optional required repeated string bytes int32 sfixed64 float double bool to max inf nan true false weak public"
)
PROTO_WORDS = _PROTO.split()
#: Names that look alike, are words of some language, begin with digits, or have little that is left of them.
AWKWARD = [
    *("a b", "a_b", "aB", "AB", "a-b", "a.b", " a b ", "a  b", "ab", "a b value", "aBValue", "ab_value", "a_1", "a1"),
    *("2nd", "0", "1", "-1", "+1", "1.5", "True", "False", "None", "<=50K", ">50K", "A+", "A-", "50 %", "100%"),
    *(
        "distance (mi)",
        "Fluggesellschaft ü",
        "Straße",
        "日本",
        "本",
        "é",
        "e\u0301",
        "İ",
        "µg/m³",
        "\U0001f600",
        "_",
        "__",
    ),
    *(
        'say "so"',
        "back\\slash",
        "line\nbreak",
        "\t",
        "\u2028",
        "\0",
        "[a]",
        "[]",
        "a]",
        "// no",
        "/* no */",
        "x" * 300,
    ),
    *("label", "Label", "unspecified", "class", "class_class", "input", "input_class", "output", "label_value"),
    *(
        "labelValue",
        "features",
        "prediction",
        "predict_request",
        "reserved",
        "self",
        "descriptor",
        "value",
        "to_string",
    ),
    *sorted(RESERVED),
    *PROTO_WORDS,
]
NAMES = st.one_of(
    st.sampled_from(AWKWARD),
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    st.from_regex(r"[A-Za-z_]{1,8}( [a-z0-9]{1,4})?", fullmatch=True),
)
MODELS = st.one_of(
    st.sampled_from(["a", "import", "import-model", "a--b", "a-dash-b", "dash", "dash--dash", "x1", "v1", "class-v2"]),
    st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
)
PREFIXES = st.sampled_from(["", "acme", "acme.models", "a_1.b2"])
DATATYPES = st.sampled_from([number for number in pb.Datatype.values() if number])
BOUNDS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["", "Great-circle distance.", "two\nlines", "*/ // x", "long " * 60, "\\", "ü " * 80])


@st.composite
def inputs(draw: st.DrawFn, name: str) -> pb.Input:
    """An input of any kind."""
    tensor = pb.Input(name=name, datatype=draw(DATATYPES), width=draw(st.sampled_from([0, 0, 0, 1, 3])))
    tensor.missing = draw(st.sampled_from(pb.MissingPolicy.values()))
    tensor.unknown_category = draw(st.sampled_from(pb.UnknownCategoryPolicy.values()))
    tensor.optional = draw(st.booleans())
    tensor.description, tensor.unit = draw(TEXTS), draw(st.sampled_from(["", "mi", "°C"]))
    low, high = draw(BOUNDS), draw(BOUNDS)
    if low is not None:
        tensor.minimum = low
    if high is not None:
        tensor.maximum = high
    if tensor.unknown_category == pb.UNKNOWN_CATEGORY_POLICY_REFUSED:
        tensor.categories.extend(draw(st.lists(NAMES, max_size=3, unique=True)))
    return tensor


@st.composite
def outputs(draw: st.DrawFn, name: str, classes: list[str]) -> pb.Output:
    """An output of any kind; those with classes have some of the given ones."""
    kind = draw(st.sampled_from([number for number in pb.OutputKind.values() if number]))
    output = pb.Output(name=name, kind=kind, datatype=draw(DATATYPES))
    if kind == pb.OUTPUT_KIND_VALUE:
        output.width = draw(st.sampled_from([0, 0, 2]))
        return output
    output.classes.extend(draw(st.permutations(classes)))
    if kind == pb.OUTPUT_KIND_PROBABILITIES:
        output.datatype, output.width = pb.DATATYPE_FP64, len(output.classes)
    return output


@st.composite
def interfaces(draw: st.DrawFn) -> pb.Interface:
    """An interface without numbers."""
    classes = draw(st.lists(NAMES, max_size=4, unique=True))
    interface = pb.Interface(task=pb.TASK_CLASSIFICATION if classes else pb.TASK_REGRESSION)
    interface.inputs.extend(draw(inputs(name)) for name in draw(st.lists(NAMES, max_size=6, unique=True)))
    interface.outputs.extend(draw(outputs(name, classes)) for name in draw(st.lists(NAMES, max_size=3, unique=True)))
    return interface


@st.composite
def evolved(draw: st.DrawFn, old: pb.Interface) -> pb.Interface:
    """An interface of much the same names: each tensor stays, goes, or is another."""
    new = draw(interfaces())
    for tensor in old.inputs:
        if tensor.name not in {each.name for each in new.inputs} and draw(st.integers(0, 3)):
            new.inputs.append(tensor if draw(st.booleans()) else draw(inputs(tensor.name)))
    classes = list(dict.fromkeys(text for output in old.outputs for text in output.classes))
    for output in old.outputs:
        if output.name not in {each.name for each in new.outputs} and draw(st.integers(0, 3)):
            new.outputs.append(output if draw(st.booleans()) else draw(outputs(output.name, classes)))
    return new


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """The typed form of an interface that another one may have come before."""
    before, interface = draw(interfaces()), draw(interfaces())
    earlier = number_tensors(before, pb.Ledger())
    ledger = number_tensors(interface, earlier)
    model = draw(MODELS)
    package = package_of(model, draw(st.integers(1, 30)), draw(PREFIXES))
    return form(model, package, interface, ledger, drop(interface, earlier) if draw(st.booleans()) else None)


def compiled(path: str, source: str) -> FileDescriptorProto:
    """What protoc makes of a .proto's text, with its comments."""
    with tempfile.TemporaryDirectory() as folder:
        write([(path, source)], Path(folder))
        result = Path(folder, "result.binpb")
        arguments = ["protoc", f"-I{folder}", f"--descriptor_set_out={result}", "--include_source_info", path]
        assert protoc.main(arguments) == 0
        (file,) = FileDescriptorSet.FromString(result.read_bytes()).file
        return file


def write(files: Iterable[tuple[str, str]], folder: Path) -> None:
    """Lay texts out in the folders of their packages."""
    for path, source in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(source)
