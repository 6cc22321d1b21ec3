"""What a server says becomes an answer, or an error of the family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx.client.answer import Answer, ModelInfo
from sardonyx.client.wire import read_metadata, read_reply
from sardonyx.errors import SardonyxError
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_contents, encode_raw
from sardonyx.prediction_id import PredictionId

#: A shared processor may pause any example.
untimed = settings(deadline=None)

INFO = ModelInfo("m", (), (), (), ("a", "b"), {})


def _response(values: np.ndarray[Any, Any], *, raw: bool) -> oip.ModelInferResponse:
    response = oip.ModelInferResponse(model_name="m", model_version="7", id="i")
    tensor = response.outputs.add(name="value", datatype="FP64", shape=values.shape)
    if raw:
        response.raw_output_contents.append(encode_raw("FP64", values))
    else:
        encode_contents("FP64", values, tensor.contents)
    return response


@untimed
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.booleans(), st.integers(0, 3))
def test_each_caller_gets_its_own_rows(rows: list[int], raw: bool, width: int) -> None:
    """The answers to the callers of an answer, one after the other, are the whole answer; ids and shapes are kept."""
    total = sum(rows)
    values = np.arange(float(total * max(width, 1))).reshape((total, width) if width else (total,))
    reply = read_reply(_response(values, raw=raw), INFO)
    assert reply.holds(total)
    assert not reply.holds(total + 1)
    start, pieces = 0, []
    for caller, count in enumerate(rows):
        answer = Answer(reply, f"id-{caller}", start, start + count)
        assert answer.prediction_ids == [PredictionId(f"id-{caller}", row) for row in range(count)]
        assert (answer.model, answer.version, answer.classes, len(answer)) == ("m", 7, ("a", "b"), count)
        pieces.append(answer.outputs["value"])
        start += count
    np.testing.assert_array_equal(np.concatenate(pieces), values)


@pytest.mark.parametrize("change", ["cut", "type", "shape", "contents", "missing", "negative"])
def test_an_answer_that_cannot_be_read_is_an_error_of_the_family(change: str) -> None:
    """Whatever a foreign server makes of its tensors, the caller gets a SardonyxError."""
    response = _response(np.ones(3), raw=change != "contents")
    if change == "cut":
        response.raw_output_contents[0] = b"12345"
    elif change == "type":
        response.outputs[0].datatype = "FP16"
    elif change == "shape":
        response.outputs[0].shape[0] = 4
    elif change == "contents":
        del response.outputs[0].contents.fp64_contents[:]
    elif change == "missing":
        response.outputs.add(name="more", datatype="FP64", shape=[3])
    else:
        response.outputs[0].shape[0] = -3
    with pytest.raises(SardonyxError, match="cannot be read"):
        read_reply(response, INFO)


@pytest.mark.parametrize("version", ["", "canary", "2.1", "²", "٣", "9" * 5000])
def test_a_version_of_another_kind_is_none(version: str) -> None:
    """Another server's versions may be any text: then it has no number."""
    response = _response(np.ones(3), raw=True)
    response.model_version = version
    assert read_reply(response, INFO).version == 0


def test_metadata_of_any_server_is_read() -> None:
    """Types and shapes that sardonyx does not have are described as they are."""
    response = oip.ModelMetadataResponse(name="m", versions=["1"], platform="other")
    response.inputs.add(name="x", datatype="FP16", shape=[-1, 4])
    response.inputs.add(name="y", datatype="BYTES", shape=[-1])
    response.inputs.add(name="z", datatype="FP32", shape=[-1, -1])
    info = read_metadata(response)
    assert [(each.name, each.datatype, each.width) for each in info.inputs] == [
        ("x", "FP16", 4),
        ("y", "BYTES", 0),
        ("z", "FP32", 0),
    ]
    assert (info.classes, dict(info.properties)) == ((), {})
