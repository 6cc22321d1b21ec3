"""Models whose every answer is known: it follows from the request and the version alone."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from onnx import TensorProto, helper, numpy_helper
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sardonyx.interface import digest
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_exporter import export

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Array = npt.NDArray[Any]

TABLE: Final = "soak-table"
LONG: Final = "soak-long"
#: Requests are made of these rows.
ROWS: Final = 400
#: An answer may be so far from the truth: the exporter proves parity to 1e-5, doubles agree to much less.
TOLERANCE: Final = 1e-6
#: The truths of two versions are this far apart in every row, or one could pass for the other.
APART_MIN: Final = 10 * TOLERANCE
#: Versions of the table differ by so much before the logistic function.
_STEP: Final = 0.03
#: A product of two such matrices takes about half a millisecond: ten make runs that requests wait for.
_MATRIX: Final = 256
_PRODUCTS: Final = 10


class Tensor(NamedTuple):
    """One input's values, by the protocol's type."""

    name: str
    datatype: str
    values: Array


class Model(Protocol):
    """What callers ask for.

    Attributes:
        name: in the registry.
        output: the output that is compared.
        truths: by version, what each of ROWS is answered; a version that is broken has none.
        known: every version that was ever published, broken ones too.
    """

    name: str
    output: str
    truths: dict[int, Array]
    known: list[int]

    def publish(self, registry: Path) -> int:
        """Publish one more version, which nobody is led to yet; its number."""
        ...

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Some rows as a caller in Python has them."""
        ...

    def tensors(self, start: int, stop: int) -> list[Tensor]:
        """The same rows as the protocol has them."""
        ...


