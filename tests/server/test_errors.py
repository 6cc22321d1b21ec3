"""The error table of the design, row by row, as a client reads it: code, message, details."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_raw
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import promote
from server.scene import (
    ALONE,
    CLASSIFIER,
    DATATYPES,
    LONG,
    LOOKUP,
    PATIENCE_S,
    REGRESSOR,
    SLOW,
    Scene,
    answers,
    array_of,
    ask,
    blob_path,
    classifier_request,
    columns_of,
    export_regressor,
    failure_of,
    frame_of,
    get_model,
    get_server,
    infer,
    infer_later,
    is_ready,
    number_request,
    promote_endless,
    regressor_request,
    request_of,
    states_of,
    value_of,
    wait_until,
)
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server.scene import Failure

ROWS = 8


def refused(channel: grpc.Channel, request: oip.ModelInferRequest) -> dict[str, str]:
    """What BadRequest names of a prediction request, once all else that the table asks holds."""
    failure = failure_of(lambda: infer(channel, request))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail_names == ["ErrorInfo", "BadRequest"]
    assert (failure.info.reason, failure.info.domain) == ("INVALID_INPUT", "sardonyx")
    for field, description in failure.violations.items():
        assert field.partition("#")[0] in failure.message
        assert description in failure.message
    return failure.violations


def not_found(failure: Failure, reason: str) -> dict[str, str]:
    """The metadata of a NOT_FOUND."""
    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.detail_names == ["ErrorInfo"]
    assert (failure.info.reason, failure.info.domain) == (reason, "sardonyx")
    return dict(failure.info.metadata)


def start_server(scene: Scene, *arguments: str) -> Program:
    """A server of one worker on a free port, for tests that end it or read its log."""
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    return Program.start("sardonyx_server", *fixed, *arguments)


# NOT_FOUND


def test_unknown_model_names_the_nearest(channel: grpc.Channel) -> None:
    """A model that nobody serves is NOT_FOUND, with the names most like it in the details and in the message."""
    request = classifier_request(frame_of(3, ROWS))
    request.model_name = "flight-dellay"
    failure = failure_of(lambda: infer(channel, request))
    metadata = not_found(failure, "MODEL_NOT_FOUND")
    assert metadata["model"] == "flight-dellay"
    assert json.loads(metadata["nearest"]) == [CLASSIFIER]
    assert failure.message == "There is no model named 'flight-dellay' here. Did you mean 'flight-delay'?"


def test_unknown_model_unlike_any_says_where_to_look(channel: grpc.Channel) -> None:
    """Where no name is near, the message says which there are."""
    failure = failure_of(lambda: infer(channel, oip.ModelInferRequest(model_name="zzzzzzzz")))
    assert json.loads(not_found(failure, "MODEL_NOT_FOUND")["nearest"]) == []
    assert "There is 'arrival', 'flight-delay'" in failure.message


def test_unknown_version_names_those_served(channel: grpc.Channel) -> None:
    """A version that is not served is NOT_FOUND, with the served ones."""
    failure = failure_of(lambda: infer(channel, classifier_request(frame_of(3, ROWS), version="7")))
    metadata = not_found(failure, "VERSION_NOT_FOUND")
    assert (metadata["model"], metadata["version"]) == (CLASSIFIER, "7")
    assert json.loads(metadata["nearest"]) == ["1"]
    assert "'1'" in failure.message


@pytest.mark.parametrize("route", ["v2", "canary", "latest", "0", "-1", "1.0"])
def test_unknown_route_names_those_there_are(channel: grpc.Channel, route: str) -> None:
    """Anything else in model_version is a route; one that is not there is NOT_FOUND, with those that are."""
    failure = failure_of(lambda: infer(channel, classifier_request(frame_of(3, ROWS), version=route)))
    metadata = not_found(failure, "ROUTE_NOT_FOUND")
    assert (metadata["model"], metadata["route"]) == (CLASSIFIER, route)
    assert json.loads(metadata["nearest"]) == ["v1", "1"]


@pytest.mark.parametrize(
    ("method", "request_", "response"),
    [
        ("ModelReady", oip.ModelReadyRequest(name="flight-dela"), oip.ModelReadyResponse),
        ("ModelMetadata", oip.ModelMetadataRequest(name="flight-dela"), oip.ModelMetadataResponse),
    ],
)
def test_every_call_with_a_model_knows_not_found(
    channel: grpc.Channel, method: str, request_: Any, response: Any
) -> None:
    """ModelReady and ModelMetadata answer an unknown model as ModelInfer does."""
    failure = failure_of(lambda: ask(channel, method, request_, response))
    assert json.loads(not_found(failure, "MODEL_NOT_FOUND")["nearest"]) == [CLASSIFIER]


def test_model_service_knows_not_found(channel: grpc.Channel) -> None:
    """ModelService answers an unknown model as the Open Inference Protocol's door does."""
    failure = failure_of(lambda: get_model(channel, "flight-dela"))
    assert json.loads(not_found(failure, "MODEL_NOT_FOUND")["nearest"]) == [CLASSIFIER]


