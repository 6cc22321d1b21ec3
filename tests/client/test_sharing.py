"""Calls that share requests: each gets its own rows' answer, and nobody notices the company."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client, telemetry
from sardonyx.client.coalescing import BYTES_MAX, CALL_ROWS_MAX, FLIGHTS, TIMEOUT_S_MIN
from sardonyx.client.flight import Call, Flight
from sardonyx.oip import coalesced
from server.scene import CLASSIFIER, LOOKUP, REGRESSOR, array_of, frame_of, wait_until
from server.sink import attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from server.scene import Scene
    from server.sink import Sink

CALLS = 400
#: What marks a server as one that knows shared requests.
OURS = {"sardonyx_version": "1"}


def _members(span: Span) -> list[str]:
    """The ids that a span speaks for."""
    shared = [each.value for each in span.attributes if each.key == telemetry.PREDICTION_IDS]
    if shared:
        return [value.string_value for value in shared[0].array_value.values]
    return [attribute(span, telemetry.PREDICTION_ID).string_value]


def _spans_of(collected: Sink, ids: Sequence[str]) -> list[Span]:
    """The spans of these predictions, once all have arrived."""

    def found() -> list[Span]:
        return [span for span in collected.spans if set(_members(span)) & set(ids)]

    wait_until(lambda: {each for span in found() for each in _members(span)} >= set(ids), "all are recorded")
    return found()


async def test_hundreds_of_callers_get_their_own_answers(address: str, scene: Scene, collected: Sink) -> None:
    """Of hundreds of calls at once each has its own row's answer and id, and each is recorded once, in few spans."""
    frame = frame_of(seed=11, rows=CALLS)
    rows = frame.to_dict("records")
    ids = [f"many-{index}" for index in range(CALLS)]
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        answers = await asyncio.gather(
            *(client.predict(CLASSIFIER, row, prediction_id=id_) for row, id_ in zip(rows, ids, strict=True))
        )
    probabilities = np.concatenate([answer.probabilities for answer in answers if answer.probabilities is not None])
    np.testing.assert_allclose(probabilities, scene.classifier.predict_proba(frame), rtol=1e-4, atol=1e-6)
    assert [answer.labels.tolist() for answer in answers if answer.labels is not None] == [
        [label] for label in scene.classifier.predict(frame)
    ]
    assert [answer.request_id for answer in answers] == ids
    assert {(answer.model, answer.version, answer.route) for answer in answers} == {(CLASSIFIER, 1, "live")}
    spans = _spans_of(collected, ids)
    assert sorted(each for span in spans for each in _members(span)) == sorted(ids)
    assert len(spans) < CALLS / 10


async def test_calls_leave_nothing_for_the_garbage_collector(address: str) -> None:
    """What a call was carried by goes with its answer: to collect it took as long as half of the call."""
    rows = frame_of(seed=14, rows=CALLS).to_dict("records")
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        gc.collect()
        gc.disable()
        try:
            await asyncio.gather(*(client.predict(CLASSIFIER, row) for row in rows))
            left = [each for each in gc.get_objects() if isinstance(each, Call | Flight)]
        finally:
            gc.enable()
    assert left == []


async def test_calls_of_all_forms_and_sizes_share(address: str, scene: Scene, collected: Sink) -> None:
    """Frames, dicts, columns and lists, of one row and of many, go together and come back to whom they belong."""
    frame = frame_of(seed=12, rows=120)
    parts = [frame.iloc[start : start + 1 + start % 5] for start in range(0, 110, 5)]
    forms: list[Any] = [
        (part, part.to_dict("records"), part.to_dict("list"), {name: part[name].to_numpy() for name in part})[index % 4]
        for index, part in enumerate(parts)
    ]
    ids = [f"forms-{index}" for index in range(len(parts))]
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        answers = await asyncio.gather(
            *(client.predict(CLASSIFIER, form, prediction_id=id_) for form, id_ in zip(forms, ids, strict=True))
        )
    for part, answer in zip(parts, answers, strict=True):
        assert answer.probabilities is not None
        assert len(answer) == len(answer.prediction_ids) == len(part)
        np.testing.assert_allclose(answer.probabilities, scene.classifier.predict_proba(part), rtol=1e-4, atol=1e-6)
    spans = _spans_of(collected, ids)
    assert sorted(each for span in spans for each in _members(span)) == sorted(ids)
    assert len(spans) <= FLIGHTS + 1


async def test_arrays_share(address: str, scene: Scene) -> None:
    """Rows of a plain array, one each or several, are answered as the source model answers them."""
    array = array_of(seed=13, rows=300)
    pieces: list[Any] = [array[start] if start % 2 else array[start : start + 1] for start in range(len(array))]
    async with AsyncClient(address) as client:
        answers = await asyncio.gather(*(client.predict(REGRESSOR, piece) for piece in pieces))
    found = np.concatenate([np.ravel(answer.values) for answer in answers if answer.values is not None])
    np.testing.assert_allclose(found, scene.regressor.predict(array), rtol=1e-6)


