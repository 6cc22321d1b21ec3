"""Triton's own client, which knows nothing of us, gets right answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from tritonclient import grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from sardonyx import __version__
from server.scene import CLASSIFIER, DATATYPES, REGRESSOR, array_of, failure_of, frame_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from server.scene import Scene

ROWS = 40
#: By field of service_pb2.InferTensorContents.
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"}


@pytest.fixture(scope="module")
def client(address: str, channel: grpc.Channel) -> Iterator[Any]:
    """Triton's client of the server, which is ready by then."""
    with triton.InferenceServerClient(address) as client:
        yield client


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Any:
    """The stub that was generated from Triton's own .proto."""
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def table_inputs(frame: pd.DataFrame) -> list[Any]:
    """The classifier's inputs with raw contents, as Triton's client writes them."""
    inputs = []
    for name, datatype in DATATYPES.items():
        values = frame[name].to_numpy()
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values.astype(object) if datatype == "BYTES" else values)
        inputs.append(tensor)
    return inputs


def typed_request(frame: pd.DataFrame) -> Any:
    """The same with typed contents, by hand."""
    request = service_pb2.ModelInferRequest(model_name=CLASSIFIER, id="by hand")
    for name, datatype in DATATYPES.items():
        values = frame[name].tolist()
        contents = [value.encode() for value in values] if datatype == "BYTES" else values
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[len(frame)])
        getattr(tensor.contents, FIELDS[datatype]).extend(contents)
    return request


def test_it_is_live_and_ready(client: Any) -> None:
    """Server and models are live and ready; a model is so by name, by version and by interface."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(CLASSIFIER)
    assert client.is_model_ready(CLASSIFIER, "1")
    assert client.is_model_ready(CLASSIFIER, "v1")


def test_server_metadata(client: Any) -> None:
    """The server says its name and release, and no extensions."""
    metadata = client.get_server_metadata()
    assert (metadata.name, metadata.version, list(metadata.extensions)) == ("sardonyx", __version__, [])


def test_model_metadata_of_a_table(client: Any) -> None:
    """Each column is an input with the protocol's type; labels and probabilities are outputs."""
    metadata = client.get_model_metadata(CLASSIFIER)
    assert (metadata.name, list(metadata.versions), metadata.platform) == (CLASSIFIER, ["1"], "onnx")
    assert {each.name: (each.datatype, list(each.shape)) for each in metadata.inputs} == {
        name: (datatype, [-1]) for name, datatype in DATATYPES.items()
    }
    assert {each.name: (each.datatype, list(each.shape)) for each in metadata.outputs} == {
        "label": ("BYTES", [-1]),
        "probabilities": ("FP64", [-1, 2]),
    }


def test_model_metadata_of_an_array(client: Any) -> None:
    """A plain array is one input with its width."""
    metadata = client.get_model_metadata(REGRESSOR)
    assert [(each.datatype, list(each.shape)) for each in metadata.inputs] == [("FP64", [-1, 3])]
    assert [(each.datatype, list(each.shape)) for each in metadata.outputs] == [("FP64", [-1])]


def test_raw_contents_get_the_source_models_answers(client: Any, scene: Scene) -> None:
    """A table of text and numbers in raw contents is answered as the source model answers it, in raw contents."""
    frame = frame_of(11, ROWS)
    result = client.infer(CLASSIFIER, table_inputs(frame), request_id="mine")
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == (CLASSIFIER, "1", "mine")
    assert len(response.raw_output_contents) == len(response.outputs)
    labels = [label.decode() for label in result.as_numpy("label")]
    assert labels == scene.classifier.predict(frame).tolist()
    np.testing.assert_allclose(
        result.as_numpy("probabilities"), scene.classifier.predict_proba(frame), rtol=1e-5, atol=1e-6
    )


def test_typed_contents_get_the_source_models_answers(stub: Any, scene: Scene) -> None:
    """The same table in typed contents is answered alike, in typed contents."""
    frame = frame_of(12, ROWS)
    response = stub.ModelInfer(typed_request(frame))
    outputs = {each.name: each for each in response.outputs}
    assert (response.id, list(response.raw_output_contents)) == ("by hand", [])
    assert list(outputs["label"].shape) == [ROWS]
    assert [label.decode() for label in outputs["label"].contents.bytes_contents] == (
        scene.classifier.predict(frame).tolist()
    )
    probabilities = np.reshape(outputs["probabilities"].contents.fp64_contents, outputs["probabilities"].shape)
    np.testing.assert_allclose(probabilities, scene.classifier.predict_proba(frame), rtol=1e-5, atol=1e-6)


def test_raw_and_typed_contents_get_the_same_bytes_of_answer(client: Any, stub: Any) -> None:
    """How the tensors travel makes no difference to a single bit of the answer."""
    frame = frame_of(13, ROWS)
    raw = client.infer(CLASSIFIER, table_inputs(frame)).as_numpy("probabilities")
    typed = {each.name: each for each in stub.ModelInfer(typed_request(frame)).outputs}["probabilities"]
    assert raw.ravel().tolist() == list(typed.contents.fp64_contents)