# INVALID_ARGUMENT


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_wrong_name_names_the_nearest_and_what_is_missing(channel: grpc.Channel, raw: bool) -> None:
    """An input of another name is refused with the name that was meant, and that one is named as missing."""
    columns = columns_of(frame_of(3, ROWS))
    columns["distanc"] = columns.pop("distance")
    violations = refused(channel, request_of(CLASSIFIER, columns, {**DATATYPES, "distanc": "FP64"}, raw=raw))
    assert violations.keys() == {"inputs[distanc]", "inputs[distance]"}
    assert "'distance'" in violations["inputs[distanc]"]
    assert violations["inputs[distance]"] == "missing. Send it as FP64, one value a row."


def test_wrong_name_unlike_any_lists_the_inputs(channel: grpc.Channel) -> None:
    """Where no name is near, all inputs are listed."""
    request = request_of(
        CLASSIFIER, {**columns_of(frame_of(3, ROWS)), "zzz": np.zeros(ROWS)}, {**DATATYPES, "zzz": "FP64"}
    )
    violations = refused(channel, request)
    assert violations.keys() == {"inputs[zzz]"}
    assert all(name in violations["inputs[zzz]"] for name in DATATYPES)


def test_all_missing_inputs_are_named_at_once(channel: grpc.Channel) -> None:
    """A request without inputs learns of every input and its type."""
    violations = refused(channel, oip.ModelInferRequest(model_name=CLASSIFIER))
    assert violations.keys() == {f"inputs[{name}]" for name in DATATYPES}
    assert all(DATATYPES[field[7:-1]] in description for field, description in violations.items())


def test_a_missing_array_says_its_width(channel: grpc.Channel) -> None:
    """An array that is missing is named with how many values a row has."""
    violations = refused(channel, oip.ModelInferRequest(model_name=REGRESSOR))
    assert violations == {"inputs[features]": "missing. Send it as FP64, 3 values a row."}


def test_an_input_sent_twice_is_refused(channel: grpc.Channel) -> None:
    """Which of two should count is not guessed."""
    request = classifier_request(frame_of(3, ROWS), raw=False)
    request.inputs.append(request.inputs[0])
    assert refused(channel, request) == {"inputs[distance]": "sent twice. Send each input once."}


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BYTES", "FP16", "", "fp64"])
def test_wrong_type_says_expected_and_got(channel: grpc.Channel, datatype: str) -> None:
    """A tensor of another type is refused with both types."""
    request = classifier_request(frame_of(3, ROWS))
    request.inputs[0].datatype = datatype
    assert refused(channel, request) == {"inputs[distance].datatype": f"expected FP64, got {datatype!r}."}


@pytest.mark.parametrize("shape", [[], [0], [-1], [ROWS, 2], [1, ROWS], [ROWS, 1, 1], [0, 1], [-1, -1], [-ROWS, 1]])
def test_wrong_shape_of_a_column_says_expected_and_got(channel: grpc.Channel, shape: list[int]) -> None:
    """A column takes [rows] or [rows, 1], and no other shape."""
    request = classifier_request(frame_of(3, ROWS))
    request.inputs[0].shape[:] = shape
    expected = f"expected [rows] or [rows, 1] with one row at least, got {shape}."
    assert refused(channel, request) == {"inputs[distance].shape": expected}


