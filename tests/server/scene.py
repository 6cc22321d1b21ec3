"""What the server's tests share: models with known answers, requests by hand, and a status as a caller reads it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import numpy.typing as npt
import pandas as pd
from google.rpc import error_details_pb2, status_pb2
from onnx import GraphProto, TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from sardonyx import status
from sardonyx.interface import digest
from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_contents, encode_raw
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import export, promote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Array = npt.NDArray[Any]

CLASSIFIER: Final = "flight-delay"
REGRESSOR: Final = "arrival"
LOOKUP: Final = "lookup"
SLOW: Final = "slow"
#: The number that keeps the slow model busy for a second or two.
LONG: Final = 8000
#: For a server of one worker that ends at once.
ALONE: Final = ("--workers", "1", "--drain-grace-s", "0")
#: How long a test waits for what must come.
PATIENCE_S: Final = 20.0

#: The classifier's inputs, by the protocol's types.
DATATYPES: Final = {"distance": "FP64", "hour": "INT64", "carrier": "BYTES", "origin": "BYTES"}


@dataclass(frozen=True, slots=True)
class Scene:
    """A registry with live models, and the models that they were made from.

    Attributes:
        registry: the folder.
        classifier: takes a table: distance, hour, carrier (unknown ones allowed), origin (unknown ones refused).
        regressor: takes three numbers in an array.
    """

    registry: Path
    classifier: Pipeline
    regressor: LinearRegression


@dataclass(frozen=True, slots=True)
class Failure:
    """A call's status, as a client in any language reads it.

    Attributes:
        code: gRPC's.
        message: gRPC's.
        status: google.rpc.Status; None where the server sent none.
    """

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status | None

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """The one ErrorInfo."""
        info = error_details_pb2.ErrorInfo()
        assert self._unpack(info), "no ErrorInfo"
        return info

    @property
    def violations(self) -> dict[str, str]:
        """BadRequest: descriptions by field."""
        request = error_details_pb2.BadRequest()
        assert self._unpack(request), "no BadRequest"
        return {violation.field: violation.description for violation in request.field_violations}

    @property
    def retry_after_s(self) -> float:
        """RetryInfo, in seconds."""
        retry = error_details_pb2.RetryInfo()
        assert self._unpack(retry), "no RetryInfo"
        return retry.retry_delay.ToTimedelta().total_seconds()

    @property
    def detail_names(self) -> list[str]:
        """The types of the details, in order."""
        return [detail.TypeName().rpartition(".")[2] for detail in self.status.details] if self.status else []

    def _unpack(self, detail: Any) -> bool:
        assert self.status is not None, f"no google.rpc.Status with {self.code}: {self.message}"
        return any(packed.Unpack(detail) for packed in self.status.details)


def frame_of(seed: int, rows: int) -> pd.DataFrame:
    """Rows as the classifier takes them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance": random.normal(size=rows),
            "hour": random.integers(0, 24, size=rows),
            "carrier": random.choice(["AA", "B6", "UA"], size=rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], size=rows),
        }
    )


def truth_of(frame: pd.DataFrame) -> Array:
    """A class that depends on every column."""
    late = frame["distance"] + frame["hour"] / 12 + (frame["carrier"] == "UA") - (frame["origin"] == "LGA") > 1.2
    return np.where(late, "late", "punctual")


def fit_classifier(seed: int) -> Pipeline:
    """A table with text and numbers, to one of two classes."""
    prepare = ColumnTransformer(
        [
            ("numbers", "passthrough", ["distance", "hour"]),
            ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("origin", OneHotEncoder(handle_unknown="error"), ["origin"]),
        ]
    )
    frame = frame_of(seed, rows=300)
    return Pipeline([("prepare", prepare), ("model", LogisticRegression(max_iter=1000))]).fit(frame, truth_of(frame))


def array_of(seed: int, rows: int) -> Array:
    """Rows as the regressor takes them."""
    return np.random.default_rng(seed).normal(size=(rows, 3))


def target_of(array: Array) -> Array:
    """What the regressor learns."""
    return np.asarray(array @ np.array([1.0, -2.0, 0.5]) + 3.0)


def fit_regressor(seed: int) -> LinearRegression:
    """A plain array, to one number; models of two seeds differ."""
    array = array_of(seed, rows=300)
    return LinearRegression().fit(array, target_of(array) + seed)


def export_regressor(registry: Path, name: str, seed: int) -> int:
    """Export a regressor; its version, which nobody is led to yet."""
    array = array_of(seed + 100, rows=100)
    holdout = (array, target_of(array))
    return export(fit_regressor(seed), name=name, holdout=holdout, registry=str(registry)).version


