"""Writing answers: the bytes put together by hand are what the message class writes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.errors import InvalidInput
from sardonyx.interface import DATATYPE_NAMES
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_contents, encode_raw
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_server.encode import Encoder

TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=300)
KINDS: Final[dict[pb.Datatype.ValueType, Any]] = {
    pb.DATATYPE_FP64: np.float64,
    pb.DATATYPE_FP32: np.float32,
    pb.DATATYPE_INT64: np.int64,
    pb.DATATYPE_BOOL: np.bool_,
    pb.DATATYPE_BYTES: object,
}
OUTPUTS: Final = st.lists(
    st.builds(pb.Output, name=TEXT, datatype=st.sampled_from(list(KINDS)), width=st.sampled_from([0, 1, 2, 200])),
    min_size=1,
    max_size=3,
    unique_by=lambda output: output.name,
)


def answers_of(output: pb.Output, rows: int, seed: int) -> Any:
    """What a session might answer: any values of the interface's type and shape."""
    shape = (rows, output.width) if output.width else (rows,)
    numbers = np.random.default_rng(seed).normal(size=shape) * 100
    if output.datatype == pb.DATATYPE_BYTES:
        return numbers.astype(str).astype(object)
    return numbers > 0 if output.datatype == pb.DATATYPE_BOOL else numbers.astype(KINDS[output.datatype])


def by_the_class(
    manifest: manifest_pb2.Manifest, values: list[Any], positions: tuple[int, ...], name: str, route: str, *, raw: bool
) -> oip.ModelInferResponse:
    """The same answer through the message class."""
    response = oip.ModelInferResponse(model_name=manifest.model, model_version=str(manifest.version), id=name)
    response.parameters["sardonyx_interface_major"].int64_param = manifest.interface_major
    response.parameters["sardonyx_route"].string_param = route
    for position in positions:
        output = manifest.interface.outputs[position]
        datatype = DATATYPE_NAMES[output.datatype]
        tensor = response.outputs.add(name=output.name, datatype=datatype, shape=values[position].shape)
        if raw:
            response.raw_output_contents.append(encode_raw(datatype, values[position]))
        else:
            encode_contents(datatype, values[position], tensor.contents)
    return response


@settings(deadline=None)
@given(
    outputs=OUTPUTS,
    model=TEXT,
    version=st.integers(1, 2**62),
    major=st.integers(1, 2**31 - 1),
    name=TEXT,
    route=st.sampled_from(["live", "canary", "pinned"]),
    rows=st.sampled_from([1, 2, 127, 128, 300]),
    raw=st.booleans(),
    data=st.data(),
)
def test_the_bytes_are_the_message(
    outputs: list[pb.Output],
    model: str,
    version: int,
    major: int,
    name: str,
    route: str,
    rows: int,
    *,
    raw: bool,
    data: st.DataObject,
) -> None:
    """Whatever the version, the outputs asked for and the answers: parsed, the bytes equal the official message."""
    manifest = manifest_pb2.Manifest(
        model=model, version=version, interface_major=major, interface=pb.Interface(outputs=outputs)
    )
    positions = data.draw(st.lists(st.integers(0, len(outputs) - 1), min_size=1, max_size=3).map(tuple))
    values = [answers_of(output, rows, seed) for seed, output in enumerate(outputs)]
    encoder = Encoder(manifest)
    expected = by_the_class(manifest, values, positions, name, route, raw=raw)
    for _ in range(2):  # the second time from what was kept of the first
        written = encoder.encode(values, positions, name, route, raw=raw)
        assert oip.ModelInferResponse.FromString(written) == expected


def test_an_output_that_there_is_not_is_named() -> None:
    """Asking for an output by a wrong name is the caller's mistake, and the nearest name is told."""
    encoder = Encoder(
        manifest_pb2.Manifest(interface=pb.Interface(outputs=[pb.Output(name="label", datatype=pb.DATATYPE_INT64)]))
    )
    request = oip.ModelInferRequest()
    request.outputs.add(name="lable")
    with pytest.raises(InvalidInput, match="Did you mean 'label'"):
        encoder.requested(request.outputs)