@pytest.mark.parametrize("shape", [[3], [1, 2], [2, 3, 1], [0, 3], [-1, 3], [3, 1]])
def test_wrong_shape_of_an_array_says_expected_and_got(channel: grpc.Channel, shape: list[int]) -> None:
    """An array takes [rows, its width], and no other shape."""
    request = regressor_request(array_of(3, rows=1))
    request.inputs[0].shape[:] = shape
    expected = f"expected [rows, 3] with one row at least, got {shape}."
    assert refused(channel, request) == {"inputs[features].shape": expected}


def test_a_column_of_shape_rows_by_one_is_right(channel: grpc.Channel) -> None:
    """Triton's clients send columns as [rows, 1]: that is the same request."""
    frame = frame_of(3, ROWS)
    request = classifier_request(frame)
    for tensor in request.inputs:
        tensor.shape[:] = [ROWS, 1]
    want = infer(channel, classifier_request(frame)).raw_output_contents
    assert list(infer(channel, request).raw_output_contents) == list(want)


def test_columns_of_different_lengths_are_named(channel: grpc.Channel) -> None:
    """Where the rows of two inputs differ, the one that differs from the first is named with both numbers."""
    columns = columns_of(frame_of(3, ROWS))
    columns["carrier"] = columns["carrier"][:-1]
    violations = refused(channel, request_of(CLASSIFIER, columns, DATATYPES))
    assert violations == {"inputs[carrier].shape": f"{ROWS - 1} rows, others have {ROWS}."}


@pytest.mark.parametrize("count", [ROWS - 1, ROWS + 1, 0])
def test_raw_bytes_of_another_length_are_refused(channel: grpc.Channel, count: int) -> None:
    """Raw contents must hold as many bytes as the shape says."""
    request = classifier_request(frame_of(3, ROWS))
    request.raw_input_contents[0] = bytes(8 * count)
    expected = f"{ROWS} elements of FP64 take {8 * ROWS} bytes, got {8 * count}."
    assert refused(channel, request) == {"inputs[distance].contents": expected}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "at least"),
        (encode_raw("BYTES", np.array(["AA"] * (ROWS - 1), dtype=object)), "expected, got"),
        (encode_raw("BYTES", np.array(["AA"] * (ROWS + 1), dtype=object)), "expected, got"),
        (encode_raw("BYTES", np.array(["AA"] * ROWS, dtype=object))[:-1], "are left"),
        (encode_raw("BYTES", np.array(["AA"] * ROWS, dtype=object)) + b"\x00", "cut off"),
        (b"\xff\xff\xff\xff" * ROWS, "says 4294967295 bytes"),
        (b"\x01\x00\x00\x00\xff" * ROWS, "no UTF-8"),
    ],
    ids=["empty", "fewer", "more", "cut-off", "tail", "huge-length", "no-utf8"],
)
def test_raw_text_that_is_none_is_refused(channel: grpc.Channel, data: bytes, what: str) -> None:
    """Raw BYTES that do not hold what they say are the caller's error and named as such."""
    request = classifier_request(frame_of(3, ROWS))
    request.raw_input_contents[2] = data
    violations = refused(channel, request)
    assert violations.keys() == {"inputs[carrier].contents"}
    assert what in violations["inputs[carrier].contents"]


def test_a_shape_beyond_all_memory_is_refused(channel: grpc.Channel) -> None:
    """A shape alone makes the server allocate nothing."""
    request = classifier_request(frame_of(3, ROWS), raw=False)
    for tensor in request.inputs:
        tensor.shape[:] = [1 << 62]
    assert refused(channel, request).keys() == {f"inputs[{name}].shape" for name in DATATYPES}