class Table:
    """Text and numbers through scikit-learn and the exporter, to probabilities.

    Fitted once: each further version has another intercept, so that its probabilities differ in every row.
    """

    name = TABLE
    output = "probabilities"

    def __init__(self, seed: int) -> None:
        self.truths: dict[int, Array] = {}
        self.known: list[int] = []
        self._frame = _frame(seed, ROWS)
        self._holdout = _frame(seed + 1, 60)
        self._fitted = _fit(seed + 2)
        self._made = 0

    def publish(self, registry: Path) -> int:
        """Publish one more version, which nobody is led to yet; its number."""
        source = copy.deepcopy(self._fitted)
        source[-1].intercept_ = source[-1].intercept_ + _STEP * self._made
        self._made += 1
        holdout = (self._holdout, _classes(self._holdout))
        version = export(source, name=self.name, holdout=holdout, registry=str(registry)).version
        self.truths[version] = apart(self.truths, source.predict_proba(self._frame))
        self.known.append(version)
        return version

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Some rows as a caller in Python has them."""
        return [{str(key): value for key, value in row.items()} for row in self._frame[start:stop].to_dict("records")]

    def tensors(self, start: int, stop: int) -> list[Tensor]:
        """The same rows as the protocol has them."""
        part = self._frame[start:stop]
        return [Tensor(name, _DATATYPES[name], part[name].to_numpy()) for name in _DATATYPES]


class Long:
    """A graph that multiplies matrices for some milliseconds, however many rows it gets, and then adds to each."""

    name = LONG
    output = "value"

    def __init__(self) -> None:
        self.truths: dict[int, Array] = {}
        self.known: list[int] = []
        self._numbers = np.arange(ROWS, dtype=np.float64)

    def publish(self, registry: Path) -> int:
        """Publish one more version, which nobody is led to yet; its number."""
        added = float(len(self.truths) + 1) / 16
        graph, manifest = _long_graph(added), _long_manifest(added)
        published = Registry(str(registry), create=True).publish(self.name, graph, lambda _versions: manifest)
        self.truths[published.version] = apart(self.truths, self._numbers + added)
        self.known.append(published.version)
        return published.version

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """Some rows as a caller in Python has them."""
        return [{"number": number} for number in self._numbers[start:stop].tolist()]

    def tensors(self, start: int, stop: int) -> list[Tensor]:
        """The same rows as the protocol has them."""
        return [Tensor("number", "FP64", self._numbers[start:stop])]


def apart(truths: Mapping[int, Array], truth: Array) -> Array:
    """A version's truth, once it cannot be taken for that of another one.

    Raises:
        ValueError: it can.
    """
    for version, other in truths.items():
        nearest = float(np.abs(truth - other).min())
        if nearest < APART_MIN:
            raise ValueError(f"Version {version} is only {nearest:.1e} away: answers would prove nothing.")
    return truth


_DATATYPES: Final = {"distance": "FP64", "hour": "INT64", "carrier": "BYTES", "origin": "BYTES"}


def _frame(seed: int, rows: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "distance": random.normal(size=rows).clip(-2, 2),
            "hour": random.integers(0, 24, size=rows),
            "carrier": random.choice(["AA", "B6", "UA"], size=rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], size=rows),
        }
    )


def _classes(frame: pd.DataFrame) -> Array:
    late = frame["distance"] + frame["hour"] / 12 + (frame["carrier"] == "UA") - (frame["origin"] == "LGA") > 1.2
    return np.where(late, "late", "punctual")


def _fit(seed: int) -> Pipeline:
    prepare = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["distance", "hour"]),
            ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("origin", OneHotEncoder(handle_unknown="error"), ["origin"]),
        ]
    )
    frame = _frame(seed, 300)
    # Regularised, or the function would be so steep that versions agree in most rows.
    return Pipeline([("prepare", prepare), ("model", LogisticRegression(C=0.05))]).fit(frame, _classes(frame))


def _long_graph(added: float) -> bytes:
    products = [f"product{step}" for step in range(_PRODUCTS + 1)]
    nodes = [
        # The chain hangs on the input, or ONNX Runtime would work it out once and keep the result.
        helper.make_node("Sub", ["number", "number"], ["zeros"]),
        helper.make_node("ReduceMean", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["ones", "nothing"], [products[0]]),
        *(helper.make_node("MatMul", [before, "identity"], [after]) for before, after in pairwise(products)),
        helper.make_node("ReduceMean", [products[-1]], ["one"], keepdims=0),
        helper.make_node("Mul", ["number", "one"], ["same"]),
        helper.make_node("Add", ["same", "added"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info("number", TensorProto.DOUBLE, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [
            numpy_helper.from_array(np.ones([_MATRIX, _MATRIX]), "ones"),
            numpy_helper.from_array(np.eye(_MATRIX), "identity"),
            numpy_helper.from_array(np.array([added]), "added"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString())


def _long_manifest(added: float) -> manifest_pb2.Manifest:
    datatype = pb.DATATYPE_FP64
    number = pb.Input(name="number", number=1, datatype=datatype, missing=pb.MISSING_POLICY_REFUSED)
    value = pb.Output(name="value", number=1, kind=pb.OUTPUT_KIND_VALUE, datatype=datatype)
    golden = [1.0, 2.0]
    manifest = manifest_pb2.Manifest(
        interface=pb.Interface(task=pb.TASK_REGRESSION, inputs=[number], outputs=[value]),
        interface_major=1,
        graph=manifest_pb2.Graph(
            inputs=[manifest_pb2.Binding(name="number", tensor="number", datatype=datatype)],
            outputs=[manifest_pb2.Binding(name="value", tensor="value", datatype=datatype)],
        ),
        golden=manifest_pb2.Golden(
            inputs=[manifest_pb2.Column(name="number", doubles=manifest_pb2.Doubles(values=golden))],
            outputs=[
                manifest_pb2.Column(
                    name="value", doubles=manifest_pb2.Doubles(values=[each + added for each in golden])
                )
            ],
        ),
    )
    manifest.interface_digest = digest(manifest.interface)
    return manifest