def make_scene(registry: Path) -> Scene:
    """Export and promote all models."""
    scene = Scene(registry, fit_classifier(seed=1), fit_regressor(seed=1))
    frame = frame_of(seed=2, rows=200)
    export(scene.classifier, name=CLASSIFIER, holdout=(frame, truth_of(frame)), registry=str(registry))
    promote(CLASSIFIER, 1, registry=str(registry))
    promote(REGRESSOR, export_regressor(registry, REGRESSOR, seed=1), registry=str(registry))
    publish_by_hand(registry, LOOKUP, lookup_graph(), golden={0: 10.0, 2: 30.0})
    promote(LOOKUP, 1, registry=str(registry))
    # Enough for the server to see that these runs are not to be made on its event loop.
    publish_by_hand(registry, SLOW, slow_graph(), golden={10: 10.0})
    promote(SLOW, 1, registry=str(registry))
    return scene


def lookup_graph() -> GraphProto:
    """A graph that runs for its golden rows and fails for a number beyond its table, as no exported model should."""
    return helper.make_graph(
        [helper.make_node("Gather", ["table", "number"], ["value"])],
        "lookup",
        [helper.make_tensor_value_info("number", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array([10.0, 20.0, 30.0]), "table")],
    )


def endless_graph() -> GraphProto:
    """A graph that goes on in a loop, and would then answer each row's own number."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_on"], ["goes_on"]), helper.make_node("Identity", ["before"], ["after"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.DOUBLE, []),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.DOUBLE, []),
        ],
    )
    return helper.make_graph(
        [
            helper.make_node("Loop", ["", "true", "one"], ["never"], body=body),
            helper.make_node("Cast", ["number"], ["real"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["real", "never"], ["value"]),
        ],
        "endless",
        [helper.make_tensor_value_info("number", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.array(True), "true"), numpy_helper.from_array(np.array(1.0), "one")],
    )


def promote_endless(registry: Path, name: str) -> None:
    """Make live what is never proven."""
    publish_by_hand(registry, name, endless_graph(), golden={1: 1.0, 2: 2.0})
    promote(name, 1, registry=str(registry))


def slow_graph() -> GraphProto:
    """A graph that multiplies matrices as often as its first row says, and answers each row's own number."""
    matrix = [200, 200]
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["before", "identity"], ["after"]),
            helper.make_node("Identity", ["go_on"], ["goes_on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.DOUBLE, matrix),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.DOUBLE, matrix),
        ],
    )
    return helper.make_graph(
        [
            helper.make_node("Gather", ["number", "first"], ["column"], axis=0),
            helper.make_node("Squeeze", ["column"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "", "ones"], ["product"], body=body),
            helper.make_node("ReduceMean", ["product"], ["one"], keepdims=0),
            helper.make_node("Cast", ["number"], ["real"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["real", "one"], ["value"]),
        ],
        "slow",
        [helper.make_tensor_value_info("number", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [
            numpy_helper.from_array(np.array(0), "first"),
            numpy_helper.from_array(np.ones(matrix), "ones"),
            numpy_helper.from_array(np.eye(matrix[0]), "identity"),
        ],
    )


def plain_graph() -> GraphProto:
    """A graph that answers each row's own number."""
    return helper.make_graph(
        [helper.make_node("Cast", ["number"], ["value"], to=TensorProto.DOUBLE)],
        "plain",
        [helper.make_tensor_value_info("number", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
    )


def publish_by_hand(registry: Path, name: str, graph: GraphProto, golden: Mapping[int, float]) -> None:
    """Publish a graph from one INT64 to one FP64, as no scikit-learn model is."""
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    number = pb.Input(name="number", number=1, datatype=pb.DATATYPE_INT64, missing=pb.MISSING_POLICY_REFUSED)
    value = pb.Output(name="value", number=1, kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)
    manifest = manifest_pb2.Manifest(
        interface=pb.Interface(task=pb.TASK_REGRESSION, inputs=[number], outputs=[value]),
        interface_major=1,
        graph=manifest_pb2.Graph(
            inputs=[manifest_pb2.Binding(name="number", tensor="number", datatype=pb.DATATYPE_INT64)],
            outputs=[manifest_pb2.Binding(name="value", tensor="value", datatype=pb.DATATYPE_FP64)],
        ),
        golden=manifest_pb2.Golden(
            inputs=[manifest_pb2.Column(name="number", integers=manifest_pb2.Integers(values=list(golden)))],
            outputs=[manifest_pb2.Column(name="value", doubles=manifest_pb2.Doubles(values=list(golden.values())))],
        ),
    )
    manifest.interface_digest = digest(manifest.interface)
    Registry(str(registry), create=True).publish(name, onnx.SerializeToString(), lambda _versions: manifest)


def blob_path(registry: Path, model: str, version: int) -> Path:
    """The file that holds a version's graph."""
    digest = Registry(str(registry)).manifest(model, version).artifact.sha256
    (path,) = [path for path in registry.rglob(f"*{digest}*") if path.is_file()]
    return path


def columns_of(frame: pd.DataFrame) -> dict[str, Array]:
    """The classifier's tensors, by name."""
    return {name: frame[name].to_numpy() for name in frame.columns}


def request_of(
    model: str, columns: Mapping[str, Array], datatypes: Mapping[str, str], *, raw: bool = True, version: str = ""
) -> oip.ModelInferRequest:
    """A request by hand, with raw bytes or typed contents."""
    request = oip.ModelInferRequest(model_name=model, model_version=version)
    for name, values in columns.items():
        tensor = request.inputs.add(name=name, datatype=datatypes[name], shape=values.shape)
        if raw:
            request.raw_input_contents.append(encode_raw(datatypes[name], values))
        else:
            encode_contents(datatypes[name], values, tensor.contents)
    return request


def classifier_request(frame: pd.DataFrame, *, raw: bool = True, version: str = "") -> oip.ModelInferRequest:
    """A request to the classifier."""
    return request_of(CLASSIFIER, columns_of(frame), DATATYPES, raw=raw, version=version)


def regressor_request(array: Array, *, model: str = REGRESSOR, version: str = "") -> oip.ModelInferRequest:
    """A request to a regressor, whose one input is named by the exporter."""
    return request_of(model, {"features": array}, {"features": "FP64"}, version=version)


def number_request(model: str, *numbers: int) -> oip.ModelInferRequest:
    """A request to one of the models made by hand."""
    return request_of(model, {"number": np.array(numbers)}, {"number": "INT64"})


def infer(channel: grpc.Channel, request: oip.ModelInferRequest, timeout_s: float = PATIENCE_S) -> Any:
    """ModelInfer; the response."""
    return _model_infer(channel)(request, timeout=timeout_s)


def infer_later(channel: grpc.Channel, request: oip.ModelInferRequest) -> Any:
    """ModelInfer; a future of the response."""
    return _model_infer(channel).future(request, timeout=PATIENCE_S)


def _model_infer(channel: grpc.Channel) -> grpc.UnaryUnaryMultiCallable[Any, Any]:
    return channel.unary_unary(
        f"/{oip.SERVICE}/ModelInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelInferResponse.FromString,
    )


def ask(channel: grpc.Channel, method: str, request: Any, response: Any, timeout_s: float = PATIENCE_S) -> Any:
    """Any unary call of the Open Inference Protocol."""
    call = channel.unary_unary(
        f"/{oip.SERVICE}/{method}",
        request_serializer=type(request).SerializeToString,
        response_deserializer=response.FromString,
    )
    return call(request, timeout=timeout_s)


def get_model(channel: grpc.Channel, model: str) -> serving.Model:
    """ModelService.GetModel."""
    call = channel.unary_unary(
        "/sardonyx.serving.v1.ModelService/GetModel",
        request_serializer=serving.GetModelRequest.SerializeToString,
        response_deserializer=serving.GetModelResponse.FromString,
    )
    return call(serving.GetModelRequest(model=model), timeout=PATIENCE_S).model


def get_server(channel: grpc.Channel) -> serving.GetServerResponse:
    """ModelService.GetServer."""
    call = channel.unary_unary(
        "/sardonyx.serving.v1.ModelService/GetServer",
        request_serializer=serving.GetServerRequest.SerializeToString,
        response_deserializer=serving.GetServerResponse.FromString,
    )
    return call(serving.GetServerRequest(), timeout=PATIENCE_S)


def answers(channel: grpc.Channel, request: oip.ModelInferRequest) -> bool:
    """Whether a request is answered now."""
    try:
        infer(channel, request)
    except grpc.RpcError:
        return False
    return True


def is_ready(channel: grpc.Channel) -> bool:
    """Whether every model answers."""
    return bool(ask(channel, "ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse).ready)


def failure_of(call: Callable[[], object]) -> Failure:
    """The status of a call that must fail."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return read_failure(error)
    raise AssertionError(f"answered: {answer!r}")


def read_failure(error: Any) -> Failure:
    """The status of a call that failed; its two forms must agree."""
    found = None
    for key, value in error.trailing_metadata() or ():
        if key == status.DETAILS_KEY:
            assert found is None, "two statuses"
            found = status_pb2.Status.FromString(value)
    if found is not None:
        assert (found.code, found.message) == (error.code().value[0], error.details())
    return Failure(error.code(), error.details(), found)


def value_of(response: oip.ModelInferResponse) -> list[float]:
    """A regressor's answer that came raw."""
    values: list[float] = np.frombuffer(response.raw_output_contents[0], dtype="<f8").tolist()
    return values


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what must come; fails the test where it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def states_of(channel: grpc.Channel, name: str) -> dict[int, serving.State.ValueType]:
    """The states of a model's versions; none where the server has not read of it yet."""
    try:
        model = get_model(channel, name)
    except grpc.RpcError as error:
        # A server that has just begun denies no model, and knows none.
        if read_failure(error).code not in {grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE}:
            raise
        return {}
    return {version.version: version.state for version in model.versions}
