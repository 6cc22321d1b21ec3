"""Every model's own service, over real sockets: whoever calls, however, is answered as the source model answers."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from sardonyx import telemetry
from sardonyx.errors import RuleBroken
from sardonyx.oip import messages as oip
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx.registry import Registry
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1.manifest_pb2 import Verdict
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx.typed import form_of, schema, typed_service
from sardonyx_exporter import canary, evaluation, export, promote, shadow
from sardonyx_server.access.tokens import Role, Token, digest_of, new_token
from server import sink
from server.callers import Stub, by_compiler, by_form, by_reflection
from server.scene import (
    ALONE,
    CLASSIFIER,
    PATIENCE_S,
    REGRESSOR,
    array_of,
    columns_of,
    failure_of,
    frame_of,
    get_model,
    infer,
    is_ready,
    regressor_request,
    request_of,
    value_of,
    wait_until,
)
from server.summed import interface_of, publish_sum, total
from server.test_tokens import ADMIN, BOOKING, ENTRIES, EXPIRED, SCREENS, calling, serving_with, write
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from server.scene import Scene

TRIP: Final = "trip"
#: By the protocol's types.
DATATYPES: Final = {"distance": "FP64", "hour": "INT64", "weekend": "BOOL", "carrier": "BYTES", "origin": "BYTES"}
GOOD: Final = {"distance": 0.5, "hour": 7, "weekend": True, "carrier": "UA", "origin": "EWR"}
CLASSES: Final = ["class_false", "class_true"]


class Trip(NamedTuple):
    """A server of a model that takes every type of input, and what answers there.

    Attributes:
        registry: the folder.
        source: the model, to one of two truth values.
        address: the server's.
        channel: to it.
        reflected, compiled: callers of its service.
        collector: has its spans.
    """

    registry: Path
    source: Pipeline
    address: str
    channel: grpc.Channel
    reflected: Stub
    compiled: Stub
    collector: sink.Sink

    @property
    def stubs(self) -> tuple[Stub, Stub]:
        """Both callers."""
        return self.reflected, self.compiled


def trips(seed: int, rows: int, missing: float = 0.2) -> pd.DataFrame:
    """Rows as the model takes them, some without a distance."""
    random = np.random.default_rng(seed)
    frame = frame_of(seed, rows)
    frame.insert(2, "weekend", random.random(rows) < 0.3)
    frame.loc[random.random(rows) < missing, "distance"] = math.nan
    return frame


def is_late(frame: pd.DataFrame) -> pd.Series[bool]:
    """A truth that depends on every column."""
    worth = frame["distance"].fillna(0) + frame["hour"] / 12 - 2 * frame["weekend"] + (frame["carrier"] == "UA")
    return worth - (frame["origin"] == "LGA") > 0.6


def fit_trip(seed: int) -> Pipeline:
    """Numbers that may be missing, whole numbers, truth values, and texts of which one may be unknown."""
    prepare = ColumnTransformer(
        [
            ("distance", SimpleImputer(), ["distance"]),
            ("numbers", "passthrough", ["hour", "weekend"]),
            ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
            ("origin", OneHotEncoder(handle_unknown="error"), ["origin"]),
        ]
    )
    frame = trips(seed, rows=400)
    return Pipeline([("prepare", prepare), ("model", LogisticRegression(max_iter=2000))]).fit(frame, is_late(frame))


def export_trip(registry: Path, source: Pipeline) -> int:
    """Export a version; hours go from 0 to 23."""
    frame = trips(seed=2, rows=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "RESAMPLES_MIN", 2)
        patch.setattr(evaluation, "RESAMPLES_MAX", 2)
        holdout = (frame, is_late(frame))
        ranges = {"hour": (0.0, 23.0), "distance": (-100.0, None)}
        return export(source, name=TRIP, holdout=holdout, registry=str(registry), ranges=ranges).version


@pytest.fixture(scope="module")
def trip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trip]:
    """Such a server, which takes 500 rows at most and tells a collector of every call."""
    folder = tmp_path_factory.mktemp("typed")
    registry, source, collector = folder / "registry", fit_trip(seed=1), sink.Sink()
    promote(TRIP, export_trip(registry, source), registry=str(registry))
    manifest = Registry(str(registry)).manifest(TRIP, 1)
    options = ("--poll-interval-s", "0.05", "--queue-rows-max", "500", "--capture-rows-per-s", "100")
    with (
        sink.running(collector) as endpoint,
        running_server(registry, *ALONE, *options, "--otlp-endpoint", endpoint) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: is_served(channel, "trip.v1.TripService"), "the service is listed")
        reflected = by_reflection(channel, "trip.v1.TripService")
        yield Trip(
            *(registry, source, address, channel, reflected),
            compiled=by_compiler(channel, manifest, folder / "stubs"),
            collector=collector,
        )


def is_served(channel: grpc.Channel, service: str) -> bool:
    """Whether reflection finds a service."""
    try:
        by_reflection(channel, service)
    except KeyError:
        return False
    return True


def lists_of(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns as callers write them: what is missing is NaN."""
    return {str(name): frame[name].tolist() for name in frame}