def test_an_unknown_category_that_the_model_allows_is_answered_as_it_answers(client: Any, scene: Scene) -> None:
    """What OneHotEncoder(handle_unknown='ignore') takes, the server takes."""
    frame = frame_of(14, ROWS).assign(carrier="Zürich")
    result = client.infer(CLASSIFIER, table_inputs(frame))
    np.testing.assert_allclose(
        result.as_numpy("probabilities"), scene.classifier.predict_proba(frame), rtol=1e-5, atol=1e-6
    )


def test_an_array_gets_the_source_models_answers(client: Any, scene: Scene) -> None:
    """A plain array in raw contents is answered as the source model answers it."""
    array = array_of(15, ROWS)
    metadata = client.get_model_metadata(REGRESSOR)
    tensor = triton.InferInput(metadata.inputs[0].name, list(array.shape), "FP64")
    tensor.set_data_from_numpy(array)
    answer = client.infer(REGRESSOR, [tensor]).as_numpy(metadata.outputs[0].name)
    np.testing.assert_allclose(answer, scene.regressor.predict(array), rtol=1e-5, atol=1e-6)


def test_only_the_outputs_asked_for_are_sent_in_that_order(client: Any) -> None:
    """A client that asks for one output gets that one; of two, in its own order."""
    inputs = table_inputs(frame_of(16, ROWS))
    for names in (["probabilities"], ["label"], ["probabilities", "label"]):
        outputs = [triton.InferRequestedOutput(name) for name in names]
        response = client.infer(CLASSIFIER, inputs, outputs=outputs).get_response()
        assert [each.name for each in response.outputs] == names


@pytest.mark.parametrize(
    ("model", "output", "parameter", "hint"),
    [
        (CLASSIFIER, "probabilities", "classification", "read classes from the output 'label' or 'probabilities'"),
        (CLASSIFIER, "label", "shared_memory_region", "the answer holds every value"),
        (REGRESSOR, "value", "classification", "the answer holds every value"),
    ],
)
def test_an_answer_in_another_form_is_refused(stub: Any, model: str, output: str, parameter: str, hint: str) -> None:
    """What makes Triton answer otherwise is never left out of account; what it does not know either may be there."""
    request = typed_request(frame_of(seed=25, rows=1))
    if model == REGRESSOR:
        request = service_pb2.ModelInferRequest(model_name=REGRESSOR)
        tensor = request.inputs.add(name="features", datatype="FP64", shape=[1, 3])
        tensor.contents.fp64_contents.extend([1.0, 2.0, 3.0])
    asked = request.outputs.add(name=output)
    asked.parameters["our-own"].string_param = "kept to ourselves"
    assert [each.name for each in stub.ModelInfer(request).outputs] == [output]
    asked.parameters[parameter].int64_param = 2
    failure = failure_of(lambda: stub.ModelInfer(request))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert hint in failure.violations[f"outputs[{output}].parameters[{parameter}]"]


def test_its_client_is_told_that_there_is_no_classification(client: Any) -> None:
    """`class_count` of Triton's client is refused in a sentence."""
    asked = [triton.InferRequestedOutput("probabilities", class_count=2)]
    with pytest.raises(InferenceServerException, match=r"classification.*not offered"):
        client.infer(CLASSIFIER, table_inputs(frame_of(seed=25, rows=1)), outputs=asked)


def test_columns_as_rows_by_one_are_right(client: Any, scene: Scene) -> None:
    """Triton's habit of [rows, 1] is the same column."""
    frame = frame_of(17, ROWS)
    inputs = table_inputs(frame)
    for tensor in inputs:
        tensor.set_shape([ROWS, 1])
    labels = [label.decode() for label in client.infer(CLASSIFIER, inputs).as_numpy("label")]
    assert labels == scene.classifier.predict(frame).tolist()


def test_a_version_and_an_interface_can_be_asked_for(client: Any) -> None:
    """model_version takes a version or an interface, and the answer says by which route it came."""
    inputs = table_inputs(frame_of(18, rows=1))
    for selector, route in (("", "live"), ("1", "pinned"), ("v1", "live")):
        response = client.infer(CLASSIFIER, inputs, model_version=selector).get_response()
        assert response.model_version == "1"
        assert response.parameters["sardonyx_route"].string_param == route
        assert response.parameters["sardonyx_interface_major"].int64_param == 1


def test_its_errors_say_what_ours_say(client: Any) -> None:
    """Triton's exception carries our code and our sentence."""
    with pytest.raises(InferenceServerException, match="Did you mean 'flight-delay'") as caught:
        client.infer("flight-dela", table_inputs(frame_of(19, rows=1)))
    assert caught.value.status() == "StatusCode.NOT_FOUND"


async def test_its_asyncio_client_gets_the_same_answers(address: str, channel: grpc.Channel, scene: Scene) -> None:
    """Triton's asyncio client is served alike."""
    from tritonclient.grpc import aio

    frame = frame_of(20, ROWS)
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_model_ready(CLASSIFIER)
        result = await client.infer(CLASSIFIER, table_inputs(frame))
    assert [label.decode() for label in result.as_numpy("label")] == scene.classifier.predict(frame).tolist()
