"""The models that are served, and requests to them."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sardonyx.interface import digest
from sardonyx.oip import messages as oip
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.typed.columns import write_column
from sardonyx_exporter import export, promote

if TYPE_CHECKING:
    from pathlib import Path

    from onnx import ModelProto

    from sardonyx.typed import TypedService

Array = npt.NDArray[Any]

SMALL: Final = "bench"
NAMED: Final = "named"
TREES: Final = "trees"
HEAVY: Final = "heavy"
COLUMNS: Final = 30
#: What one run of the heavy model is to take.
HEAVY_RUN_S: Final = 0.05
#: A product of two such matrices takes about half a millisecond: fine enough to count a run's time in.
_MATRIX: Final = 256


def add_small(registry: Path, strength: float = 1.0) -> int:
    """A logistic regression on 30 numbers, about 10 µs a run: what surrounds it is what is measured; its version.

    Args:
        registry: where it is added.
        strength: scikit-learn's C: versions that differ in it differ in their answers.
    """
    features, target = load_breast_cancer(return_X_y=True)
    train, hold_out, train_target, hold_out_target = train_test_split(features, target, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=strength)).fit(train, train_target)
    return export(pipeline, name=SMALL, holdout=(hold_out, hold_out_target), registry=str(registry)).version


def add_named(registry: Path) -> int:
    """The small model fitted on a table: thirty inputs, each with a name of its own; live at once; its version."""
    features, target = load_breast_cancer(return_X_y=True, as_frame=True)
    features.columns = names_of(COLUMNS)
    train, hold_out, train_target, hold_out_target = train_test_split(features, target, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, train_target)
    exported = export(pipeline, name=NAMED, holdout=(hold_out, hold_out_target), registry=str(registry))
    return _made_live(NAMED, exported.version, registry)


def add_trees(registry: Path) -> int:
    """A hundred boosted trees on 30 numbers, live at once; its version."""
    features, target = make_classification(n_samples=4000, n_features=COLUMNS, n_informative=12, random_state=0)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(features[:3000], target[:3000])
    holdout = (features[3000:], target[3000:])
    return _made_live(TREES, export(model, name=TREES, holdout=holdout, registry=str(registry)).version, registry)


def add_heavy(registry: Path) -> int:
    """A chain of matrix products that takes 50 ms a run on this host live at once; its version."""
    steps = max(1, round(HEAVY_RUN_S / _seconds_per_step()))
    datatype, kind = pb.DATATYPE_FP64, pb.OUTPUT_KIND_VALUE
    number = pb.Input(name="number", number=1, datatype=datatype, missing=pb.MISSING_POLICY_REFUSED)
    value = pb.Output(name="value", number=1, kind=kind, datatype=datatype)
    one = manifest_pb2.Doubles(values=[1.0])
    manifest = manifest_pb2.Manifest(
        interface=pb.Interface(task=pb.TASK_REGRESSION, inputs=[number], outputs=[value]),
        interface_major=1,
        graph=manifest_pb2.Graph(
            inputs=[manifest_pb2.Binding(name="number", tensor="number", datatype=datatype)],
            outputs=[manifest_pb2.Binding(name="value", tensor="value", datatype=datatype)],
        ),
        golden=manifest_pb2.Golden(
            inputs=[manifest_pb2.Column(name="number", doubles=one)],
            outputs=[manifest_pb2.Column(name="value", doubles=one)],
        ),
    )
    manifest.interface_digest = digest(manifest.interface)
    store = Registry(str(registry), create=True)
    published = store.publish(HEAVY, _chain(steps).SerializeToString(), lambda _versions: manifest)
    return _made_live(HEAVY, published.version, registry)


def graph_of(registry: Path, model: str, version: int) -> bytes:
    """A version's ONNX file."""
    store = Registry(str(registry))
    return store.blob(store.manifest(model, version).artifact)


def rows_of(count: int) -> Array:
    """Rows as the small model and the trees take them, shape [count, 30]."""
    return np.random.default_rng(0).normal(size=(count, COLUMNS))


def request(model: str, rows: int) -> bytes:
    """A ModelInferRequest of random rows, as raw FP64."""
    return _request(model, "features", rows_of(rows))


def names_of(count: int) -> list[str]:
    """The names of the named model's inputs."""
    return [f"column{number}" for number in range(count)]


def named_request(rows: int) -> bytes:
    """A ModelInferRequest to the named model, a raw FP64 tensor for each input."""
    message = oip.ModelInferRequest(model_name=NAMED, id="bench")
    for name, values in zip(names_of(COLUMNS), rows_of(rows).T, strict=True):
        message.inputs.add(name=name, datatype="FP64", shape=[rows])
        message.raw_input_contents.append(values.tobytes())
    return message.SerializeToString()


def typed_request(service: TypedService) -> bytes:
    """A PredictRequest of the first of those rows."""
    message = service.predict_request(prediction_id="bench")
    (row,) = rows_of(1).tolist()
    values = dict(zip(names_of(COLUMNS), row, strict=True))
    for field in service.form.inputs:
        setattr(message.features, field.name, values[field.tensor.name])
    written: bytes = message.SerializeToString()
    return written


def typed_batch_request(service: TypedService, rows: int) -> bytes:
    """A PredictBatchRequest of so many of those rows."""
    message = service.batch_request(prediction_id="bench")
    columns = dict(zip(names_of(COLUMNS), rows_of(rows).T, strict=True))
    for field in service.form.inputs:
        tensor = field.tensor
        message.columns.MergeFromString(write_column(field.number, tensor.datatype, columns[tensor.name]))
    written: bytes = message.SerializeToString()
    return written


def heavy_request() -> bytes:
    """A ModelInferRequest of one row to the heavy model."""
    return _request(HEAVY, "number", np.ones(1))


def _request(model: str, tensor: str, values: Array) -> bytes:
    message = oip.ModelInferRequest(model_name=model, id="bench")
    message.inputs.add(name=tensor, datatype="FP64", shape=values.shape)
    message.raw_input_contents.append(values.tobytes())
    return message.SerializeToString()


def _made_live(model: str, version: int, registry: Path) -> int:
    promote(model, version, registry=str(registry))
    return version


def _chain(steps: int) -> ModelProto:
    """A graph that multiplies ones by the identity so many times, and then its input by the one that comes out."""
    products = [f"product{step}" for step in range(steps + 1)]
    nodes = [
        # The chain hangs on the input, or ONNX Runtime would work it out once and keep the result.
        helper.make_node("Sub", ["number", "number"], ["zeros"]),
        helper.make_node("ReduceMean", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["ones", "nothing"], [products[0]]),
        *(helper.make_node("MatMul", [before, "identity"], [after]) for before, after in pairwise(products)),
        helper.make_node("ReduceMean", [products[-1]], ["one"], keepdims=0),
        helper.make_node("Mul", ["number", "one"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        HEAVY,
        [helper.make_tensor_value_info("number", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [
            numpy_helper.from_array(np.ones((_MATRIX, _MATRIX)), "ones"),
            numpy_helper.from_array(np.eye(_MATRIX), "identity"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def _seconds_per_step() -> float:
    """What one product takes on this host, by the shortest of several runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    steps = 20
    session = ort.InferenceSession(_chain(steps).SerializeToString(), options, providers=["CPUExecutionProvider"])
    taken: list[float] = []
    for _ in range(10):
        started = time.perf_counter()
        session.run(None, {"number": np.ones((1, 1))})
        taken.append(time.perf_counter() - started)
    return min(taken) / steps