def row_of(frame: pd.DataFrame, row: int) -> dict[str, Any]:
    """A row as callers write it: what is missing is left out."""
    found = {name: values[row] for name, values in lists_of(frame).items()}
    return {name: value for name, value in found.items() if value == value}


# ------------------------------------------------------------------------------------------------------ equal answers


def test_all_callers_are_answered_as_the_source_answers(trip: Trip) -> None:
    """By reflection, by compiled stub and by tensors, in rows and in columns: the source's classes and probabilities.

    Of numbers, missing ones (left out, and NaN), truth values, texts, and a text that the model never saw.
    """
    frame = trips(seed=11, rows=40)
    frame.loc[3:6, "carrier"] = "never seen"
    expected, labels = trip.source.predict_proba(frame), trip.source.predict(frame)
    by_tensor = infer(trip.channel, request_of(TRIP, columns_of(frame), DATATYPES))
    tensors = dict(zip((each.name for each in by_tensor.outputs), by_tensor.raw_output_contents, strict=True))
    reference = np.frombuffer(tensors["probabilities"], np.float64).reshape(-1, 2)
    np.testing.assert_allclose(reference, expected, atol=1e-6)
    for stub in trip.stubs:
        many = stub.many(lists_of(frame))
        columns = np.column_stack([getattr(many.predictions.probabilities, name) for name in CLASSES])
        assert columns.tolist() == reference.tolist()
        assert list(many.predictions.label_value) == labels.tolist()
        names = many.predictions.DESCRIPTOR.fields_by_name["label"].enum_type.values_by_number
        assert [names[number].name for number in many.predictions.label] == [
            f"LABEL_{str(label).upper()}" for label in labels
        ]
        for row in range(len(frame)):
            left_out, sent = row_of(frame, row), {name: values[row] for name, values in lists_of(frame).items()}
            for features in (left_out, sent):
                one = stub.one(features).prediction
                found = [getattr(one.probabilities, name) for name in CLASSES]
                np.testing.assert_allclose(found, expected[row], atol=1e-6)
                assert one.label_value is bool(labels[row])
                assert names[one.label].name == f"LABEL_{str(labels[row]).upper()}"


def test_a_column_that_is_left_out_is_missing_in_every_row(trip: Trip) -> None:
    """As if it were NaN throughout."""
    frame = trips(seed=12, rows=5)
    frame["distance"] = math.nan
    expected = trip.source.predict_proba(frame)[:, 1]
    for stub in trip.stubs:
        columns = {name: values for name, values in lists_of(frame).items() if name != "distance"}
        np.testing.assert_allclose(stub.many(columns).predictions.probabilities.class_true, expected, atol=1e-6)


def test_rows_of_many_values_go_to_a_regressor(channel: grpc.Channel, scene: Scene, tmp_path: Path) -> None:
    """A model on arrays has one input of so many values; in columns they come row by row."""
    array = array_of(21, rows=6)
    expected = scene.regressor.predict(array)
    np.testing.assert_allclose(value_of(infer(channel, regressor_request(array))), expected, atol=1e-6)
    manifest = Registry(str(scene.registry)).manifest(REGRESSOR, 1)
    (field,) = form_of(manifest).inputs
    for stub in (by_reflection(channel, "arrival.v1.ArrivalService"), by_compiler(channel, manifest, tmp_path)):
        many = stub.many({field.name: array.ravel().tolist()})
        np.testing.assert_allclose(many.predictions.value, expected, atol=1e-6)
        ones = [stub.one({field.name: row.tolist()}).prediction.value for row in array]
        np.testing.assert_allclose(ones, expected, atol=1e-6)
        for wrong in ([1.0], [1.0] * 6, []):
            failure = failure_of(lambda stub=stub, wrong=wrong: stub.one({field.name: wrong}))  # type: ignore[misc]
            assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
            assert list(failure.violations) == [f"features.{field.name}"]
        failure = failure_of(lambda stub=stub: stub.many({field.name: [1.0] * 7}))  # type: ignore[misc]
        assert list(failure.violations) == [f"columns.{field.name}"]


def test_texts_are_classes_too(channel: grpc.Channel, scene: Scene) -> None:
    """Classes that are texts come as the source has them, and by their names."""
    frame = frame_of(22, rows=8)
    stub = by_reflection(channel, "flight_delay.v1.FlightDelayService")
    many = stub.many(lists_of(frame))
    assert list(many.predictions.label_value) == scene.classifier.predict(frame).tolist()
    assert stub.one(row_of(frame, 0)).prediction.label_value == scene.classifier.predict(frame)[0]


