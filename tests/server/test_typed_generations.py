"""Versions of a model under its callers: who may be led to a new one is answered as before, others are left alone."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx.typed import typed_service
from sardonyx_exporter import promote, rollback
from server.callers import Stub, by_form
from server.scene import ALONE, wait_until
from server.summed import TEXTS, interface_of, label_of, publish_sum, total
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet
    from pathlib import Path

Verdict = manifest_pb2.Verdict
Row = dict[str, Any]

CLASSES = ["early", "late", "on time"]
DATATYPES = [each for each in pb.Datatype.values() if each != pb.DATATYPE_UNSPECIFIED]
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry that every example publishes a model of its own into."""
    folder = tmp_path_factory.mktemp("generations") / "registry"
    publish_sum(folder, "first", interface_of([pb.Input(name="a", datatype=pb.DATATYPE_FP64)]))
    promote("first", 1, registry=str(folder))
    return folder


@pytest.fixture(scope="module")
def channel(registry: Path) -> Iterator[grpc.Channel]:
    """A server of that registry that looks often."""
    with (
        running_server(registry, *ALONE, "--poll-interval-s", "0.05") as address,
        grpc.insecure_channel(address) as channel,
    ):
        yield channel


# -------------------------------------------------------------------------------------------------------------- drawing


@st.composite
def inputs(draw: st.DrawFn, name: str) -> pb.Input:
    """An input of any kind that a model can have."""
    tensor = pb.Input(name=name, datatype=draw(st.sampled_from(DATATYPES)))
    tensor.missing = pb.MISSING_POLICY_REFUSED
    if tensor.datatype == pb.DATATYPE_BYTES:
        if draw(st.booleans()):
            tensor.unknown_category = pb.UNKNOWN_CATEGORY_POLICY_REFUSED
            tensor.categories.extend(draw(st.sampled_from([["AA"], ["AA", "B6"], ["AA", "B6", "UA"]])))
        else:
            tensor.unknown_category = pb.UNKNOWN_CATEGORY_POLICY_ALLOWED
        return tensor
    tensor.width = draw(st.sampled_from([0, 0, 0, 3]))
    if tensor.datatype in (pb.DATATYPE_FP32, pb.DATATYPE_FP64) and draw(st.booleans()):
        tensor.missing = pb.MISSING_POLICY_ALLOWED
        tensor.optional = draw(st.booleans())
    if tensor.datatype != pb.DATATYPE_BOOL and draw(st.booleans()):
        tensor.minimum, tensor.maximum = draw(st.sampled_from([(0, 5), (0, 50), (-10, 50)]))
    return tensor


@st.composite
def changed(draw: st.DrawFn, tensor: pb.Input) -> pb.Input:
    """The input with one thing about it that is another."""
    new = pb.Input()
    new.CopyFrom(tensor)
    match draw(st.sampled_from(["same", "wider", "anything", "described", "missing", "redrawn"])):
        case "wider" if tensor.HasField("minimum"):
            new.minimum, new.maximum = tensor.minimum - 5, tensor.maximum + 5
        case "anything":
            del new.categories[:]
            if tensor.unknown_category:
                new.unknown_category = pb.UNKNOWN_CATEGORY_POLICY_ALLOWED
        case "described":
            new.description = "Of another meaning."
        case "missing" if tensor.datatype in (pb.DATATYPE_FP32, pb.DATATYPE_FP64):
            new.missing, new.optional = pb.MISSING_POLICY_ALLOWED, True
        case "redrawn":
            return draw(inputs(tensor.name))
    return new


