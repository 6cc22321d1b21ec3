"""Requests that are made to take memory or time: each is refused with what is wrong, and the server stays as it is."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest

from sardonyx.oip import messages as oip
from sardonyx.protobuf import delimited
from sardonyx_server.decode import TENSORS_NAMED_MAX
from server.scene import (
    ALONE,
    CLASSIFIER,
    DATATYPES,
    PATIENCE_S,
    REGRESSOR,
    answers,
    array_of,
    classifier_request,
    columns_of,
    failure_of,
    frame_of,
    get_server,
    infer,
    regressor_request,
    request_of,
    wait_until,
)
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from server.scene import Failure, Scene

MESSAGE_BYTES_MAX: Final = 16 << 20
ROWS_MAX: Final = 5000
TEXT_BYTES_MAX: Final = 1000
#: What one request may take beside its own bytes, while it is looked at. Read into objects, the worst takes 44 times.
PEAK_BYTES_MAX: Final = 10 * MESSAGE_BYTES_MAX

# ModelInferRequest's tags, and its tensors': sardonyx/oip/inference.proto.
VERSION, PARAMETERS, INPUTS, OUTPUTS, RAW = b"\x12", b"\x22", b"\x2a", b"\x32", b"\x3a"
SHAPE, TENSOR_PARAMETERS, CONTENTS, TEXT_CONTENTS = b"\x1a", b"\x22", b"\x2a", b"\x42"
NOTHING: Final = b"\0"


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and the process that answers."""

    channel: grpc.Channel
    process_id: int

    def send(self, data: bytes, **call: Any) -> Failure:
        """The status of a prediction request of these bytes, which must fail."""
        method: grpc.UnaryUnaryMultiCallable[Any, Any] = self.channel.unary_unary(f"/{oip.SERVICE}/ModelInfer")
        return failure_of(lambda: method(data, timeout=PATIENCE_S, **call))

    def memory_bytes(self, kind: str) -> int:
        """The process's memory now (``VmRSS``) or at its peak (``VmHWM``)."""
        lines = Path(f"/proc/{self.process_id}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024

    def forget_peak(self) -> None:
        """Let the peak be what is taken now."""
        Path(f"/proc/{self.process_id}/clear_refs").write_text("5")


@pytest.fixture(scope="module")
def target(scene: Scene) -> Iterator[Target]:
    """A server of its own, with small limits: what it is sent is to harm no other test."""
    limits = ("--message-bytes-max", str(MESSAGE_BYTES_MAX), "--queue-rows-max", str(ROWS_MAX))
    texts = ("--text-bytes-max", str(TEXT_BYTES_MAX))
    options = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 1 << 20)]
    with (
        running_server(scene.registry, *ALONE, *limits, *texts) as address,
        grpc.insecure_channel(address, options=options) as channel,
    ):
        wait_until(lambda: answers(channel, classifier_request(frame_of(seed=3, rows=2))), "the server answers")
        yield Target(channel, get_server(channel).process_id)


@pytest.fixture(autouse=True)
def unharmed(target: Target) -> Iterator[None]:
    """After a test the same process answers, and at no time did it take more than it may."""
    before = target.memory_bytes("VmRSS")
    target.forget_peak()
    yield
    assert get_server(target.channel).process_id == target.process_id
    assert infer(target.channel, regressor_request(array_of(seed=3, rows=1))).model_name == REGRESSOR
    assert target.memory_bytes("VmHWM") - before < PEAK_BYTES_MAX


def refused(failure: Failure) -> dict[str, str]:
    """What an INVALID_ARGUMENT names."""
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    return failure.violations


