"""What spans must hold, and what OpenTelemetry's own classes read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sardonyx import telemetry
from sardonyx.address import Address
from sardonyx.interface import dtype_of
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Binding, Graph, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    from sardonyx_server.telemetry.record import Record

ADDRESS = Address("127.0.0.1", 8001)


@dataclass(frozen=True)
class Version:
    """What a span says of a served version."""

    model: str
    version: int
    major: int

    @property
    def manifest(self) -> Manifest:
        """Four inputs, of which the graph computes one in another type."""
        inputs = [pb.Input(name=name, datatype=datatype) for name, (datatype, _) in INPUTS.items()]
        bindings = [Binding(name=name, tensor=f"t_{name}") for name in INPUTS]
        return Manifest(interface=pb.Interface(inputs=inputs), graph=Graph(inputs=bindings))


#: By name: the interface's type, and the graph's.
INPUTS: dict[str, tuple[pb.Datatype.ValueType, Any]] = {
    "distance": (pb.DATATYPE_FP32, np.float32),
    "hour": (pb.DATATYPE_INT64, np.float64),
    "late": (pb.DATATYPE_BOOL, np.bool_),
    "carrier": (pb.DATATYPE_BYTES, object),
}


def read(value: AnyValue) -> object:
    """The value's own type and value."""
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [read(element) for element in value.array_value.values]
    return getattr(value, kind)


def attributes_of(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes by name; a name that comes twice is against OTLP."""
    found: dict[str, object] = {}
    for pair in pairs:
        assert pair.key not in found, f"{pair.key} twice"
        found[pair.key] = read(pair.value)
    return found


def expected_attributes(record: Record) -> dict[str, object]:
    """What the vocabulary asks of a record."""
    want: dict[str, object] = {
        telemetry.RPC_SYSTEM: "grpc",
        telemetry.RPC_METHOD: record.method,
        telemetry.SERVER_ADDRESS: ADDRESS.host,
        telemetry.SERVER_PORT: ADDRESS.port,
        telemetry.RPC_STATUS: record.code,
        telemetry.MODEL_NAME: record.served.model if record.served else record.model,
        telemetry.PREDICTION_ID: record.prediction_id,
        **dict(zip(telemetry.STAGES, record.stages_ns, strict=True)),
    }
    if record.code != "OK":
        want[telemetry.ERROR_TYPE] = record.code
    if record.served:
        want[telemetry.MODEL_VERSION] = record.served.version
        want[telemetry.INTERFACE_MAJOR] = record.served.major
        want[telemetry.ROUTE] = record.route
    if record.rows:
        want[telemetry.ROWS] = record.rows
    if record.outputs:
        want[telemetry.OUTPUT_ROWS] = record.outputs.rows
        for name, values in (
            (telemetry.OUTPUT_LABELS, record.outputs.labels),
            (telemetry.OUTPUT_PROBABILITIES, record.outputs.probabilities),
            (telemetry.OUTPUT_VALUES, record.outputs.values),
        ):
            if values is not None:
                want[name] = values.ravel().tolist()
    return want | _expected_beside(record)


def _expected_beside(record: Record) -> dict[str, object]:
    """What few records have."""
    want: dict[str, object] = {}
    if record.caller:
        want[telemetry.CALLER] = record.caller
    if record.members:
        want[telemetry.PREDICTION_IDS] = list(record.members.ids)
        if record.members.rows is not None:
            want[telemetry.PREDICTION_ROWS] = list(record.members.rows)
    if record.batch:
        want[telemetry.BATCH_ID] = record.batch.id
        want[telemetry.BATCH_ROWS] = record.batch.rows
        want[telemetry.BATCH_REQUESTS] = len(record.batch.prediction_ids)
        want[telemetry.BATCH_PREDICTION_IDS] = list(record.batch.prediction_ids[: telemetry.BATCH_IDS_MAX])
    if record.shadowed:
        want[telemetry.SHADOW_LIVE_VERSION] = record.shadowed.live_version
        want[telemetry.SHADOW_AGREEMENT] = record.shadowed.agreement
    if record.captured and record.served:
        want[telemetry.INPUT_ROWS] = list(record.captured.rows)
        want[telemetry.INPUT_PROBABILITY] = record.captured.probability
        for name, (datatype, _) in INPUTS.items():
            values = record.captured.values[f"t_{name}"].astype(dtype_of(datatype))
            want[telemetry.INPUT_VALUE_PREFIX + name] = values.ravel().tolist()
    return want


def assert_same(found: Mapping[str, object], want: Mapping[str, object]) -> None:
    """Equal in names, types and values; NaN equals NaN."""
    assert found.keys() == want.keys()
    for name, value in want.items():
        assert _typed(found[name]) == _typed(value), name


def _typed(value: object) -> object:
    if isinstance(value, list):
        return [_typed(element) for element in value]
    # A float by its bits: NaN and the sign of zero count.
    return type(value).__name__, value.hex() if isinstance(value, float) else value