@st.composite
def pairs(draw: st.DrawFn) -> tuple[pb.Interface, pb.Interface]:
    """Two interfaces of one model, in the order in which they come."""
    names = draw(st.lists(st.sampled_from(["alpha", "beta", "gamma", "delta"]), min_size=1, max_size=3, unique=True))
    old = [draw(inputs(name)) for name in names]
    new = [draw(changed(each)) for each in old]
    if draw(st.booleans()):
        new = draw(st.permutations(new))
    for name in draw(st.sampled_from([[], ["epsilon"], ["zeta", "epsilon"]])):
        added = pb.Input(name=name, datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True)
        new.append(added if draw(st.integers(0, 3)) else draw(inputs(name)))
    if len(new) > 1 and not draw(st.integers(0, 5)):
        new.pop(0)
    classes = draw(st.sampled_from([[], CLASSES]))
    later = draw(st.permutations(classes)) if not draw(st.integers(0, 3)) else classes
    return interface_of(old, classes), interface_of(new, later)


def values(draw: st.DrawFn, tensor: pb.Input) -> Any:
    """A value that an input takes."""
    if tensor.datatype == pb.DATATYPE_BYTES:
        each: st.SearchStrategy[Any] = st.sampled_from(list(tensor.categories) or [*TEXTS, "unheard of"])
    elif tensor.datatype == pb.DATATYPE_BOOL:
        each = st.booleans()
    else:
        low, high = (tensor.minimum, tensor.maximum) if tensor.HasField("minimum") else (-40, 40)
        whole = st.integers(int(low), int(high))
        each = whole.map(float) if tensor.datatype in (pb.DATATYPE_FP32, pb.DATATYPE_FP64) else whole
        if tensor.missing == pb.MISSING_POLICY_ALLOWED:
            each = each | st.just(math.nan)
    return [draw(each) for _ in range(tensor.width)] if tensor.width else draw(each)


@st.composite
def rows_of(draw: st.DrawFn, interface: pb.Interface) -> list[Row]:
    """Some rows as callers of that interface may send them; an input is left out of all of them, or of none."""
    sent = [each for each in interface.inputs if not (may_miss(each) and draw(st.booleans()))] or interface.inputs
    return [{each.name: values(draw, each) for each in sent} for _ in range(draw(st.integers(1, 3)))]


def may_miss(tensor: pb.Input) -> bool:
    """Whether callers may leave it out."""
    return tensor.optional or tensor.missing == pb.MISSING_POLICY_ALLOWED


# ------------------------------------------------------------------------------------------------------------- calling


def columns_of(rows: list[Row]) -> dict[str, list[Any]]:
    """The rows as columns."""
    return {
        name: [value for row in rows for value in (row[name] if isinstance(row[name], list) else [row[name]])]
        for name in rows[0]
    }


def bytes_of(stub: Stub, rows: list[Row]) -> tuple[list[bytes], bytes]:
    """What a caller writes: a request a row, and one of columns."""
    ones = [stub.request(features=row).SerializeToString() for row in rows]
    return ones, stub.batch_request(columns=columns_of(rows)).SerializeToString()