def test_typed_contents_in_another_field_are_refused(channel: grpc.Channel) -> None:
    """Typed contents belong in the field of their type; the message names the one that was filled."""
    request = classifier_request(frame_of(3, ROWS), raw=False)
    contents = request.inputs[0].contents
    contents.fp32_contents.extend(contents.fp64_contents)
    del contents.fp64_contents[:]
    expected = f"{ROWS} elements expected in fp64_contents, filled is fp32_contents."
    assert refused(channel, request) == {"inputs[distance].contents": expected}


def test_typed_text_that_is_no_utf8_is_refused(channel: grpc.Channel) -> None:
    """Text is UTF-8; the element that is none is named."""
    request = classifier_request(frame_of(3, ROWS), raw=False)
    request.inputs[2].contents.bytes_contents[3] = b"\xff"
    assert refused(channel, request) == {"inputs[carrier].contents": "element 3 of BYTES is no UTF-8 at byte 0."}


@pytest.mark.parametrize("raw", [True, False], ids=["raw", "typed"])
def test_missing_values_without_a_policy_name_their_rows(channel: grpc.Channel, raw: bool) -> None:
    """NaN that the model has no policy for is refused, with the input and the row."""
    frame = frame_of(3, ROWS)
    frame.loc[[2, 5], "distance"] = np.nan
    violations = refused(channel, classifier_request(frame, raw=raw))
    assert violations.keys() == {"inputs[distance]#2", "inputs[distance]#5"}
    assert all("NaN" in description for description in violations.values())


def test_of_many_missing_values_five_are_named_and_the_rest_counted(channel: grpc.Channel) -> None:
    """A request with a thousand wrong rows is answered with a short message."""
    array = array_of(3, rows=1000)
    array[:, 1] = np.nan
    violations = refused(channel, regressor_request(array))
    assert list(violations) == [*(f"inputs[features]#{row}" for row in range(5)), "inputs[features]"]
    assert violations["inputs[features]"].startswith("995 more rows")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_names_its_row(channel: grpc.Channel, value: float) -> None:
    """No model takes infinity."""
    frame = frame_of(3, ROWS)
    frame.loc[4, "distance"] = value
    assert refused(channel, classifier_request(frame)) == {"inputs[distance]#4": "infinite. Send a finite number."}


def test_unknown_category_names_its_row_and_the_nearest(channel: grpc.Channel) -> None:
    """A category that the model refuses is named with the row and the category that was meant."""
    frame = frame_of(3, ROWS)
    frame.loc[3, "origin"] = "JFX"
    violations = refused(channel, classifier_request(frame))
    assert violations == {"inputs[origin]#3": "'JFX' is an unknown category. Did you mean 'JFK'?"}


def test_unknown_category_unlike_any_lists_the_known(channel: grpc.Channel) -> None:
    """Where no category is near, the known ones are listed."""
    frame = frame_of(3, ROWS)
    frame.loc[0, "origin"] = "Österreich"
    violations = refused(channel, classifier_request(frame, raw=False))
    assert violations == {"inputs[origin]#0": "'Österreich' is an unknown category. Known are EWR, JFK, LGA."}


def test_all_that_is_wrong_is_named_at_once(channel: grpc.Channel) -> None:
    """A request that is wrong in three ways is refused once, with all three."""
    frame = frame_of(3, ROWS)
    frame.loc[1, "distance"] = np.nan
    frame.loc[2, "origin"] = "ZZZ"
    request = classifier_request(frame)
    request.inputs[1].datatype = "INT32"
    assert refused(channel, request).keys() == {"inputs[distance]#1", "inputs[origin]#2", "inputs[hour].datatype"}


def test_raw_and_typed_contents_mixed_are_refused(channel: grpc.Channel) -> None:
    """Raw bytes beside typed contents are refused, even where both say the same."""
    frame = frame_of(3, ROWS)
    request = classifier_request(frame, raw=False)
    request.raw_input_contents.extend(classifier_request(frame).raw_input_contents)
    violations = refused(channel, request)
    assert violations == {"raw_input_contents": "raw and typed contents are mixed. Send one of the two."}


