"""Reading requests: the short way gives what careful examination gives, for whatever it takes."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.errors import InvalidInput
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_contents, encode_raw
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_server.bounds import Bounds
from sardonyx_server.decode import Decoder

DATATYPES: Final = {
    "FP32": pb.DATATYPE_FP32,
    "FP64": pb.DATATYPE_FP64,
    "INT32": pb.DATATYPE_INT32,
    "INT64": pb.DATATYPE_INT64,
    "BOOL": pb.DATATYPE_BOOL,
    "BYTES": pb.DATATYPE_BYTES,
}
BOUNDS: Final = Bounds(rows_max=100, text_bytes_max=50)
CATEGORIES: Final = ("JFK", "LGA", "Zürich")
VALUES: Final[dict[str, st.SearchStrategy[Any]]] = {
    "FP32": st.floats(width=32),
    "FP64": st.floats(),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "BOOL": st.booleans(),
    "BYTES": st.sampled_from([*CATEGORIES, "EWR", ""]),
}


@st.composite
def inputs(draw: st.DrawFn) -> pb.Interface:
    """Some inputs, of any type, width and policy."""
    interface = pb.Interface()
    for index, datatype in enumerate(draw(st.lists(st.sampled_from(sorted(DATATYPES)), min_size=1, max_size=4))):
        interface.inputs.add(
            name=f"input {index}",
            datatype=DATATYPES[datatype],
            width=draw(st.sampled_from([0, 0, 1, 3])),
            missing=draw(st.sampled_from([pb.MISSING_POLICY_ALLOWED, pb.MISSING_POLICY_REFUSED])),
            unknown_category=draw(
                st.sampled_from([pb.UNKNOWN_CATEGORY_POLICY_ALLOWED, pb.UNKNOWN_CATEGORY_POLICY_REFUSED])
            )
            if datatype == "BYTES"
            else pb.UNKNOWN_CATEGORY_POLICY_UNSPECIFIED,
            categories=CATEGORIES if datatype == "BYTES" else (),
        )
    return interface


def decoder_of(interface: pb.Interface) -> Decoder:
    """A decoder for a graph that takes double precision as single, as some graphs do."""
    narrowed = {pb.DATATYPE_FP64: pb.DATATYPE_FP32}
    bindings = [
        manifest_pb2.Binding(
            name=tensor.name, tensor=f"graph {tensor.name}", datatype=narrowed.get(tensor.datatype, tensor.datatype)
        )
        for tensor in interface.inputs
    ]
    return Decoder(manifest_pb2.Manifest(interface=interface, graph=manifest_pb2.Graph(inputs=bindings)), BOUNDS)


@st.composite
def requests(draw: st.DrawFn, interface: pb.Interface) -> oip.ModelInferRequest:
    """A request that is right, or not quite."""
    request = oip.ModelInferRequest(model_name="model")
    rows = draw(st.integers(1, 5))
    names = {number: name for name, number in DATATYPES.items()}
    raw = draw(st.sampled_from([True, True, True, False]))
    for tensor in draw(st.permutations(list(interface.inputs))) if draw(st.booleans()) else interface.inputs:
        datatype = names[tensor.datatype]
        shape = draw(st.sampled_from([[rows, tensor.width or 1], [rows, tensor.width] if tensor.width else [rows]]))
        count = int(np.prod(shape))
        values = np.array(
            draw(st.lists(VALUES[datatype], min_size=count, max_size=count)),
            dtype=object if datatype == "BYTES" else None,
        )
        entry = request.inputs.add(name=tensor.name, datatype=datatype, shape=shape)
        if raw:
            request.raw_input_contents.append(encode_raw(datatype, values))
        else:
            encode_contents(datatype, values, entry.contents)
    _spoil(draw, request)
    return request


def _spoil(draw: st.DrawFn, request: oip.ModelInferRequest) -> None:
    """Nothing, or one thing that makes it wrong."""
    match draw(st.sampled_from(["", "", "", "name", "datatype", "shape", "bytes", "extra", "contents", "twice"])):
        case "name":
            request.inputs[0].name += "!"
        case "datatype":
            request.inputs[0].datatype = "FP16"
        case "shape":
            request.inputs[0].shape[:] = draw(st.sampled_from([[], [0], [-1], [2**40], [1, 1, 1]]))
        case "bytes" if request.raw_input_contents:
            request.raw_input_contents[0] += b"\x00"
        case "extra":
            request.raw_input_contents.append(b"")
        case "contents":
            request.inputs[0].contents.fp64_contents.append(1.0)
        case "twice":
            request.inputs.append(request.inputs[0])


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_the_short_way_is_the_careful_way(data: st.DataObject) -> None:
    """What the short way takes, examination takes with the same arrays; what it refuses, examination judges."""
    interface = data.draw(inputs())
    decoder = decoder_of(interface)
    request = data.draw(requests(interface))
    raw = request.raw_input_contents
    usual = decoder._read_usual(request, raw)
    if usual is None:
        return
    examined = decoder._examine(request, raw)
    assert (usual.rows, usual.raw) == (examined.rows, examined.raw)
    assert list(usual.feed) == list(examined.feed)
    for name, values in usual.feed.items():
        assert values.dtype == examined.feed[name].dtype
        assert values.shape == examined.feed[name].shape
        np.testing.assert_array_equal(values, examined.feed[name])


@pytest.mark.parametrize(
    ("datatype", "values"),
    [("FP64", [1.0, 2.0]), ("FP32", [1.0, 2.0]), ("INT64", [1, 2]), ("BOOL", [True, False]), ("BYTES", ["JFK", "LGA"])],
)
def test_the_usual_request_takes_the_short_way(datatype: str, values: list[Any]) -> None:
    """A request as clients write it is read at once: otherwise the short way would be for nothing."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=DATATYPES[datatype], categories=CATEGORIES)])
    request = oip.ModelInferRequest(model_name="model")
    request.inputs.add(name="x", datatype=datatype, shape=[2])
    request.raw_input_contents.append(encode_raw(datatype, np.array(values, object if datatype == "BYTES" else None)))
    assert decoder_of(interface)._read_usual(request, request.raw_input_contents) is not None


