"""What a manifest may not say of inputs: a version whose does is refused as it is loaded, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Manifest
from sardonyx_server.life.loader import LoadFailed
from server.loaded import load_served
from server.summed import interface_of, publish_sum

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "by-hand"
ALLOWED, REFUSED = pb.MISSING_POLICY_ALLOWED, pb.MISSING_POLICY_REFUSED
HOUR = pb.Input(name="hour", datatype=pb.DATATYPE_FP64, missing=REFUSED)


def _refusal(registry: Path, version: int) -> str:
    with pytest.raises(LoadFailed) as refused:
        load_served(registry, MODEL, version)
    assert not refused.value.may_pass
    return str(refused.value)


@pytest.mark.parametrize(
    ("datatype", "missing", "optional", "reason"),
    [
        (pb.DATATYPE_INT64, ALLOWED, True, "may be left out, but it is INT64, which has no missing value"),
        (pb.DATATYPE_INT32, REFUSED, True, "may be left out, but it is INT32, which has no missing value"),
        (pb.DATATYPE_INT64, ALLOWED, False, "may be missing, but it is INT64, which has no missing value"),
        (pb.DATATYPE_BOOL, ALLOWED, True, "may be left out, but it is BOOL, which has no missing value"),
        (pb.DATATYPE_BYTES, ALLOWED, True, "may be left out, but it is BYTES, which has no missing value"),
        (pb.DATATYPE_FP64, REFUSED, True, "may be left out, but the model has no policy for missing values there"),
    ],
)
def test_what_has_no_missing_value_may_not_be_missing(
    tmp_path: Path, datatype: pb.Datatype.ValueType, missing: pb.MissingPolicy.ValueType, optional: bool, reason: str
) -> None:
    """Nobody is answered by a number that a missing value was made into."""
    wind = pb.Input(name="wind", datatype=datatype, missing=missing, optional=optional)
    version = publish_sum(tmp_path, MODEL, interface_of([HOUR, wind])).version

    assert _refusal(tmp_path, version) == f"Input 'wind' {reason}. Export the version again."


def test_a_graph_that_takes_what_callers_send_need_not_say_so(tmp_path: Path) -> None:
    """A manifest names a tensor's type where it differs from the interface's: one that names none is proven as well."""
    manifest = Manifest()
    manifest.CopyFrom(publish_sum(tmp_path, MODEL, interface_of([HOUR])))
    for binding in (*manifest.graph.inputs, *manifest.graph.outputs):
        binding.ClearField("datatype")
    store = Registry(str(tmp_path))
    version = store.publish(MODEL, store.blob(manifest.artifact), lambda _versions: manifest).version

    assert load_served(tmp_path, MODEL, version).version == version


def test_what_the_graph_takes_counts_too(tmp_path: Path) -> None:
    """Callers may send NaN, but the graph computes with whole numbers."""
    wind = pb.Input(name="wind", datatype=pb.DATATYPE_FP64, missing=ALLOWED)
    manifest = Manifest()
    manifest.CopyFrom(publish_sum(tmp_path, MODEL, interface_of([HOUR, wind])))
    manifest.graph.inputs[1].datatype = pb.DATATYPE_INT64
    store = Registry(str(tmp_path))
    version = store.publish(MODEL, store.blob(manifest.artifact), lambda _versions: manifest).version

    assert "may be missing, but the graph takes it as INT64, which has no missing" in _refusal(tmp_path, version)


@pytest.mark.parametrize("datatype", [pb.DATATYPE_FP32, pb.DATATYPE_FP64])
@pytest.mark.parametrize("optional", [True, False])
def test_floating_point_may_be_missing(tmp_path: Path, datatype: pb.Datatype.ValueType, optional: bool) -> None:
    """NaN is a value of its own there: such a version loads, and so does a whole number that must be given."""
    wind = pb.Input(name="wind", datatype=datatype, missing=ALLOWED, optional=optional)
    seats = pb.Input(name="seats", datatype=pb.DATATYPE_INT64, missing=REFUSED)
    version = publish_sum(tmp_path, MODEL, interface_of([HOUR, wind, seats])).version

    assert load_served(tmp_path, MODEL, version).version == version
