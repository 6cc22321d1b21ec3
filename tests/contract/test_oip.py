"""Our messages of the Open Inference Protocol live beside tritonclient's, and mean the same on the wire."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import warnings
warnings.simplefilter("ignore")  # tritonclient's own
{imports}
ours = messages.ModelInferRequest(
    model_name="flight-delay", model_version="3", id="UA1-2013-04-01", raw_input_contents=[b"\\x00\\x01"]
)
ours.inputs.add(name="distance", datatype="FP64", shape=[2]).contents.fp64_contents.extend([1.5, -2.0])
ours.inputs.add(name="carrier", datatype="BYTES", shape=[2, 1]).contents.bytes_contents.extend([b"UA", "Å".encode()])
ours.outputs.add(name="label").parameters["binary_data"].bool_param = True
ours.parameters["sequence"].int64_param = -7
theirs = service_pb2.ModelInferRequest.FromString(ours.SerializeToString())
assert (theirs.model_name, theirs.model_version, theirs.id) == ("flight-delay", "3", "UA1-2013-04-01")
assert list(theirs.inputs[0].contents.fp64_contents) == [1.5, -2.0]
assert [bytes.decode(each) for each in theirs.inputs[1].contents.bytes_contents] == ["UA", "Å"]
assert theirs.outputs[0].parameters["binary_data"].bool_param is True
assert theirs.parameters["sequence"].int64_param == -7
assert messages.ModelInferRequest.FromString(theirs.SerializeToString()) == ours

reply = service_pb2.ModelInferResponse(model_name="flight-delay", model_version="3", raw_output_contents=[b"ab"])
reply.outputs.add(name="probabilities", datatype="FP64", shape=[1, 2])
back = messages.ModelInferResponse.FromString(reply.SerializeToString())
assert (back.outputs[0].name, list(back.outputs[0].shape)) == ("probabilities", [1, 2])
assert list(back.raw_output_contents) == [b"ab"]
assert service_pb2.ModelInferResponse.FromString(back.SerializeToString()) == reply

for name in messages.__all__:
    if name in ("POOL", "SERVICE"):
        continue
    mine, other = getattr(messages, name).DESCRIPTOR, getattr(service_pb2, name).DESCRIPTOR
    assert mine.full_name == other.full_name
    theirs_by_name = {{field.name: (field.number, field.type) for field in other.fields}}
    shared = [field for field in mine.fields if field.name in theirs_by_name]
    assert shared or not other.fields
    for field in shared:
        assert theirs_by_name[field.name] == (field.number, field.type), (name, field.name)
print("both")
"""

OURS = "from sardonyx.oip import messages"
THEIRS = "import tritonclient.grpc\nfrom tritonclient.grpc import service_pb2"


@pytest.mark.parametrize("imports", [f"{OURS}\n{THEIRS}", f"{THEIRS}\n{OURS}"], ids=["ours-first", "theirs-first"])
def test_both_live_in_one_process(imports: str) -> None:
    """In either order of imports each parses what the other wrote, and shared fields have one number and one type."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(imports=imports)], capture_output=True, text=True, timeout=60
    )

    assert done.stdout == "both\n", done.stderr


def test_the_default_pool_stays_free() -> None:
    """Importing our client and messages registers no ``inference`` symbol where others would."""
    program = """
import sardonyx, sardonyx.client, sardonyx.oip.messages
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")
except KeyError:
    print("free")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)

    assert done.stdout == "free\n", done.stderr