class Caller:
    """A caller that was built when a version was new, and knows its messages and no others.

    Args:
        channel: to the server.
        manifest: the version's.
        rows: what it will send, always in the same bytes.
    """

    def __init__(self, channel: grpc.Channel, manifest: manifest_pb2.Manifest, rows: list[Row]) -> None:
        self._typed = typed_service(manifest)
        self._interface = manifest.interface
        self.rows = rows
        self._ones, self._many = bytes_of(by_form(channel, manifest), rows)
        self._predict: Any = channel.unary_unary(f"/{self._typed.name}/Predict")
        self._predict_batch: Any = channel.unary_unary(f"/{self._typed.name}/PredictBatch")

    def is_answered_by(self, version: int) -> bool:
        """Whether it is that version now that answers."""
        try:
            data = self._predict(self._ones[0], timeout=10)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return False
        return bool(self._typed.predict_response.FromString(data).model_version == version)

    def check(self, worth: list[float], labels: list[str] | None, unknown: AbstractSet[int] = frozenset()) -> None:
        """Every row, alone and in columns, is answered by that; fields that were passed over are named."""
        for data, expected, row in zip(self._ones, worth, range(len(worth)), strict=True):
            written, call = self._predict.with_call(data, timeout=10)
            prediction = self._typed.predict_response.FromString(written).prediction
            assert prediction.value == pytest.approx(expected)
            assert _unknown(call) == unknown
            if labels is not None:
                self._check_label(prediction, labels[row])
        written, call = self._predict_batch.with_call(self._many, timeout=10)
        predictions = self._typed.batch_response.FromString(written).predictions
        np.testing.assert_allclose(predictions.value, worth)
        assert _unknown(call) == unknown
        if labels is not None:
            assert list(predictions.label_value) == labels

    def _check_label(self, prediction: Any, label: str) -> None:
        fields = {each.text: each for each in self._typed.form.classes}
        assert prediction.label_value == label
        assert prediction.label == fields[label].number
        by_class = {text: getattr(prediction.probabilities, each.name) for text, each in fields.items()}
        assert by_class == {text: float(text == label) for text in fields}

    def answers(self, interface: pb.Interface) -> tuple[list[float], list[str] | None]:
        """What a version of that interface has to say to what is sent."""
        labelled = len(interface.outputs) > 1
        return (
            [total(interface, row) for row in self.rows],
            [label_of(interface, row) for row in self.rows] if labelled else None,
        )

    def number_of(self, name: str) -> int:
        """The field of an input."""
        (number,) = (field.number for field in self._typed.form.inputs if field.tensor.name == name)
        return number


def _unknown(call: grpc.Call) -> set[int]:
    trailers = dict(call.trailing_metadata() or ())
    return set(map(int, filter(None, str(trailers.get("sardonyx-unknown-fields", "")).split(","))))


# --------------------------------------------------------------------------------------------------------------- tests


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs(), st.data())
def test_a_new_version_keeps_what_the_old_one_meant(
    registry: Path, channel: grpc.Channel, pair: tuple[pb.Interface, pb.Interface], data: st.DataObject
) -> None:
    """A new version means by old callers' bytes what the old one did; if it may not answer them, each has its own.

    And the reverse: of new callers' bytes an old version takes what it knows, and names the other fields.
    """
    name = f"model-{next(NUMBERS)}"
    first = publish_sum(registry, name, pair[0])
    promote(name, first.version, registry=str(registry))
    old = Caller(channel, first, data.draw(rows_of(pair[0])))
    wait_until(lambda: old.is_answered_by(1), "the first version answers")
    meant = old.answers(pair[0])
    old.check(*meant)

    second = publish_sum(registry, name, pair[1])
    promote(name, second.version, registry=str(registry))
    kind = second.verdict.kind
    event(Verdict.Kind.Name(kind))
    if kind == Verdict.KIND_BREAKING:
        new = Caller(channel, second, data.draw(rows_of(pair[1])))
        wait_until(lambda: new.is_answered_by(2), "the second generation answers")
        for _ in range(2):
            old.check(*meant)
            new.check(*new.answers(pair[1]))
        return
    wait_until(lambda: old.is_answered_by(2), "the second version answers")
    old.check(*meant)
    rows = [{**row, **more} for row, more in zip(old.rows, data.draw(_added(pair, len(old.rows))), strict=True)]
    new = Caller(channel, second, rows)
    new.check(*new.answers(pair[1]))
    rollback(name, registry=str(registry))
    wait_until(lambda: new.is_answered_by(1), "the first version answers again")
    known = {each.name for each in pair[0].inputs}
    new.check(*new.answers(pair[0]), unknown={new.number_of(each) for each in rows[0] if each not in known})


@st.composite
def _added(draw: st.DrawFn, pair: tuple[pb.Interface, pb.Interface], rows: int) -> list[Row]:
    """Of inputs that the new interface alone has, so many rows."""
    known = {each.name for each in pair[0].inputs}
    added = [each for each in pair[1].inputs if each.name not in known and draw(st.booleans())]
    return [{each.name: values(draw, each) for each in added} for _ in range(rows)]