# ------------------------------------------------------------------------------------------------------------- refusals


class Refused(NamedTuple):
    """A request that is refused.

    Attributes:
        change: what is other than in a good row, or in two good rows as columns; None leaves it out.
        field: what the refusal names.
        says: part of its description.
    """

    change: dict[str, Any]
    field: str
    says: str


ROWS: Final = {
    "missing": Refused({"hour": None}, "features.hour", "missing"),
    "missing text": Refused({"carrier": None}, "features.carrier", "missing"),
    "unknown": Refused({"origin": "XXX"}, "features.origin", "'XXX' is an unknown category"),
    "nearly": Refused({"origin": "EWQ"}, "features.origin", "Did you mean 'EWR'?"),
    "infinite": Refused({"distance": math.inf}, "features.distance", "infinite"),
    "above": Refused({"hour": 24}, "features.hour", "outside of what this model takes, 0 to 23"),
    "below": Refused({"distance": -101.0}, "features.distance", "at least -100"),
    "long": Refused({"carrier": "x" * 70_000}, "features.carrier", "65536"),
}
COLUMNS: Final = {
    "missing": Refused({"hour": None}, "columns.hour", "missing"),
    "unknown": Refused({"origin": ["EWR", "XXX"]}, "columns.origin#1", "'XXX' is an unknown category"),
    "above": Refused({"hour": [7, 24]}, "columns.hour#1", "0 to 23"),
    "ragged": Refused({"hour": [7, 8, 9]}, "columns.hour", "rows"),
    "ragged first": Refused({"distance": [0.5, 0.5, 0.5]}, "columns.distance", "3 rows, others have 2."),
    "ragged texts": Refused({"carrier": ["UA"]}, "columns.carrier", "row"),
    "infinite": Refused({"distance": [0.0, -math.inf]}, "columns.distance#1", "infinite"),
    "long": Refused({"carrier": ["UA", "x" * 70_000]}, "columns.carrier", "65536"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_that_is_wrong_is_refused_by_its_field(trip: Trip, name: str) -> None:
    """INVALID_ARGUMENT names the field as the caller compiled it, and says what is wrong; alone, no row is named."""
    refused = ROWS[name]
    features = {key: value for key, value in {**GOOD, **refused.change}.items() if value is not None}
    for stub in trip.stubs:
        failure = failure_of(lambda stub=stub: stub.one(features))  # type: ignore[misc]
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert failure.info.reason == "INVALID_INPUT"
        assert list(failure.violations) == [refused.field]
        assert refused.says in failure.violations[refused.field]


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_that_are_wrong_are_refused_by_field_and_row(trip: Trip, name: str) -> None:
    """INVALID_ARGUMENT names the field and, where one row is at fault, the row."""
    refused = COLUMNS[name]
    good = {key: [value, value] for key, value in GOOD.items()}
    columns = {key: value for key, value in {**good, **refused.change}.items() if value is not None}
    for stub in trip.stubs:
        failure = failure_of(lambda stub=stub: stub.many(columns))  # type: ignore[misc]
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(failure.violations) == [refused.field]
        assert refused.says in failure.violations[refused.field]


def test_where_nan_is_refused_it_is_as_good_as_left_out(channel: grpc.Channel) -> None:
    """A model without a policy for missing numbers takes neither; each is named, with its row."""
    stub = by_reflection(channel, "flight_delay.v1.FlightDelayService")
    good = row_of(frame_of(23, 1), 0)
    nan = failure_of(lambda: stub.one({**good, "distance": math.nan}))
    without = failure_of(lambda: stub.one({key: value for key, value in good.items() if key != "distance"}))
    columns = {key: [value, value] for key, value in good.items()}
    row = failure_of(lambda: stub.many({**columns, "distance": [1.0, math.nan]}))
    for failure, field in ((nan, "features.distance"), (without, "features.distance"), (row, "columns.distance#1")):
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(failure.violations) == [field]
        assert "missing" in failure.violations[field]


def test_all_that_is_wrong_is_named_at_once(trip: Trip) -> None:
    """A caller mends a request once."""
    wrong = {**GOOD, "hour": 99, "origin": "XXX"}
    del wrong["weekend"]
    failure = failure_of(lambda: trip.compiled.one(wrong))
    assert set(failure.violations) == {"features.hour", "features.origin", "features.weekend"}
    assert set(failure_of(lambda: trip.compiled.one({})).violations) == {
        f"features.{name}" for name in GOOD if name != "distance"
    }


def test_no_rows_and_too_many_are_refused(trip: Trip) -> None:
    """A request has one row at least, and no more than the server says."""
    none = failure_of(lambda: trip.compiled.many({}))
    assert none.code is grpc.StatusCode.INVALID_ARGUMENT
    assert next(iter(none.violations.items())) == ("columns", "no rows: give at least one.")
    assert "columns.hour" in none.violations
    trip.compiled.many({name: [value] * 500 for name, value in GOOD.items()})
    many = failure_of(lambda: trip.compiled.many({name: [value] * 501 for name, value in GOOD.items()}))
    assert many.code is grpc.StatusCode.INVALID_ARGUMENT
    assert all("500" in description for description in many.violations.values()), many.violations
    assert set(many.violations) == {f"columns.{name}" for name in GOOD}


@pytest.mark.parametrize("method", ["Predict", "PredictBatch"])
def test_bytes_that_are_no_request_are_refused(trip: Trip, method: str) -> None:
    """INVALID_ARGUMENT, with what they should have been; texts that are no UTF-8 too."""
    call: Any = trip.channel.unary_unary(f"/trip.v1.TripService/{method}")
    for data in (b"\xff", b"not a message", b"\x0a\x05\x0a", b"\x12\x01\xff"):
        failure = failure_of(lambda data=data: call(data, timeout=PATIENCE_S))  # type: ignore[misc]
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert f"trip.v1.{method}Request" in failure.violations["request"]


@pytest.mark.parametrize("method", ["Predict", "PredictBatch"])
def test_what_cannot_be_read_counts_as_the_models(trip: Trip, method: str) -> None:
    """A service is one model's: the span of bytes that are no request names it, as every other one does."""
    call: Any = trip.channel.unary_unary(f"/trip.v1.TripService/{method}")
    failure_of(lambda: call(b"\xff", timeout=PATIENCE_S))

    def refused() -> list[Any]:
        spans = [span for span in trip.collector.spans if span.name == f"trip.v1.TripService/{method}"]
        return [span for span in spans if not id_of(span)]

    wait_until(lambda: bool(refused()), "the span came")
    assert {sink.attribute(span, telemetry.MODEL_NAME).string_value for span in refused()} == {TRIP}


@pytest.mark.parametrize(
    "method",
    ["/trip.v1.TripService/Guess", "/trip.v2.TripService/Predict", "/trip.v1.TripServices/Predict", "/Predict", "/"],
)
def test_what_there_is_not_is_unimplemented(trip: Trip, method: str) -> None:
    """As gRPC has it: a method, a generation or a service that the server does not have."""
    call: Any = trip.channel.unary_unary(method)
    assert failure_of(lambda: call(b"", timeout=PATIENCE_S)).code is grpc.StatusCode.UNIMPLEMENTED


def test_an_id_that_is_too_long_is_refused(trip: Trip) -> None:
    """By the field that the caller compiled."""
    failure = failure_of(lambda: trip.compiled.one(GOOD, prediction_id="x" * (ID_LENGTH_MAX + 1)))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(failure.violations) == ["prediction_id"]


@pytest.mark.parametrize(
    "part",
    [b"\x0a\x00", b"\x22\x00", b"\x2a\x00", b"\x60\x01", b"\x63\x64", b"\xfa\x7f\x00"],
    ids=["number", "text", "other text", "unknown", "group", "large number"],
)
@pytest.mark.parametrize("method", ["Predict", "PredictBatch"])
def test_more_parts_than_any_version_takes_are_refused_unread(trip: Trip, method: str, part: bytes) -> None:
    """Millions of empty parts, of a column or of fields that nobody knows, cost neither memory nor time.

    Texts of a batch are rows, so there the refusal names the column.
    """
    parts = part * (8_000_000 // len(part))
    texts = {b"\x22\x00": "columns.carrier", b"\x2a\x00": "columns.origin"} if method == "PredictBatch" else {}
    length = len(parts)
    head = b"\x0a" + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14 & 127 | 128, length >> 21])
    call: Any = trip.channel.unary_unary(f"/trip.v1.TripService/{method}")
    for data, field in ((head + parts, texts.get(part, "request")), (parts, "request")):
        failure = failure_of(lambda data=data: call(data, timeout=PATIENCE_S))  # type: ignore[misc]
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(failure.violations) == [field]


def test_many_long_texts_are_answered(trip: Trip) -> None:
    """A large request that is well made is counted and answered."""
    rows = 500
    columns = {name: [value] * rows for name, value in GOOD.items()} | {"carrier": ["x" * 200] * rows}
    answered = trip.compiled.many(columns).predictions.probabilities.class_true
    assert len(answered) == rows
    assert set(answered) == {trip.compiled.many({**columns}).predictions.probabilities.class_true[0]}


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_whatever_bytes_come_the_server_is_not_at_fault(trip: Trip, data: st.DataObject) -> None:
    """A request that was cut, changed, or made of any bytes is answered or refused; never INTERNAL or UNKNOWN."""
    many = data.draw(st.booleans())
    good = (
        trip.compiled.batch_request(columns={name: [value] * 3 for name, value in GOOD.items()})
        if many
        else trip.compiled.request(features=GOOD)
    )
    written = bytearray(good.SerializeToString())
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(written)))
        written[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if data.draw(st.integers(0, 3)) == 0:
        # Within the message that holds the inputs, as a field that nobody knows.
        inner = data.draw(st.binary(max_size=60))
        written = bytearray(good.SerializeToString() + b"\x0a" + bytes([len(inner)]) + inner)
    call: Any = trip.channel.unary_unary(f"/trip.v1.TripService/Predict{'Batch' if many else ''}")
    try:
        call(bytes(written), timeout=PATIENCE_S)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, (bytes(written), error)  # noqa: PT017 - or answered


# ------------------------------------------------------------------------------------------------ beside the message


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_both_reflections_have_the_service_with_its_comments(trip: Trip, version: str) -> None:
    """Whoever reads the file that reflection gives reads what each field means."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol="trip.v1.TripService")
    call: Any = trip.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=request.__class__.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = call(iter([request]), timeout=PATIENCE_S)
    (data,) = answer.file_descriptor_response.file_descriptor_proto
    file = FileDescriptorProto.FromString(data)
    assert file == schema(form_of(Registry(str(trip.registry)).manifest(TRIP, 1)))
    comments = [location.leading_comments for location in file.source_code_info.location]
    assert any("From 0 to 23." in comment for comment in comments)


def test_fields_that_are_not_known_are_passed_over_and_named(trip: Trip) -> None:
    """The answer is that to what is known; the trailer has the numbers, also where a group is among them."""
    expected = trip.compiled.one(GOOD).prediction
    columns = {name: [value] for name, value in GOOD.items()}
    unknown = b"\xa0\x06\x01" + b"\x9b\x06\x08\x01\x9c\x06"
    for stub in trip.stubs:
        request = stub.request(features=GOOD)
        request.features.MergeFromString(unknown)
        answer, call = stub.predict.with_call(request, timeout=PATIENCE_S)
        assert dict(call.trailing_metadata())["sardonyx-unknown-fields"] == "99,100"
        assert answer.prediction.probabilities.class_true == expected.probabilities.class_true
        batch = stub.batch_request(columns=columns)
        batch.columns.MergeFromString(unknown)
        answers, call = stub.predict_batch.with_call(batch, timeout=PATIENCE_S)
        assert dict(call.trailing_metadata())["sardonyx-unknown-fields"] == "99,100"
        assert list(answers.predictions.probabilities.class_true) == [expected.probabilities.class_true]
        _, call = stub.predict.with_call(stub.request(features=GOOD), timeout=PATIENCE_S)
        assert "sardonyx-unknown-fields" not in dict(call.trailing_metadata())


def test_who_asks_where_the_time_went_is_told(trip: Trip) -> None:
    """``x-server-timing: 1`` brings the trailer, in both forms; a call without it gets none."""
    columns = {name: [value] for name, value in GOOD.items()}
    one, many = trip.compiled.request(features=GOOD), trip.compiled.batch_request(columns=columns)
    for method, request in ((trip.compiled.predict, one), (trip.compiled.predict_batch, many)):
        _, call = method.with_call(request, timeout=PATIENCE_S, metadata=[("x-server-timing", "1")])
        timing = dict(call.trailing_metadata())["server-timing"]
        assert [part.split(";")[0] for part in timing.split(", ")] == ["decode", "queue", "run", "encode"]
        _, call = method.with_call(request, timeout=PATIENCE_S)
        assert "server-timing" not in dict(call.trailing_metadata())


def test_ids_and_versions_are_in_the_answer(trip: Trip) -> None:
    """One's own id comes back; who gives none is given one, another each time."""
    own = trip.compiled.one(GOOD, prediction_id="mine")
    assert (own.prediction_id, own.model_version, own.route) == ("mine", 1, "live")
    given = {trip.compiled.many({name: [value] for name, value in GOOD.items()}).prediction_id for _ in range(5)}
    assert len(given) == 5
    assert "" not in given


@pytest.mark.parametrize("form", ["Predict", "PredictBatch"])
def test_a_call_is_a_span_with_its_outputs_and_inputs(trip: Trip, form: str) -> None:
    """Named by service and method, with id, version, outputs and the captured inputs, by the inputs' own names."""
    mine = f"span-of-{form}"
    if form == "Predict":
        answered = trip.compiled.one(GOOD, prediction_id=mine).prediction.probabilities.class_true
    else:
        columns = {name: [value] for name, value in GOOD.items()}
        (answered,) = trip.compiled.many(columns, prediction_id=mine).predictions.probabilities.class_true
    wait_until(lambda: mine in trip.collector.ids, "the span came")
    span = trip.collector.spans[trip.collector.ids.index(mine)]
    assert span.name == f"trip.v1.TripService/{form}"
    assert sink.attribute(span, telemetry.RPC_METHOD).string_value == f"trip.v1.TripService/{form}"
    assert sink.attribute(span, telemetry.INTERFACE_MAJOR).int_value == 1
    assert sink.attribute(span, telemetry.MODEL_VERSION).int_value == 1
    assert sink.attribute(span, telemetry.ROWS).int_value == 1
    probabilities = sink.attribute(span, telemetry.OUTPUT_PROBABILITIES).array_value.values
    assert [each.double_value for each in probabilities] == pytest.approx([1 - answered, answered])


@pytest.mark.parametrize("form", ["Predict", "PredictBatch"])
def test_captured_inputs_have_their_own_names(trip: Trip, form: str) -> None:
    """Whatever callers compile, the monitor reads what the model was trained on."""

    def captured() -> dict[str, Any]:
        """Of a call whose turn it was; another call where there was none."""
        if form == "Predict":
            trip.compiled.one(GOOD, prediction_id="captured")
        else:
            trip.compiled.many({name: [value] for name, value in GOOD.items()}, prediction_id="captured")
        spans = [
            span for span, each in zip(trip.collector.spans, trip.collector.ids, strict=False) if each == "captured"
        ]
        found = [inputs_of(span) for span in spans if span.name.endswith(f"/{form}")]
        return next((each for each in found if each), {})

    wait_until(lambda: bool(captured()), "a call was captured")
    found = captured()
    assert found.keys() == GOOD.keys()
    assert [each.string_value for each in found["carrier"]] == ["UA"]
    assert [each.double_value for each in found["distance"]] == [0.5]


def id_of(span: Any) -> str:
    """The prediction's."""
    return str(sink.attribute(span, telemetry.PREDICTION_ID).string_value)


def inputs_of(span: Any) -> dict[str, Any]:
    """The captured values of a span, by input."""
    return {
        each.key.removeprefix(telemetry.INPUT_VALUE_PREFIX): each.value.array_value.values
        for each in span.attributes
        if each.key.startswith(telemetry.INPUT_VALUE_PREFIX)
    }


def test_a_refusal_is_a_span_too(trip: Trip) -> None:
    """With its code, by the method that was called."""
    failure_of(lambda: trip.compiled.one({**GOOD, "hour": 99}, prediction_id="refused"))
    wait_until(lambda: "refused" in trip.collector.ids, "the span came")
    span = trip.collector.spans[trip.collector.ids.index("refused")]
    assert span.name == "trip.v1.TripService/Predict"
    assert sink.attribute(span, telemetry.RPC_STATUS).string_value == "INVALID_ARGUMENT"


# ------------------------------------------------------------------------------------------------ routes and rights


def test_a_token_is_for_its_model_whatever_the_door(scene: Scene, tmp_path: Path) -> None:
    """Who may not ask for a model's predictions may not by its own service either."""
    path = write(tmp_path / "tokens.toml", *ENTRIES)
    with serving_with(scene, path) as (_, address):
        with calling(address, ADMIN) as admin:
            wait_until(lambda: is_answered(admin, scene), "the server answers")
        with calling(address, BOOKING) as channel:
            assert is_answered(channel, scene)
            other = by_form(channel, Registry(str(scene.registry)).manifest(CLASSIFIER, 1))
            good = row_of(frame_of(24, 1), 0)
            assert failure_of(lambda: other.one(good)).code is grpc.StatusCode.PERMISSION_DENIED
        for token, code in (
            (SCREENS, grpc.StatusCode.PERMISSION_DENIED),
            ("", grpc.StatusCode.UNAUTHENTICATED),
            (EXPIRED, grpc.StatusCode.UNAUTHENTICATED),
        ):
            with calling(address, token) as channel:
                stub = by_form(channel, Registry(str(scene.registry)).manifest(REGRESSOR, 1))
                assert failure_of(lambda stub=stub: stub.one({})).code is code  # type: ignore[misc]


def test_a_refusal_does_not_say_whether_there_is_such_a_service(scene: Scene, tmp_path: Path) -> None:
    """A service that the caller may not call and one that does not exist are refused alike, whatever is sent to them.

    Who may read learns which it is, and so does who may call every model.
    """
    everything = new_token()
    entries = [*ENTRIES, Token("all", digest_of(everything), frozenset({Role.INFER}), frozenset({"*"}))]
    missing = "flight_dela.v1.FlightDelaService"
    there = typed_service(Registry(str(scene.registry)).manifest(CLASSIFIER, 1)).name

    def told(channel: grpc.Channel, service: str, method: str, data: bytes) -> tuple[grpc.StatusCode, Any]:
        call: grpc.UnaryUnaryMultiCallable[Any, Any] = channel.unary_unary(f"/{service}/{method}")
        failure = failure_of(lambda: call(data, timeout=PATIENCE_S))
        return failure.code, failure.status and str(failure.status).replace(service, "it")

    with serving_with(scene, write(tmp_path / "tokens.toml", *entries)) as (_, address):
        with calling(address, ADMIN) as admin:
            # Of a version that still loads there is no service yet.
            wait_until(lambda: is_ready(admin), "every model answers")
        for method, data in itertools.product(("Predict", "PredictBatch", "Nope", ""), (b"", b"\x0a\xff", b"\x00")):
            with calling(address, BOOKING) as channel:
                refused = told(channel, missing, method, data)
                assert refused[0] is grpc.StatusCode.PERMISSION_DENIED
                assert refused == told(channel, there, method, data)
            with calling(address, SCREENS) as channel:
                assert told(channel, there, method, data)[0] is grpc.StatusCode.PERMISSION_DENIED
                assert told(channel, missing, method, data)[0] is grpc.StatusCode.UNIMPLEMENTED
            with calling(address, everything) as channel:
                assert told(channel, missing, method, data)[0] is grpc.StatusCode.UNIMPLEMENTED


def is_answered(channel: grpc.Channel, scene: Scene) -> bool:
    """Whether the regressor's own service answers."""
    manifest = Registry(str(scene.registry)).manifest(REGRESSOR, 1)
    (field,) = form_of(manifest).inputs
    try:
        by_form(channel, manifest).one({field.name: [1.0, 2.0, 3.0]})
    except grpc.RpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        return False
    return True


def test_shares_and_shadows_are_the_same_by_every_door(tmp_path: Path) -> None:
    """A canary has its share of typed calls, by their keys, the same keys by every door; a shadow sees typed calls."""
    registry, name, collector = tmp_path / "registry", "sums", sink.Sink()
    interface = interface_of([pb.Input(name="number", datatype=pb.DATATYPE_INT64)])
    first = publish_sum(registry, name, interface)
    publish_sum(registry, name, interface)
    publish_sum(registry, name, interface)
    promote(name, 1, registry=str(registry))
    canary(name, 2, percent=40, registry=str(registry))
    shadow(name, 3, percent=100, registry=str(registry))
    with (
        sink.running(collector) as endpoint,
        running_server(registry, *ALONE, "--poll-interval-s", "0.05", "--otlp-endpoint", endpoint) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: len(routes_of(channel, name)) == 3, "all versions are ready")
        stub = by_form(channel, first)
        keys = [f"key-{number}" for number in range(200)]
        versions = [stub.one({"number": 1}, routing_key=key).model_version for key in keys]
        assert set(versions) == {1, 2}
        assert 40 <= versions.count(2) <= 120
        assert [stub.many({"number": [1]}, routing_key=key).model_version for key in keys] == versions
        assert [stub.one({"number": 1}, [("routing-key", key)]).model_version for key in keys] == versions
        by_tensor = request_of(name, {"number": np.array([1])}, {"number": "INT64"})
        call: Any = channel.unary_unary(
            f"/{oip.SERVICE}/ModelInfer",
            request_serializer=oip.ModelInferRequest.SerializeToString,
            response_deserializer=oip.ModelInferResponse.FromString,
        )
        asked = [call(by_tensor, timeout=PATIENCE_S, metadata=[("routing-key", key)]) for key in keys]
        assert [int(each.model_version) for each in asked] == versions
        answers = [stub.one({"number": 1}, routing_key=key) for key in keys]
        assert {each.route for each in answers if each.model_version == 2} == {"canary"}
        wait_until(lambda: bool(shadowed(collector)), "the shadow's spans came")
        assert {sink.attribute(span, telemetry.MODEL_VERSION).int_value for span in shadowed(collector)} == {3}


def routes_of(channel: grpc.Channel, name: str) -> list[int]:
    """The versions of a model that are ready."""
    try:
        found = get_model(channel, name).versions
    except grpc.RpcError:
        return []
    return [each.version for each in found if each.state == serving.STATE_READY]


def shadowed(collector: sink.Sink) -> list[Any]:
    """What the shadow had to say to typed calls."""
    return [
        span
        for span in collector.spans
        if span.name.startswith("sums.v1.SumsService/")
        and sink.attribute(span, telemetry.ROUTE).string_value == "shadow"
    ]


# ------------------------------------------------------------------------------------------- inputs that may miss


def test_an_added_optional_input_breaks_nobody(tmp_path: Path) -> None:
    """By every door: who does not know it is answered as if it were missing, who does has it counted; ranges hold."""
    registry, name = tmp_path / "registry", "grown"
    number = pb.Input(name="number", datatype=pb.DATATYPE_INT64, minimum=0, maximum=10)
    wind = pb.Input(
        name="wind", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True, maximum=50
    )
    first = publish_sum(registry, name, interface_of([number]))
    promote(name, 1, registry=str(registry))
    with (
        running_server(registry, *ALONE, "--poll-interval-s", "0.05") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: 1 in routes_of(channel, name), "the first version is ready")
        old = by_form(channel, first)
        before = old.one({"number": 3}).prediction.value
        assert before == total(first.interface, {"number": 3})
        # In front of what there was: numbers come from the ledger, and not from the order.
        second = publish_sum(registry, name, interface_of([wind, number]))
        assert second.verdict.kind == Verdict.KIND_COMPATIBLE
        promote(name, 2, registry=str(registry))
        wait_until(lambda: old.one({"number": 3}).model_version == 2, "the second version answers")
        new = by_reflection(channel, "grown.v1.GrownService")
        assert old.one({"number": 3}).prediction.value == before
        assert list(old.many({"number": [3, 3]}).predictions.value) == [before] * 2
        without = {"number": np.array([3])}
        assert values_of(infer(channel, request_of(name, without, TYPES))) == [before]
        assert values_of(infer(channel, request_of(name, without, TYPES, raw=False))) == [before]

        blown = total(second.interface, {"number": 3, "wind": 20.0})
        assert new.one({"number": 3, "wind": 20.0}).prediction.value == blown
        assert list(new.many({"number": [3], "wind": [20.0]}).predictions.value) == [blown]
        assert list(new.many({"number": [3, 3], "wind": [math.nan, 20.0]}).predictions.value) == [before, blown]
        with_wind = {"wind": np.array([20.0]), "number": np.array([3])}
        assert values_of(infer(channel, request_of(name, with_wind, TYPES))) == [blown]

        for values, at_fault in (({"number": 11}, "number"), ({"number": 3, "wind": 51.0}, "wind")):
            typed = failure_of(lambda values=values: new.one(values))  # type: ignore[misc]
            tensors = {key: np.array([value]) for key, value in values.items()}
            raw = failure_of(lambda tensors=tensors: infer(channel, request_of(name, tensors, TYPES)))  # type: ignore[misc]
            assert typed.code is raw.code is grpc.StatusCode.INVALID_ARGUMENT
            assert typed.violations == {f"features.{at_fault}": raw.violations[f"inputs[{at_fault}]#0"]}
        alone = {"wind": np.array([1.0])}
        assert list(failure_of(lambda: infer(channel, request_of(name, alone, TYPES))).violations) == ["inputs[number]"]
        assert list(failure_of(lambda: new.one({"wind": 1.0})).violations) == ["features.number"]


TYPES: Final = {"number": "INT64", "wind": "FP64"}


def values_of(response: oip.ModelInferResponse) -> list[float]:
    """A regressor's answer, raw or not."""
    return value_of(response) if response.raw_output_contents else list(response.outputs[0].contents.fp64_contents)


def test_where_all_may_miss_a_row_is_one_and_no_columns_are_none(tmp_path: Path) -> None:
    """A row of nothing is a row; columns of nothing say no number of rows, and are refused by their name."""
    wind = pb.Input(name="wind", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True)
    manifest = publish_sum(tmp_path, "all-may-miss", interface_of([wind]))
    promote("all-may-miss", 1, registry=str(tmp_path))
    with (
        running_server(tmp_path, *ALONE, "--poll-interval-s", "0.05") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: 1 in routes_of(channel, "all-may-miss"), "the version is ready")
        stub = by_form(channel, manifest)
        assert stub.one({}).prediction.value == 0.0
        failure = failure_of(lambda: stub.many({}))
        assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
        assert list(failure.violations) == ["columns"]


def test_two_versions_with_an_optional_input_each_never_meet(tmp_path: Path) -> None:
    """A canary that has not the live version's optional input may not stand beside it: callers send that."""
    registry, name = tmp_path / "registry", "apart"
    number = pb.Input(name="number", datatype=pb.DATATYPE_INT64)
    added = [
        pb.Input(name=each, datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_ALLOWED, optional=True)
        for each in ("wind", "rain")
    ]
    publish_sum(registry, name, interface_of([number]))
    promote(name, 1, registry=str(registry))
    for each in added:
        assert publish_sum(registry, name, interface_of([number, each])).verdict.kind == Verdict.KIND_COMPATIBLE
    promote(name, 2, registry=str(registry))
    for act in (
        lambda: promote(name, 3, registry=str(registry)),
        lambda: canary(name, 3, percent=1, registry=str(registry)),
    ):
        with pytest.raises(RuleBroken, match="wind"):
            act()