async def test_models_versions_and_clients_do_not_mix(address: str, client: Client, scene: Scene) -> None:
    """Calls to different models and selectors at once are each answered by whom they named; as the other client is."""
    array, frame = array_of(seed=14, rows=40), frame_of(seed=14, rows=40)
    rows = frame.to_dict("records")
    async with AsyncClient(address) as calling:
        answers = await asyncio.gather(
            *(calling.predict(REGRESSOR, row) for row in array),
            *(calling.predict(CLASSIFIER, row, version=1) for row in rows),
            *(calling.predict(CLASSIFIER, row, version="v1") for row in rows),
            *(calling.predict(LOOKUP, {"number": index % 3}) for index in range(40)),
        )
    assert [answer.route for answer in answers] == ["live"] * 40 + ["pinned"] * 40 + ["live"] * 80
    alone = [client.predict(CLASSIFIER, row, version=1) for row in rows]
    for first, second, third in zip(alone, answers[40:80], answers[80:120], strict=True):
        np.testing.assert_array_equal(first.outputs["probabilities"], second.outputs["probabilities"])
        np.testing.assert_array_equal(first.outputs["probabilities"], third.outputs["probabilities"])
        assert first.outputs["label"].tolist() == second.outputs["label"].tolist()
        assert first.classes == second.classes
    assert [answer.outputs["value"].item() for answer in answers[120:]] == [
        [10.0, 20.0, 30.0][i % 3] for i in range(40)
    ]
    np.testing.assert_allclose(
        [answer.outputs["value"].item() for answer in answers[:40]], scene.regressor.predict(array), rtol=1e-6
    )


async def test_each_callers_span_is_linked(address: str, collected: Sink) -> None:
    """Calls with traceparents share a request, whose span links to each of them; one alone is the caller's child."""
    parents = [f"00-{index + 1:032x}-{index + 1:016x}-01" for index in range(8)]
    async with AsyncClient(address) as client:
        await client.describe(REGRESSOR)
        await asyncio.gather(
            *(
                client.predict(
                    REGRESSOR, [1.0, 2.0, 3.0], prediction_id=f"traced-{i}", metadata=[("traceparent", text)]
                )
                for i, text in enumerate(parents)
            )
        )
        await client.predict(
            REGRESSOR, [1.0, 2.0, 3.0], prediction_id="traced-alone", metadata=[("traceparent", parents[0])]
        )
    (shared,) = _spans_of(collected, [f"traced-{index}" for index in range(8)])
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in shared.links] == [
        tuple(text.split("-")[1:3]) for text in parents
    ]
    (alone,) = _spans_of(collected, ["traced-alone"])
    assert (alone.trace_id.hex(), alone.parent_span_id.hex()) == tuple(parents[0].split("-")[1:3])


async def test_a_large_call_goes_alone(address: str, scene: Scene, collected: Sink) -> None:
    """A call of more than CALL_ROWS_MAX rows has a request of its own, beside those of the small ones."""
    frame = frame_of(seed=15, rows=CALL_ROWS_MAX + 1)
    ids = ["large", *(f"small-{index}" for index in range(5))]
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        answers = await asyncio.gather(
            *(
                client.predict(CLASSIFIER, frame if id_ == "large" else frame[:CALL_ROWS_MAX], prediction_id=id_)
                for id_ in ids
            )
        )
    np.testing.assert_allclose(
        np.asarray(answers[0].probabilities), scene.classifier.predict_proba(frame), rtol=1e-4, atol=1e-6
    )
    assert [len(answer) for answer in answers] == [CALL_ROWS_MAX + 1] + [CALL_ROWS_MAX] * 5
    assert ["large"] in [_members(span) for span in _spans_of(collected, ids)]


async def test_a_request_of_many_bytes_is_sent_in_parts(address: str, scene: Scene, collected: Sink) -> None:
    """Calls that would make a request of more than BYTES_MAX go in several, and are all answered."""
    frame = frame_of(seed=16, rows=200).assign(carrier="\U0001f6e9" * 4000)
    ids = [f"wide-{index}" for index in range(len(frame))]
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        answers = await asyncio.gather(
            *(
                client.predict(CLASSIFIER, row, prediction_id=id_)
                for row, id_ in zip(frame.to_dict("records"), ids, strict=True)
            )
        )
    found = np.concatenate([answer.outputs["probabilities"] for answer in answers])
    np.testing.assert_allclose(found, scene.classifier.predict_proba(frame), rtol=1e-4, atol=1e-6)
    assert max(len(_members(span)) for span in _spans_of(collected, ids)) <= BYTES_MAX // 16_000


