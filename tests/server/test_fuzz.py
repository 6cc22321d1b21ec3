"""Whatever bytes arrive, at whatever door: an answer or a refusal, never INTERNAL, never UNKNOWN, and never a crash."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sardonyx.errors import InvalidInput, ModelNotFound, RegistryCorrupt, SardonyxError
from sardonyx.oip import messages as oip
from sardonyx.registry import Registry
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_server.access.files import AccessFileError
from sardonyx_server.access.tokens import Role, Token, read_tokens
from sardonyx_server.bounds import COUNTED_BYTES_MIN, divide
from server.scene import (
    CLASSIFIER,
    DATATYPES,
    PATIENCE_S,
    REGRESSOR,
    answers,
    array_of,
    classifier_request,
    frame_of,
    get_server,
    infer,
    read_failure,
    regressor_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server.scene import Scene

#: The session's server answers all examples: it is the one that must not fall.
FUZZED: Final = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
BRIEFLY: Final = settings(FUZZED, max_examples=100)

OIP: Final = [
    f"/{oip.SERVICE}/{method}"
    for method in ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
]
UNARY: Final = [
    *OIP,
    "/sardonyx.serving.v1.ModelService/ListModels",
    "/sardonyx.serving.v1.ModelService/GetModel",
    "/sardonyx.serving.v1.ModelService/GetServer",
    "/grpc.health.v1.Health/Check",
]
STREAMS: Final = [
    f"/{oip.SERVICE}/ModelStreamInfer",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
#: What a caller may be told of its own bytes.
ALLOWED: Final = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
}

#: Names that lead out of a folder, or are none.
HOSTILE_NAMES: Final = [
    "",
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    f"{CLASSIFIER}/../{REGRESSOR}",
    f"{CLASSIFIER}/versions/00000001.json",
    "..\\..\\windows",
    "%2e%2e%2f",
    f"{CLASSIFIER}\0",
    f"{CLASSIFIER} ",
    f"{CLASSIFIER}\n",
    "flight\u2010delay",
    "ﬂight-delay",
    "🦀",
    "a" * 64,
    "a" * 1_000_000,
]

SIZES: Final = st.one_of(
    st.integers(-2, 5), st.sampled_from([0, -1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, -(2**63), 65_537])
)
NAMES: Final = st.one_of(st.sampled_from([*DATATYPES, "features", "number"]), st.text(max_size=20))
TYPES: Final = st.one_of(st.sampled_from(["FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES"]), st.text(max_size=6))
TEXTS: Final = st.one_of(st.sampled_from([b"AA", b"EWR", b"", b"\xff\xfe", b"\xed\xa0\x80"]), st.binary(max_size=8))
NUMBERS: Final = st.floats(width=64)
VERSIONS: Final = st.one_of(st.sampled_from(["1", "v1", "live", "canary", "-1", "9" * 30]), st.text(max_size=5))
PARAMETERS: Final = st.one_of(st.text(max_size=20), st.sampled_from(['{"ids": [1]}', '{"ids": ["a"]}', "[" * 9999]))


def code_of(channel: grpc.Channel, method: str, data: bytes, **metadata: str) -> grpc.StatusCode:
    """The status of a call with these bytes."""
    try:
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(method)
        call(data, timeout=PATIENCE_S, metadata=tuple(metadata.items()))
    except grpc.RpcError as error:
        return read_failure(error).code
    return grpc.StatusCode.OK


def stream_code_of(channel: grpc.Channel, method: str, data: bytes) -> grpc.StatusCode:
    """The status of a stream with this one message, up to its first answer."""
    begin: grpc.StreamStreamMultiCallable[Any, Any] = channel.stream_stream(method)
    call = begin(iter([data]), timeout=PATIENCE_S)
    try:
        next(call, None)
    except grpc.RpcError as error:
        return read_failure(error).code
    finally:
        call.cancel()
    return grpc.StatusCode.OK


@st.composite
def tensors(draw: st.DrawFn, *, typed: bool) -> oip.ModelInferRequest.InferInputTensor:
    """Anything that has the form of an input, and often nearly the one that a model takes."""
    name = draw(NAMES)
    datatype = draw(st.one_of(st.just(DATATYPES.get(name, "FP64")), TYPES))
    tensor = oip.ModelInferRequest.InferInputTensor(name=name, datatype=datatype)
    tensor.shape.extend(draw(st.one_of(st.just([1]), st.just([2, 1]), st.just([1, 3]), st.lists(SIZES, max_size=4))))
    if typed:
        contents = tensor.contents
        contents.fp64_contents.extend(draw(st.lists(NUMBERS, max_size=3)))
        contents.int64_contents.extend(draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=2)))
        contents.bytes_contents.extend(draw(st.lists(TEXTS, max_size=3)))
    return tensor


@st.composite
def raw_contents(draw: st.DrawFn) -> bytes:
    """Bytes that may be numbers, or texts behind their lengths, or neither."""
    kind = draw(st.sampled_from(["numbers", "texts", "bytes"]))
    if kind == "numbers":
        numbers = draw(st.lists(NUMBERS, max_size=4))
        return struct.pack(f"<{len(numbers)}d", *numbers)
    if kind == "texts":
        texts = draw(st.lists(TEXTS, max_size=3))
        lengths = [draw(st.one_of(st.just(len(text)), st.integers(0, 2**32 - 1))) for text in texts]
        return b"".join(struct.pack("<I", length) + text for length, text in zip(lengths, texts, strict=True))
    return draw(st.binary(max_size=40))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A ModelInferRequest's bytes: anything that has its form."""
    typed = draw(st.booleans())
    request = oip.ModelInferRequest(
        model_name=draw(st.one_of(st.sampled_from([CLASSIFIER, REGRESSOR]), st.text(max_size=8))),
        model_version=draw(st.one_of(st.just(""), VERSIONS)),
        id=draw(st.one_of(st.just(""), st.text(max_size=300))),
    )
    request.inputs.extend(draw(st.lists(tensors(typed=typed), max_size=5)))
    if draw(st.booleans()):
        request.raw_input_contents.extend(draw(st.lists(raw_contents(), max_size=5)))
    for name in draw(st.lists(st.sampled_from(["label", "value", "probabilities", "x", ""]), max_size=3)):
        request.outputs.add(name=name)
    key = draw(st.sampled_from(["routing-key", "sardonyx_predictions", "binary_data", ""]))
    request.parameters[key].string_param = draw(PARAMETERS)
    return request.SerializeToString()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good request of which some bytes were changed, cut out or put in."""
    raw = draw(st.booleans())
    whole = [classifier_request(frame_of(seed=3, rows=2), raw=raw), regressor_request(array_of(seed=3, rows=2))]
    good = draw(st.sampled_from(whole))
    data = bytearray(good.SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(data)))
        data[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@pytest.fixture(autouse=True)
def standing(channel: grpc.Channel) -> Iterator[None]:
    """The process that answered before a test answers after it."""
    process_id = get_server(channel).process_id
    yield
    assert get_server(channel).process_id == process_id
    assert answers(channel, classifier_request(frame_of(seed=3, rows=2)))


@pytest.mark.parametrize("method", UNARY)
@BRIEFLY
@given(data=st.binary(max_size=60))
def test_any_bytes_at_any_door(channel: grpc.Channel, method: str, data: bytes) -> None:
    """Bytes that are no message are the caller's error."""
    assert code_of(channel, method, data) in ALLOWED


