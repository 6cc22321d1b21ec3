"""Node's own gRPC library calls a model by its .proto, and is answered as everybody is."""

from __future__ import annotations

import base64
import json
import math
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import grpc
import numpy as np
import pytest
from google.rpc import status_pb2

from sardonyx_exporter import promote, write_stubs
from server.callers import Stub, by_reflection
from server.scene import ALONE, Failure, failure_of, wait_until
from server.test_typed import CLASSES, GOOD, TRIP, export_trip, fit_trip, is_served, row_of, trips
from support.node import EXAMPLE, link_packages
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sklearn.pipeline import Pipeline

SERVICE = "trip.v1.TripService"
TIMEOUT_S = 60.0


class Node(NamedTuple):
    """A server, and two callers of it.

    Attributes:
        script: the example, where it finds its packages.
        address: the server's.
        proto: what callers compile.
        reflected: a caller in Python.
        source: the model.
    """

    script: Path
    address: str
    proto: Path
    reflected: Stub
    source: Pipeline

    def ask(self, *requests: Mapping[str, Any]) -> list[Any]:
        """What the example prints for requests, one by one."""
        lines = "".join(f"{json.dumps(request)}\n" for request in requests)
        command = ["node", str(self.script), self.address, str(self.proto)]
        ran = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=TIMEOUT_S)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A server of a model that takes every type of input, and the example to call it."""
    folder = tmp_path_factory.mktemp("node")
    link_packages(folder)
    registry, source = folder / "registry", fit_trip(seed=1)
    promote(TRIP, export_trip(registry, source), registry=str(registry))
    stubs = write_stubs(TRIP, registry=str(registry), folder=folder / "stubs", language="proto")
    shutil.copy(EXAMPLE / "package.json", folder)
    shutil.copy(EXAMPLE / "predict.js", folder)
    with running_server(registry, *ALONE) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: is_served(channel, SERVICE), "the service is listed")
        reflected = by_reflection(channel, SERVICE)
        yield Node(folder / "predict.js", address, folder / "stubs" / stubs.files[0], reflected, source)


def test_node_is_answered_as_the_source_answers(node: Node) -> None:
    """Row by row and in columns: numbers, missing ones, truth values, texts, and a text that the model never saw.

    Digit for digit what a caller in Python is answered, and the source model's classes and probabilities.
    """
    frame = trips(seed=31, rows=30)
    frame.loc[3:6, "carrier"] = "never seen"
    assert frame["distance"].isna().any()
    expected, labels = node.source.predict_proba(frame), node.source.predict(frame).tolist()
    rows = [row_of(frame, row) for row in range(len(frame))]
    columns: dict[str, Any] = {str(name): frame[name].tolist() for name in frame}
    written = {name: ["NaN" if value != value else value for value in column] for name, column in columns.items()}
    *ones, many = node.ask(
        *({"features": row, "prediction_id": f"row-{at}"} for at, row in enumerate(rows)), {"columns": written}
    )
    python = node.reflected.many(columns).predictions
    by_column = np.column_stack([many["predictions"]["probabilities"][name] for name in CLASSES])

    np.testing.assert_allclose(by_column, expected, atol=1e-6)
    assert by_column.tolist() == np.column_stack([getattr(python.probabilities, name) for name in CLASSES]).tolist()
    assert many["predictions"]["label_value"] == list(python.label_value) == labels
    assert many["predictions"]["label"] == [f"LABEL_{str(label).upper()}" for label in labels]
    for at, one in enumerate(ones):
        again = node.reflected.one(rows[at]).prediction
        found = [one["prediction"]["probabilities"][name] for name in CLASSES]
        assert found == [getattr(again.probabilities, name) for name in CLASSES]
        np.testing.assert_allclose(found, expected[at], atol=1e-6)
        assert one["prediction"]["label_value"] is again.label_value is labels[at]
        assert one["prediction"]["label"] == f"LABEL_{str(labels[at]).upper()}"
        assert (one["model_version"], one["route"], one["prediction_id"]) == (1, "live", f"row-{at}")


def test_a_column_that_is_left_out_is_missing_in_every_row(node: Node) -> None:
    """As it is for everybody."""
    frame = trips(seed=32, rows=4)
    frame["distance"] = math.nan
    columns = {name: frame[name].tolist() for name in frame if name != "distance"}
    (many,) = node.ask({"columns": columns})
    np.testing.assert_allclose(
        many["predictions"]["probabilities"]["class_true"], node.source.predict_proba(frame)[:, 1], atol=1e-6
    )


def test_errors_arrive_with_code_and_details(node: Node) -> None:
    """Node has the code, the sentence and the google.rpc.Status that a caller in Python has, and goes on."""
    without = {name: value for name, value in GOOD.items() if name != "hour"}
    unknown = {**GOOD, "origin": "EWQ"}
    ragged = {name: [value, value] for name, value in GOOD.items()} | {"hour": [1, 2, 3]}
    *answers, good = node.ask({"features": without}, {"features": unknown}, {"columns": ragged}, {"features": GOOD})
    failures = [
        failure_of(lambda: node.reflected.one(without)),
        failure_of(lambda: node.reflected.one(unknown)),
        failure_of(lambda: node.reflected.many(ragged)),
    ]
    fields = ["features.hour", "features.origin", "columns.hour"]

    for answer, failure, field in zip(answers, failures, fields, strict=True):
        error = answer["error"]
        status = status_pb2.Status.FromString(base64.b64decode(error["status"]))
        assert (error["code"], error["details"]) == ("INVALID_ARGUMENT", failure.message)
        assert status == failure.status
        assert list(Failure(failure.code, error["details"], status).violations) == [field]
    assert good["prediction"]["label"] in {"LABEL_TRUE", "LABEL_FALSE"}


def test_a_misspelt_field_is_an_error(node: Node) -> None:
    """What protobuf.js would pass over is not sent: an input that may be missing would be missing, silently."""
    (answer,) = node.ask({"features": {**GOOD, "distanc": 1.0}})
    assert answer["error"]["details"].startswith("There is no field distanc. Fields are distance, hour")