@pytest.mark.parametrize("count", [1, 3, 5])
def test_raw_contents_for_another_number_of_inputs_are_refused(channel: grpc.Channel, count: int) -> None:
    """Raw contents are by position: there must be one for each input."""
    request = classifier_request(frame_of(3, ROWS))
    entries = [*request.raw_input_contents, b""]
    del request.raw_input_contents[:]
    request.raw_input_contents.extend(entries[:count])
    assert refused(channel, request).keys() == {"raw_input_contents"}


def test_an_unknown_output_names_the_nearest(channel: grpc.Channel) -> None:
    """An output that is asked for and does not exist is refused with the name that was meant."""
    request = classifier_request(frame_of(3, ROWS))
    request.outputs.add(name="lable")
    assert refused(channel, request) == {"outputs[lable]": "there is no such output. Did you mean 'label'?"}


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "ServerLive"])
def test_bytes_that_are_no_message_are_the_callers_error(channel: grpc.Channel, method: str) -> None:
    """Bytes that cannot be read are INVALID_ARGUMENT, not INTERNAL."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{oip.SERVICE}/{method}")
    failure = failure_of(lambda: call(b"\xff\xff\xff", timeout=PATIENCE_S))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail_names == ["ErrorInfo", "BadRequest"]
    assert f"inference.{method}Request" in failure.violations["request"]


# UNAVAILABLE


def test_a_version_that_loads_is_unavailable_with_a_time_to_return(tmp_path: Path) -> None:
    """While a version loads, calls to it are UNAVAILABLE and say when to come back; its model is not ready."""
    promote_endless(tmp_path, "late")
    with (
        running_server(tmp_path, *ALONE) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: states_of(channel, "late") == {1: serving.STATE_VERIFYING}, "the version loads")
        for selector in ("", "1", "v1"):
            request = regressor_request(array_of(3, rows=1), model="late", version=selector)
            failure = failure_of(functools.partial(infer, channel, request))
            assert failure.code is grpc.StatusCode.UNAVAILABLE
            assert failure.detail_names == ["ErrorInfo", "RetryInfo"]
            assert (failure.info.reason, failure.info.domain) == ("VERSION_NOT_READY", "sardonyx")
            assert dict(failure.info.metadata) == {"model": "late", "version": "1", "state": "verifying"}
            assert failure.retry_after_s > 0
            assert "is verifying" in failure.message
        ready = ask(channel, "ModelReady", oip.ModelReadyRequest(name="late"), oip.ModelReadyResponse)
        assert not ready.ready
        assert not is_ready(channel)


def test_a_version_that_failed_to_load_is_unavailable_and_keeps_its_reason_for_the_operator(tmp_path: Path) -> None:
    """A model whose only version is broken is UNAVAILABLE; the message leads to ModelService, which has the reason."""
    registry = tmp_path / "registry"
    promote("broken", export_regressor(registry, "broken", seed=1), registry=str(registry))
    blob_path(registry, "broken", 1).write_bytes(b"no graph")
    with (
        running_server(registry, *ALONE) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: states_of(channel, "broken") == {1: serving.STATE_FAILED}, "the version failed")
        request = regressor_request(array_of(3, rows=1), model="broken")
        failure = failure_of(lambda: infer(channel, request))
        assert failure.code is grpc.StatusCode.UNAVAILABLE
        assert failure.detail_names == ["ErrorInfo", "RetryInfo"]
        assert failure.info.reason == "UNAVAILABLE"
        assert "ModelService.GetModel says why" in failure.message
        assert "was changed" in get_model(channel, "broken").versions[0].reason


def test_a_draining_server_refuses_what_is_new_and_finishes_what_runs(scene: Scene) -> None:
    """After SIGTERM new calls are UNAVAILABLE with details while the one that runs is answered; the status is 0."""
    program = start_server(scene, "--queue-rows-max", "1")
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            quick = number_request(SLOW, 1)
            wait_until(lambda: answers(channel, quick), "the model answers")
            running = infer_later(channel, number_request(SLOW, LONG))
            wait_until(lambda: not answers(channel, quick), "the slow call runs and fills the queue")
            program.process.terminate()
            wait_until(lambda: get_server(channel).draining, "the server drains")
            failure = failure_of(lambda: infer(channel, quick))
            assert not running.done(), "the slow call was not slow enough for this test"
            assert failure.code is grpc.StatusCode.UNAVAILABLE
            assert failure.detail_names == ["ErrorInfo", "RetryInfo"]
            assert (failure.info.reason, failure.info.domain) == ("SERVER_DRAINING", "sardonyx")
            assert failure.retry_after_s > 0
            for method, request, response in (
                ("ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse),
                ("ModelReady", oip.ModelReadyRequest(name=SLOW), oip.ModelReadyResponse),
            ):
                assert not ask(channel, method, request, response).ready
            assert value_of(running.result(timeout=PATIENCE_S)) == [LONG]
    finally:
        assert program.stop() == 0, "".join(program.lines)


def test_calls_are_answered_during_the_grace_of_a_drain(scene: Scene) -> None:
    """Between NOT_SERVING and the refusals there is the grace: who has not heard yet is still answered."""
    arguments = (
        "--registry",
        str(scene.registry),
        "--listen",
        "127.0.0.1:0",
        "--workers",
        "1",
        "--drain-grace-s",
        "60",
    )
    program = Program.start("sardonyx_server", *arguments, "--drain-timeout-s", "120")
    try:
        with grpc.insecure_channel(program.wait_for(r"listening on (\S+:\d+)")[1]) as channel:
            request = regressor_request(array_of(3, rows=1))
            wait_until(lambda: answers(channel, request), "the model answers")
            program.process.terminate()
            program.wait_for("draining")
            assert infer(channel, request).model_version == "1"
    finally:
        # A second signal: there is no time for the grace.
        assert program.stop() == 0, "".join(program.lines)


# RESOURCE_EXHAUSTED


def test_a_full_queue_says_when_to_return_and_leaves_the_server_well(scene: Scene) -> None:
    """Rows that may fit later are RESOURCE_EXHAUSTED with a time to return; more than ever fit are INVALID_ARGUMENT."""
    arguments = (*ALONE, "--queue-rows-max", "2")
    with running_server(scene.registry, *arguments) as address, grpc.insecure_channel(address) as channel:
        quick = number_request(SLOW, 1)
        wait_until(lambda: answers(channel, quick), "the model answers")
        too_many = failure_of(lambda: infer(channel, number_request(SLOW, 1, 2, 3)))
        assert too_many.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "3 rows, and this server takes 2 at most" in too_many.message
        running = infer_later(channel, number_request(SLOW, LONG, LONG))
        wait_until(lambda: not answers(channel, quick), "the queue is full")
        failure = failure_of(lambda: infer(channel, quick))
        assert not running.done(), "the slow call was not slow enough for this test"
        _assert_overloaded(failure, "2 rows", "1 more", "of 2")
        # What does not wait is not in the queue.
        assert infer(channel, regressor_request(array_of(3, rows=2))).model_version == "1"
        assert value_of(running.result(timeout=PATIENCE_S)) == [LONG, LONG]
        assert value_of(infer(channel, number_request(SLOW, 1, 2))) == [1, 2]


def _assert_overloaded(failure: Failure, *words: str) -> None:
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert failure.detail_names == ["ErrorInfo", "RetryInfo"]
    assert (failure.info.reason, failure.info.domain) == ("OVERLOADED", "sardonyx")
    assert failure.retry_after_s > 0
    assert all(word in failure.message for word in words), failure.message


# DEADLINE_EXCEEDED


def test_a_deadline_that_passed_is_deadline_exceeded_and_leaves_the_server_well(channel: grpc.Channel) -> None:
    """A call whose time is up is DEADLINE_EXCEEDED; the table promises no details; the next call is answered."""
    failure = failure_of(lambda: infer(channel, number_request(SLOW, LONG), timeout_s=0.05))
    assert failure.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert failure.detail_names == []
    assert infer(channel, regressor_request(array_of(3, rows=1))).model_version == "1"


# INTERNAL


def test_an_unexpected_failure_says_nothing_of_its_cause(scene: Scene) -> None:
    """A failure inside is INTERNAL: a fixed sentence and an id that the log has with the cause; the next call works."""
    program = start_server(scene)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with grpc.insecure_channel(address) as channel:
            fits = number_request(LOOKUP, 1, 2)
            wait_until(lambda: answers(channel, fits), "the model answers")
            beyond = number_request(LOOKUP, 4711)
            failure = failure_of(lambda: infer(channel, beyond))
            assert failure.code is grpc.StatusCode.INTERNAL
            assert failure.detail_names == ["ErrorInfo"]
            assert (failure.info.reason, failure.info.domain) == ("INTERNAL_ERROR", "sardonyx")
            assert failure.info.metadata.keys() == {"errorId"}
            error_id = failure.info.metadata["errorId"]
            sentence = "The server failed to answer. Its log has the cause under error id "
            assert failure.message == f"{sentence}{error_id}."
            assert value_of(infer(channel, fits)) == [20.0, 30.0]
            program.wait_for(re.escape(error_id))
            program.wait_for("4711")
    finally:
        assert program.stop() == 0, "".join(program.lines)


# All of them


def test_an_error_with_much_to_say_still_arrives(channel: grpc.Channel) -> None:
    """However much is wrong with a request, its status fits the metadata that clients take: code and details arrive."""
    columns = {f"input-{number:04}-{'x' * 100}": np.zeros(1) for number in range(500)}
    violations = refused_in_short(channel, request_of(CLASSIFIER, columns, dict.fromkeys(columns, "FP64")))
    assert violations
    failure = failure_of(lambda: infer(channel, oip.ModelInferRequest(model_name="x" * 100_000)))
    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.info.reason == "MODEL_NOT_FOUND"


def refused_in_short(channel: grpc.Channel, request: oip.ModelInferRequest) -> dict[str, str]:
    """What BadRequest names, where it need not name all."""
    failure = failure_of(lambda: infer(channel, request))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.info.reason == "INVALID_INPUT"
    return failure.violations


def test_no_failure_is_unknown_or_without_a_sentence(channel: grpc.Channel) -> None:
    """Whatever is asked, the code is never UNKNOWN and the message is whole sentences."""
    array = array_of(3, rows=1)
    calls: list[Callable[[], Any]] = [
        lambda: infer(channel, oip.ModelInferRequest()),
        lambda: infer(channel, oip.ModelInferRequest(model_name="\u00e9\n")),
        lambda: infer(channel, regressor_request(array, version="9" * 40)),
        lambda: infer(channel, regressor_request(array, version="v" + "9" * 40)),
        lambda: infer(channel, number_request(LOOKUP, 99)),
        lambda: infer(channel, request_of(REGRESSOR, {"": array}, {"": "FP64"})),
        lambda: get_model(channel, ""),
    ]
    for call in calls:
        failure = failure_of(call)
        assert failure.code is not grpc.StatusCode.UNKNOWN
        assert failure.status is not None
        assert re.search(r"[.?]$", failure.message), failure.message
    assert get_server(channel).process_id


@pytest.mark.parametrize(
    "path",
    [
        f"/{oip.SERVICE}/ModelInfer",
        f"/{oip.SERVICE}/ModelMetadata",
        "/grpc.health.v1.Health/Check",
        "/sardonyx.serving.v1.ModelService/GetModel",
    ],
)
def test_bytes_that_are_no_message_are_the_callers_error_at_every_door(channel: grpc.Channel, path: str) -> None:
    """Garbage is INVALID_ARGUMENT with BadRequest on every service, and never UNKNOWN or INTERNAL."""
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
    failure = failure_of(lambda: call(b"\xff\xff garbage", timeout=PATIENCE_S))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert failure.detail_names == ["ErrorInfo", "BadRequest"]


def test_an_id_too_long_to_be_kept_is_refused(channel: grpc.Channel) -> None:
    """A request id beyond what an outcome may name is the caller's error, and its text is not sent back."""
    request = regressor_request(array_of(3, rows=1))
    request.id = "x" * 5_000_000
    failure = failure_of(lambda: infer(channel, request))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "5000000 characters, and an id has 1024 at most" in failure.message