@pytest.mark.parametrize("method", STREAMS)
@BRIEFLY
@given(data=st.binary(max_size=60))
def test_any_bytes_in_any_stream(channel: grpc.Channel, method: str, data: bytes) -> None:
    """The same of streams."""
    assert stream_code_of(channel, method, data) in ALLOWED


@FUZZED
@given(data=requests())
def test_anything_that_has_the_form_of_a_request(channel: grpc.Channel, data: bytes) -> None:
    """Whatever names, types, shapes and contents a request has, it is answered or refused."""
    assert code_of(channel, f"/{oip.SERVICE}/ModelInfer", data) in ALLOWED


@FUZZED
@given(data=mutated())
def test_good_requests_that_were_damaged(channel: grpc.Channel, data: bytes) -> None:
    """A request that was damaged on its way is answered or refused."""
    assert code_of(channel, f"/{oip.SERVICE}/ModelInfer", data) in ALLOWED


@BRIEFLY
@given(
    key=st.sampled_from(["traceparent", "tracestate", "routing-key", "x-server-timing", "authorization", "grpc-x"]),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80),
)
def test_any_metadata(channel: grpc.Channel, key: str, value: str) -> None:
    """What a call says beside its message never fails it."""
    data = regressor_request(array_of(seed=3, rows=1)).SerializeToString()
    assert code_of(channel, f"/{oip.SERVICE}/ModelInfer", data, **{key: value.strip()}) is grpc.StatusCode.OK


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: repr(name[:20]))
@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelMetadata", "GetModel"])
def test_names_that_are_none(channel: grpc.Channel, method: str, name: str) -> None:
    """A name that is no model's is NOT_FOUND or INVALID_ARGUMENT at every door, however long it is."""
    service = "sardonyx.serving.v1.ModelService" if method == "GetModel" else oip.SERVICE
    request: Any = {
        "ModelInfer": oip.ModelInferRequest(model_name=name),
        "ModelReady": oip.ModelReadyRequest(name=name),
        "ModelMetadata": oip.ModelMetadataRequest(name=name),
        "GetModel": serving.GetModelRequest(model=name),
    }[method]
    code = code_of(channel, f"/{service}/{method}", request.SerializeToString())
    assert code in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT}


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=lambda name: repr(name[:20]))
def test_names_do_not_leave_the_registry(scene: Scene, name: str) -> None:
    """Every method of the registry refuses a name that is none, before it touches a path."""
    registry = Registry(str(scene.registry))
    acts: list[Callable[[], object]] = [
        lambda: registry.versions(name),
        lambda: registry.manifest(name, 1),
        lambda: registry.events(name),
        lambda: registry.routes(name),
        lambda: registry.append(name, lambda _routes: None),
        lambda: registry.publish(name, b"", lambda _versions: manifest_pb2.Manifest()),
    ]
    for act in acts:
        with pytest.raises(InvalidInput, match="is no model name"):
            act()


