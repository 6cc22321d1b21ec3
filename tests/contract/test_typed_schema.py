"""What is emitted of an interface is one thing in two forms, the same every time, and what tools expect."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pool
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.drawn import compiled, forms, interfaces, write
from sardonyx.interface import digest, number_tensors
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest, TypedService
from sardonyx.typed import drop, form, form_of, schema, text, typed_service

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from sardonyx.typed import Form

BUF = str(Path(sys.executable).parent / "buf")
BUF_YAML = "version: v2\nlint:\n  use:\n    - STANDARD\n"


def flights() -> Form:
    """The interface that the README speaks of, in its second generation."""
    interface = pb.Interface(
        task=pb.TASK_CLASSIFICATION,
        inputs=[
            pb.Input(
                name="carrier",
                datatype=pb.DATATYPE_BYTES,
                unknown_category=pb.UNKNOWN_CATEGORY_POLICY_REFUSED,
                categories=["AA", "UA"],
            ),
            pb.Input(name="distance (mi)", datatype=pb.DATATYPE_FP64, unit="mi", minimum=0, description="As planned."),
            pb.Input(name="hour", datatype=pb.DATATYPE_INT64),
            pb.Input(name="wind", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True),
        ],
        outputs=[
            pb.Output(name="label", kind=pb.OUTPUT_KIND_LABEL, datatype=pb.DATATYPE_BYTES, classes=["late", "on time"]),
            pb.Output(
                name="probabilities",
                kind=pb.OUTPUT_KIND_PROBABILITIES,
                datatype=pb.DATATYPE_FP64,
                width=2,
                classes=["late", "on time"],
            ),
        ],
    )
    earlier = pb.Interface(inputs=[pb.Input(name="origin")], outputs=[pb.Output(name="label", classes=["cancelled"])])
    ledger = number_tensors(earlier, pb.Ledger())
    dropped = drop(interface, ledger)
    return form("flight-delay", "acme.models.flight_delay.v2", interface, number_tensors(interface, ledger), dropped)


def test_the_text_of_an_interface_is_pinned() -> None:
    """The .proto of this very interface never changes: callers compiled it."""
    assert text(schema(flights())) == Path(__file__).with_name("flight_delay.proto").read_text()


@given(forms())
def test_text_and_descriptor_agree(drawn: Form) -> None:
    """Protoc makes of the text the very descriptor that a server answers by, and finds the same comments."""
    file = schema(drawn)
    found = compiled(file.name, text(file))

    assert _comments(found) == _comments(file)
    found.ClearField("source_code_info")
    file.ClearField("source_code_info")
    assert found == file


def _comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    locations = file.source_code_info.location
    return {tuple(each.path): each.leading_comments for each in locations if each.HasField("leading_comments")}


@settings(max_examples=12)
@given(st.lists(forms(), min_size=1, max_size=4, unique_by=lambda each: each.path))
def test_buf_has_nothing_to_say(drawn: list[Form]) -> None:
    """Buf's STANDARD lint passes on whatever is emitted, and its format leaves it as it is."""
    with tempfile.TemporaryDirectory() as folder:
        write([("buf.yaml", BUF_YAML), *((each.path, text(schema(each))) for each in drawn)], Path(folder))
        for command in (["lint"], ["format", "--diff", "--exit-code"]):
            done = subprocess.run([BUF, *command], cwd=folder, capture_output=True, text=True, timeout=60)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@given(interfaces(), st.randoms(use_true_random=False))
def test_equal_interfaces_have_equal_texts(interface: pb.Interface, random: object) -> None:
    """The order of tensors changes neither the digest nor a byte of the text and the descriptor."""
    ledger = number_tensors(interface, pb.Ledger())
    other = pb.Interface()
    other.CopyFrom(interface)
    del other.inputs[:], other.outputs[:]
    other.inputs.extend(reversed(interface.inputs))
    other.outputs.extend(reversed(interface.outputs))
    files = [schema(form("m", "m.v1", each, ledger)) for each in (interface, other)]

    assert digest(interface) == digest(other)
    assert files[0].SerializeToString(deterministic=True) == files[1].SerializeToString(deterministic=True)
    assert text(files[0]) == text(files[1])


def test_a_process_of_its_own_writes_the_same_text() -> None:
    """Neither the hash seed nor the order of anything in memory shows in the text."""
    program = "from contract.test_typed_schema import flights, schema, text; print(text(schema(flights())), end='')"
    texts = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        texts.add(done.stdout)

    assert texts == {text(schema(flights()))}


def test_a_manifest_says_all_that_is_needed() -> None:
    """The form of a version follows from its manifest; one of before there were typed services has a package too."""
    interface = pb.Interface(inputs=[pb.Input(name="b", datatype=pb.DATATYPE_FP64)])
    ledger = number_tensors(pb.Interface(inputs=[pb.Input(name="a")]), pb.Ledger())
    dropped = drop(interface, ledger)
    manifest = Manifest(model="iris", interface_major=2, ledger=number_tensors(interface, ledger), interface=interface)

    assert form_of(manifest).path == "iris/v2/iris.proto"
    manifest.typed_service.CopyFrom(TypedService(package="acme.iris.v2", dropped=dropped))
    assert form_of(manifest).path == "acme/iris/v2/iris.proto"
    assert 'reserved "a";' in text(schema(form_of(manifest)))


# ------------------------------------------------------------------------------------------------------------ messages


@given(forms())
def test_messages_are_found_by_the_fields_of_the_form(drawn: Form) -> None:
    """Every input and output of the form is a field of the messages, under its name, its number and its own name."""
    service = typed_service(drawn)
    features = service.predict_request().features.DESCRIPTOR
    columns = service.batch_request().columns.DESCRIPTOR
    prediction = service.predict_response().prediction.DESCRIPTOR

    for field in drawn.inputs:
        for message in (features, columns):
            assert message.fields_by_name[field.name].number == field.number
            assert message.fields_by_name[field.name].json_name == field.json
        assert features.fields_by_name[field.name].has_presence == (not field.tensor.width)
    for output in drawn.outputs:
        assert prediction.fields_by_name[output.name].number == output.number
        if output.is_label:
            assert prediction.fields_by_name[output.value_name].number == output.value_number


def test_services_of_many_models_live_in_one_process() -> None:
    """Each has a pool of its own, so equal names of messages meet nowhere, and none is in protobuf's own."""
    one, two = typed_service(flights()), typed_service(flights())
    request = one.predict_request()
    request.features.hour = 7

    assert one.pool is not two.pool
    assert one.name == "acme.models.flight_delay.v2.FlightDelayService"
    assert two.predict_request.FromString(request.SerializeToString()).features.hour == 7
    try:
        descriptor_pool.Default().FindMessageTypeByName("acme.models.flight_delay.v2.Features")
    except KeyError:
        return
    raise AssertionError("protobuf's own pool holds a model's message")