def test_numbers_too_large_to_square_are_numbers() -> None:
    """Finite is finite, even where the short way's sum of squares is not."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=pb.DATATYPE_FP64)])
    binding = manifest_pb2.Binding(name="x", tensor="x", datatype=pb.DATATYPE_FP64)
    decoder = Decoder(manifest_pb2.Manifest(interface=interface, graph=manifest_pb2.Graph(inputs=[binding])), BOUNDS)
    request = oip.ModelInferRequest(model_name="model")
    request.inputs.add(name="x", datatype="FP64", shape=[2])
    request.raw_input_contents.append(np.array([1e300, -1e300]).tobytes())
    assert decoder.decode(request).feed["x"].ravel().tolist() == [1e300, -1e300]


def test_numbers_too_large_for_the_graph_are_named_and_no_more() -> None:
    """A typed request's are refused by their row, without a word of numpy's beside it in the server's log."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=pb.DATATYPE_FP64)])
    binding = manifest_pb2.Binding(name="x", tensor="x", datatype=pb.DATATYPE_FP32)
    decoder = Decoder(manifest_pb2.Manifest(interface=interface, graph=manifest_pb2.Graph(inputs=[binding])), BOUNDS)
    with pytest.raises(InvalidInput) as refused:
        decoder.decode_values({"x": np.array([1.0, 1e300])})
    (violation,) = refused.value.violations
    assert violation.row == 1
    assert "too large" in violation.description


@pytest.mark.parametrize("shape", [[2**62, 2**62], [2**40], [-1], [0], [], [1, 1, 1], [2, -2]])
def test_shapes_are_refused_before_anything_is_made_for_them(shape: list[int]) -> None:
    """A shape that says more than the bytes hold, or nothing at all, is the caller's mistake."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=pb.DATATYPE_FP64, width=2)])
    request = oip.ModelInferRequest(model_name="model")
    request.inputs.add(name="x", datatype="FP64", shape=shape)
    request.raw_input_contents.append(np.zeros(2).tobytes())
    with pytest.raises(InvalidInput, match="x"):
        decoder_of(interface).decode(request)


def test_rows_and_texts_are_bounded() -> None:
    """More rows than the server takes, and a text that is too long, are refused with the limit."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=pb.DATATYPE_BYTES)])
    for values, limit in ((["a"] * 101, "100 at most"), (["a" * 51], "50 are taken")):
        request = oip.ModelInferRequest(model_name="model")
        request.inputs.add(name="x", datatype="BYTES", shape=[len(values)])
        request.raw_input_contents.append(encode_raw("BYTES", np.array(values, dtype=object)))
        with pytest.raises(InvalidInput, match=limit):
            decoder_of(interface).decode(request)


def test_many_wrong_inputs_cost_no_more_than_a_few() -> None:
    """Names that the model does not have are looked at up to a limit; ten thousand of them block nobody."""
    interface = pb.Interface(inputs=[pb.Input(name="x", datatype=pb.DATATYPE_FP64)])
    request = oip.ModelInferRequest(model_name="model")
    for index in range(10_000):
        request.inputs.add(name=f"y{index}")
    with pytest.raises(InvalidInput) as raised:
        decoder_of(interface).decode(request)
    assert len(raised.value.violations) < 10


@given(
    values=st.lists(
        VALUES["FP64"] | st.sampled_from([float("-inf"), float("inf"), 1e39, -1e39]), min_size=1, max_size=5
    ),
    bounds=st.sampled_from([(0.0, None), (None, 0.0), (-1.0, 1.0), (None, None)]),
    missing=st.sampled_from([pb.MISSING_POLICY_ALLOWED, pb.MISSING_POLICY_REFUSED]),
)
def test_a_wrong_value_is_named_once(
    values: list[float], bounds: tuple[float | None, float | None], missing: pb.MissingPolicy.ValueType
) -> None:
    """Whatever is wrong with a number, also in several ways at once, one sentence says it."""
    interface = pb.Interface()
    low, high = bounds
    interface.inputs.add(name="one", datatype=pb.DATATYPE_FP64, minimum=low, maximum=high, missing=missing)
    request = oip.ModelInferRequest(model_name="model")
    request.inputs.add(name="one", datatype="FP64", shape=[len(values)])
    request.raw_input_contents.append(encode_raw("FP64", np.array(values)))
    wrong = [
        row
        for row, value in enumerate(values)
        if (missing == pb.MISSING_POLICY_REFUSED if math.isnan(value) else not _fits(value, low, high))
    ]
    found: list[int | None] = []
    try:
        decoder_of(interface).decode(request)
    except InvalidInput as error:
        found = [violation.row for violation in error.violations]
    assert sorted(row for row in found if row is not None) == wrong


def _fits(value: float, low: float | None, high: float | None) -> bool:
    """Whether a number is within the bounds, and a finite one in single precision."""
    return (
        abs(value) < float(np.finfo(np.float32).max)
        and (low is None or value >= low)
        and (high is None or value <= high)
    )