@settings(FUZZED, max_examples=200)
@given(data=st.data())
def test_damaged_manifests_and_events(
    scene: Scene, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A manifest or an event that was damaged is read, or is corrupt; nothing else comes of it."""
    folder = tmp_path_factory.mktemp("registry")
    kind = data.draw(st.sampled_from(["versions", "events"]))
    source = scene.registry / "models" / REGRESSOR / kind / "00000001.json"
    damaged = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged)))
        damaged[position : position + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    target = folder / "models" / REGRESSOR / kind / "00000001.json"
    target.parent.mkdir(parents=True)
    target.write_bytes(damaged)
    registry = Registry(str(folder))
    try:
        registry.manifest(REGRESSOR, 1) if kind == "versions" else registry.routes(REGRESSOR)
    except (RegistryCorrupt, ModelNotFound):
        return


@settings(FUZZED, max_examples=300)
@given(data=st.data())
def test_damaged_token_files(tmp_path: Path, data: st.DataObject) -> None:
    """A token file that was damaged is read, or refused with its reason."""
    good = Token("booking", "ab" * 32, frozenset(Role), frozenset({REGRESSOR})).to_toml().encode()
    damaged = bytearray(good * 2)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(damaged)))
        damaged[position : position + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=6))
    path = tmp_path / "tokens.toml"
    path.write_bytes(damaged)
    try:
        read_tokens(str(path))
    except AccessFileError as error:
        reason = str(error)
        assert str(path) in reason


@settings(FUZZED, max_examples=200)
@given(data=st.one_of(st.binary(max_size=200), requests(), mutated()))
def test_the_count_of_parts_agrees_with_the_parser(data: bytes) -> None:
    """What the parser reads is counted to its end, so nothing is hidden from the count; groups alone are refused."""
    padded = oip.ModelInferRequest(raw_input_contents=[bytes(COUNTED_BYTES_MIN)]).SerializeToString() + data
    try:
        whole = oip.ModelInferRequest.FromString(padded)
    except DecodeError:
        return
    try:
        rest, contents = divide(padded)
    except InvalidInput as error:
        refused = error.message
        assert "are no inference.ModelInferRequest" in refused
    else:
        # And nothing is lost by taking the raw contents out.
        assert contents == list(whole.raw_input_contents)
        del whole.raw_input_contents[:]
        assert oip.ModelInferRequest.FromString(rest) == whole


def test_what_is_right_is_answered(channel: grpc.Channel) -> None:
    """The good requests that are damaged above are answered when they are not."""
    for raw in (True, False):
        assert infer(channel, classifier_request(frame_of(seed=3, rows=2), raw=raw)).model_name == CLASSIFIER
    with pytest.raises(SardonyxError):
        divide(b"\x2a\x00" * COUNTED_BYTES_MIN)