def full_of(part: bytes, *, within: bytes = b"") -> bytes:
    """A message as large as is read, of one part again and again; within a tensor, if one is named."""
    room = MESSAGE_BYTES_MAX - 64
    parts = part * (room // len(part))
    return delimited(within, parts) if within else parts


MANY: Final[dict[str, Callable[[], bytes]]] = {
    "inputs": lambda: full_of(INPUTS + NOTHING),
    "outputs": lambda: full_of(OUTPUTS + NOTHING),
    "raw contents": lambda: full_of(RAW + NOTHING),
    "parameters": lambda: full_of(PARAMETERS + NOTHING),
    "an input's parameters": lambda: full_of(TENSOR_PARAMETERS + NOTHING, within=INPUTS),
    "an output's parameters": lambda: full_of(b"\x12" + NOTHING, within=OUTPUTS),
    "an input's sizes, one by one": lambda: full_of(b"\x18\x01", within=INPUTS),
    "unknown fields": lambda: full_of(b"\xa0\x06\x01"),
    "behind a version": lambda: delimited(VERSION, b"1") + full_of(INPUTS + NOTHING),
}


@pytest.mark.parametrize("what", MANY)
def test_more_parts_than_any_model_takes(target: Target, what: str) -> None:
    """Millions of empty parts are refused before one of them is read."""
    assert "fields. Send fewer" in refused(target.send(MANY[what]()))["request"]


def test_more_sizes_than_any_shape(target: Target) -> None:
    """A shape of millions of sizes is refused before it is read."""
    sizes = delimited(SHAPE, b"\x01" * (MESSAGE_BYTES_MAX - 64))
    assert "more dimensions" in refused(target.send(delimited(INPUTS, sizes)))["inputs.shape"]


def test_more_typed_contents_than_are_read(target: Target) -> None:
    """Typed contents take many times their bytes: large ones are refused, and raw ones recommended."""
    texts = delimited(CONTENTS, (TEXT_CONTENTS + NOTHING) * (MESSAGE_BYTES_MAX // 2 - 64))
    assert "raw_input_contents" in refused(target.send(delimited(INPUTS, texts)))["inputs.contents"]


def test_a_message_that_is_too_large(target: Target) -> None:
    """A message beyond the limit is refused by its length."""
    failure = target.send(bytes(MESSAGE_BYTES_MAX + 1))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_message_that_grows(target: Target) -> None:
    """A message that is small on the wire, and beyond the limit once it is unpacked, is refused before it is."""
    failure = target.send(bytes(24 * MESSAGE_BYTES_MAX), compression=grpc.Compression.Gzip)
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_metadata_that_is_too_large(target: Target) -> None:
    """Metadata beyond gRPC's limit is refused."""
    data = regressor_request(array_of(seed=3, rows=1)).SerializeToString()
    failure = target.send(data, metadata=(("routing-key", "k" * 100_000),))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "shape",
    [
        [1 << 40],
        [1 << 62],
        [(1 << 63) - 1],
        [-1],
        [-(1 << 63)],
        [0],
        [],
        [1 << 32, 1 << 32],
        [1 << 32, 3],
        [-1, -3],
        [1] * 200,
        [1, 3, 0],
    ],
    ids=str,
)
@pytest.mark.parametrize("raw", [True, False])
def test_shapes_that_are_none(target: Target, shape: list[int], *, raw: bool) -> None:
    """Huge, negative, overflowing, of no or of many dimensions: refused by what the shape says, or its contents."""
    request = oip.ModelInferRequest(model_name=REGRESSOR)
    tensor = request.inputs.add(name="features", datatype="FP64", shape=shape)
    if raw:
        request.raw_input_contents.append(bytes(24))
    else:
        tensor.contents.fp64_contents.extend([1.0, 2.0, 3.0])
    assert next(iter(refused(target.send(request.SerializeToString())))).startswith("inputs[features].")


@pytest.mark.parametrize("raw", [True, False])
def test_more_rows_than_a_server_takes(target: Target, *, raw: bool) -> None:
    """A request of more rows than may wait is refused by their number, and never told to try again."""
    request = classifier_request(frame_of(seed=3, rows=ROWS_MAX + 1), raw=raw)
    violations = refused(target.send(request.SerializeToString()))
    assert any(f"{ROWS_MAX + 1} rows" in text and f"{ROWS_MAX} at most" in text for text in violations.values())


@pytest.mark.parametrize("raw", [True, False])
def test_a_text_that_is_too_long(target: Target, *, raw: bool) -> None:
    """A text beyond the limit is refused by its length; one of the limit's length is read."""
    columns = columns_of(frame_of(seed=3, rows=2))
    for length, wrong in ((TEXT_BYTES_MAX, False), (TEXT_BYTES_MAX + 1, True), (MESSAGE_BYTES_MAX // 4, True)):
        columns["carrier"] = np.array(["AA", "x" * length], dtype=object)
        request = request_of(CLASSIFIER, columns, DATATYPES, raw=raw)
        if not wrong:
            assert infer(target.channel, request).model_name == CLASSIFIER
            continue
        text = refused(target.send(request.SerializeToString()))["inputs[carrier].contents"]
        assert f"element 1 of BYTES has {length} bytes" in text


def test_texts_that_say_they_are_longer(target: Target) -> None:
    """A text whose length points beyond its bytes is refused, and no memory is taken for it."""
    columns = columns_of(frame_of(seed=3, rows=1))
    request = request_of(CLASSIFIER, columns, DATATYPES)
    position = list(DATATYPES).index("carrier")
    request.raw_input_contents[position] = struct.pack("<I", 0xFFFFFFFF) + b"AA"
    assert "inputs[carrier].contents" in refused(target.send(request.SerializeToString()))


def test_more_inputs_than_the_model_has(target: Target) -> None:
    """Of thousands of inputs the first few are named, with what may be meant by them; the rest are only counted."""
    request = oip.ModelInferRequest(model_name=CLASSIFIER)
    for number in range(3000):
        request.inputs.add(name=f"distanse{number}", datatype="FP64", shape=[1])
    violations = refused(target.send(request.SerializeToString()))
    named = [f"inputs[distanse{number}]" for number in range(TENSORS_NAMED_MAX)]
    assert list(violations) == [*named, "inputs", *(f"inputs[{name}]" for name in DATATYPES)]
    assert all("Did you mean 'distance'?" in violations[name] for name in named)
    assert violations["inputs"].startswith(f"{3000 - TENSORS_NAMED_MAX} more")


def test_an_input_that_is_sent_again_and_again(target: Target) -> None:
    """An input is read once, also where it is wrong: that it came again is said a few times, then counted."""
    request = oip.ModelInferRequest(model_name=REGRESSOR)
    for _ in range(3000):
        request.inputs.add(name="features", datatype="FP32", shape=[1, 3])
    failure = target.send(request.SerializeToString())
    assert refused(failure)["inputs[features].datatype"] == "expected FP64, got 'FP32'."
    assert failure.message.count("sent twice") <= TENSORS_NAMED_MAX
    assert refused(failure)["inputs"].startswith(f"{2999 - TENSORS_NAMED_MAX} more")


def test_more_outputs_than_the_model_has(target: Target) -> None:
    """The same of outputs that do not exist."""
    request = regressor_request(array_of(seed=3, rows=1))
    for number in range(3000):
        request.outputs.add(name=f"valeu{number}")
    violations = refused(target.send(request.SerializeToString()))
    named = [f"outputs[valeu{number}]" for number in range(TENSORS_NAMED_MAX)]
    assert list(violations) == [*named, "outputs"]
    assert all("Did you mean 'value'?" in violations[name] for name in named)
    assert violations["outputs"].startswith(f"{3000 - TENSORS_NAMED_MAX} more")


def test_an_output_that_is_asked_for_again_and_again(target: Target) -> None:
    """No small request makes an answer of gigabytes: an output that is named twice is refused."""
    request = regressor_request(array_of(seed=3, rows=ROWS_MAX))
    request.outputs.add(name="value")
    assert [output.name for output in infer(target.channel, request).outputs] == ["value"]
    for _ in range(10_000):
        request.outputs.add(name="value")
    violations = refused(target.send(request.SerializeToString()))
    assert violations["outputs[value]"] == "named twice. Name each output once."
    assert violations["outputs"].startswith(f"{10_000 - TENSORS_NAMED_MAX} more")


@pytest.mark.parametrize("field", ["model_name", "model_version", "id", "input", "datatype", "category", "routing-key"])
def test_names_that_are_very_long(target: Target, field: str) -> None:
    """A name of megabytes is refused; what is said of it fits into a trailer."""
    long = "x" * (MESSAGE_BYTES_MAX // 2)
    request = regressor_request(array_of(seed=3, rows=1))
    if field == "input":
        request.inputs[0].name = long
    elif field == "datatype":
        request.inputs[0].datatype = long
    elif field == "category":
        columns = {**columns_of(frame_of(seed=3, rows=1)), "origin": np.array([long], dtype=object)}
        request = request_of(CLASSIFIER, columns, DATATYPES)
    elif field == "routing-key":
        request.parameters[field].string_param = long
        infer(target.channel, request)
        return
    else:
        setattr(request, field, long)
    failure = target.send(request.SerializeToString())
    assert failure.code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
    assert len(failure.message.encode()) < 8192


def test_a_large_request_that_is_right(target: Target) -> None:
    """What is counted and is well made is answered: large raw contents, and as many rows as may wait."""
    request = regressor_request(array_of(seed=3, rows=ROWS_MAX))
    request.parameters["padding"].string_param = "x" * (2 << 20)
    assert len(infer(target.channel, request).raw_output_contents[0]) == 8 * ROWS_MAX


def test_connections_that_say_nothing(scene: Scene) -> None:
    """More of them than a shell allows open files at first keep no caller out."""
    first = 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (first, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        address = stack.enter_context(running_server(scene.registry, *ALONE))
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * first), hard), hard))
        host, _, port = address.rpartition(":")
        for _ in range(2 * first):
            stack.enter_context(socket.create_connection((host, int(port)), timeout=PATIENCE_S))
        with grpc.insecure_channel(address) as channel:
            wait_until(
                lambda: answers(channel, regressor_request(array_of(seed=3, rows=1))), "a new caller is answered"
            )