@pytest.mark.parametrize("traceparent", ["", "nonsense", "0" * 300])
async def test_a_strange_traceparent_is_nobody_elses_trouble(
    address: str, client: Client, scene: Scene, traceparent: str
) -> None:
    """A call whose traceparent no server reads fares as it does alone, and its company is answered."""
    array, metadata = array_of(seed=17, rows=20), [("traceparent", traceparent)]
    alone = client.predict(REGRESSOR, array[0], metadata=metadata)
    async with AsyncClient(address) as calling:
        await calling.describe(REGRESSOR)
        strange, *others = await asyncio.gather(
            calling.predict(REGRESSOR, array[0], metadata=metadata),
            *(calling.predict(REGRESSOR, row) for row in array),
        )
    np.testing.assert_array_equal(strange.outputs["value"], alone.outputs["value"])
    values = [answer.outputs["value"].item() for answer in others]
    np.testing.assert_allclose(values, scene.regressor.predict(array), rtol=1e-6)


@pytest.mark.parametrize("properties", [OURS, {}], ids=["sardonyx", "another"])
async def test_only_a_sardonyx_server_gets_shared_requests(properties: dict[str, str]) -> None:
    """A server that does not say that it knows them gets one plain request a call; one that does gets a few."""
    server = Plain(properties)
    ids = [f"id-{index}" for index in range(100)]
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            answers = await asyncio.gather(
                *(client.predict(MODEL, {"x": float(i)}, prediction_id=id_) for i, id_ in enumerate(ids))
            )
    assert [answer.outputs["value"].tolist() for answer in answers] == [[2.0 * index] for index in range(100)]
    assert sorted(id_ for shared in server.ids for id_ in shared) == sorted(ids)
    if properties:
        assert len(server.requests) <= FLIGHTS + 1
    else:
        assert len(server.requests) == 100
        assert not any(coalesced.PARAMETER in request.parameters for request in server.requests)


async def test_what_must_not_share_does_not() -> None:
    """Calls of different routing keys, of different metadata, or with little time have requests of their own."""
    server = Plain(OURS)
    ways: list[dict[str, Any]] = [
        {},
        {"routing_key": "a"},
        {"routing_key": "b"},
        {"metadata": [("tenant", "a")]},
        {"metadata": [("tenant", "b")], "routing_key": "a"},
    ]
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            await asyncio.gather(
                *(
                    client.predict(MODEL, {"x": 1.0}, prediction_id=f"{way}-{index}", **options)
                    for index in range(10)
                    for way, options in enumerate(ways)
                )
            )
            for shared in server.ids:
                assert len({id_.partition("-")[0] for id_ in shared}) == 1
            keys = [each.parameters["routing-key"].string_param for each in server.requests]
            assert sorted(set(keys)) == ["", "a", "b"]
            server.requests.clear()
            hasty = [client.predict(MODEL, {"x": 1.0}, timeout_s=TIMEOUT_S_MIN / 2) for _ in range(3)]
            # On a busy machine their time may be over before there is an answer.
            await asyncio.gather(*hasty, return_exceptions=True)
    assert not any(coalesced.PARAMETER in request.parameters for request in server.requests)


async def test_calls_gather_behind_a_slow_server() -> None:
    """While requests are on their way calls that come one by one wait for each other: they do not go one by one."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            server.hold.clear()
            waiting = [asyncio.create_task(client.predict(MODEL, {"x": 0.0}))]
            while len(server.requests) <= FLIGHTS + 1:
                # Each is sent, the first of them at once and the others when they have waited for long enough.
                waiting.append(asyncio.create_task(client.predict(MODEL, {"x": float(len(waiting))})))
                await asyncio.sleep(0.01)
            before = len(server.requests)
            for _ in range(300):
                waiting.append(asyncio.create_task(client.predict(MODEL, {"x": float(len(waiting))})))
                await asyncio.sleep(0)
            server.hold.set()
            answers = await asyncio.gather(*waiting)
    assert [answer.outputs["value"].item() for answer in answers] == [2.0 * index for index in range(len(waiting))]
    assert len(server.requests) - before < 100


async def test_a_call_alone_is_a_plain_request() -> None:
    """Without company a call goes at once, under its own id and without the parameter."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            for index in range(5):
                answer = await client.predict(MODEL, {"x": float(index)}, prediction_id=f"id-{index}")
                assert answer.outputs["value"].tolist() == [2.0 * index]
    assert [request.id for request in server.requests] == [f"id-{index}" for index in range(5)]
    assert not any(request.parameters for request in server.requests)


async def test_groups_are_forgotten() -> None:
    """A client that has met many routing keys keeps nothing of those that nobody waits for."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await asyncio.gather(*(client.predict(MODEL, {"x": 1.0}, routing_key=f"key-{i}") for i in range(200)))
            await asyncio.sleep(0.02)
            assert not client._coalescer._groups
