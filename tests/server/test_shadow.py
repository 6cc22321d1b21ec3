"""A shadow harms nobody: whatever it does, callers get the live version's answer, and what it saw is accounted for."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sardonyx import telemetry
from sardonyx.oip import coalesced
from sardonyx.oip import messages as oip
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx_exporter import promote, shadow
from sardonyx_server import shadow as shadow_module
from sardonyx_server.batcher import RowQueue
from sardonyx_server.life.lanes import LIVE_LANE, SHADOW, Lane
from sardonyx_server.life.model import Model, Wish
from sardonyx_server.life.policy import Load, Snapshot, next_action
from sardonyx_server.life.portion import Portion
from sardonyx_server.life.states import State
from sardonyx_server.shadow import Shadow
from sardonyx_server.telemetry.capture import Capture
from sardonyx_server.telemetry.record import Record, outputs_of
from sardonyx_server.telemetry.recorder import Recorder
from server import sink
from server.loaded import BOUNDS, load_served
from server.scene import (
    ALONE,
    LONG,
    PATIENCE_S,
    answers,
    get_model,
    get_server,
    infer,
    lookup_graph,
    number_request,
    plain_graph,
    publish_by_hand,
    request_of,
    slow_graph,
    value_of,
    wait_until,
)
from server.summed import interface_of, publish_sum
from support.programs import Program, running_server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from sardonyx.serving.v1 import model_service_pb2 as serving
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.usual import Usual

NAME: Final = "shadowed"
#: By version: answers its number; fails beyond its table of three; takes as long as its number is large.
PLAIN, TABLE, SLOW = 1, 2, 3
FAST: Final = (*ALONE, "--poll-interval-s", "0.05")


def make_registry(registry: Path) -> Path:
    """The three versions, of which the plain one is live."""
    publish_by_hand(registry, NAME, plain_graph(), golden={3: 3.0})
    publish_by_hand(registry, NAME, lookup_graph(), golden={0: 10.0, 2: 30.0})
    publish_by_hand(registry, NAME, slow_graph(), golden={10: 10.0})
    promote(NAME, PLAIN, registry=str(registry))
    return registry


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Such a registry of one's own."""
    return make_registry(tmp_path / "registry")


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Served]:
    """The versions, loaded."""
    registry = make_registry(tmp_path_factory.mktemp("shadow") / "registry")
    return {number: load_served(registry, NAME, number) for number in (PLAIN, TABLE, SLOW)}


def seen_by(channel: grpc.Channel) -> serving.Shadow:
    """What the shadow has seen."""
    (seen,) = get_server(channel).shadows
    return seen


def is_shadow(channel: grpc.Channel, number: int) -> bool:
    """Whether the live version answers, and a version is its shadow."""
    if not answers(channel, number_request(NAME, 1)):
        return False
    return any(each.version == number and list(each.routes) == ["shadow"] for each in get_model(channel, NAME).versions)


def spans_of(collector: sink.Sink, route: str) -> list[Span]:
    """The spans of one route."""
    return [
        span
        for span in collector.spans
        if any(each.key == telemetry.ROUTE and each.value.string_value == route for each in span.attributes)
    ]


# Over sockets


def test_a_shadow_that_fails_harms_nobody(registry: Path) -> None:
    """Every caller is answered; the failures are counted, are spans of their own, and are logged once."""
    shadow(NAME, TABLE, percent=100, registry=str(registry))
    collector = sink.Sink()
    with sink.running(collector) as endpoint:
        program = Program.start(
            *("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *FAST),
            *("--otlp-endpoint", endpoint),
        )
        try:
            address = program.wait_for(r"listening on (\S+:\d+)")[1]
            with grpc.insecure_channel(address) as channel:
                wait_until(lambda: is_shadow(channel, TABLE), "the shadow is there")
                before = seen_by(channel).failed if get_server(channel).shadows else 0
                for number in range(10, 30):
                    assert value_of(infer(channel, number_request(NAME, number))) == [float(number)]
                wait_until(lambda: seen_by(channel).failed == before + 20, "the shadow has failed")
        finally:
            assert program.stop() == 0
    assert [span.status.code for span in spans_of(collector, "shadow")].count(Status.STATUS_CODE_ERROR) == 20
    assert all(span.status.code == Status.STATUS_CODE_UNSET for span in spans_of(collector, "live"))
    assert len([line for line in program.lines if "fails as a shadow" in line]) == 1


def test_a_shadow_that_is_slow_harms_nobody(registry: Path) -> None:
    """All callers have their answers while the shadow is still busy with the first; what has no room is dropped."""
    shadow(NAME, SLOW, percent=100, registry=str(registry))
    # So few rows may wait that one more in the queue would be one too many.
    with (
        running_server(registry, *FAST, "--queue-rows-max", "4") as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: is_shadow(channel, SLOW), "the shadow is there")
        wait_until(lambda: seen_by(channel).ran == seen_by(channel).offered, "it is idle")
        before = seen_by(channel)
        request = number_request(NAME, LONG, LONG, LONG, LONG)
        request.parameters["padding"].string_param = "x" * (3 << 20)
        for _ in range(10):
            assert value_of(infer(channel, request)) == [float(LONG)] * 4
        after = seen_by(channel)
        assert after.ran == before.ran
        assert after.offered == before.offered + 10
        assert after.dropped == 10 - shadow_module.BYTES_MAX // (3 << 20)
        # The drain that follows does not wait for the shadow either: it is dropped.


def test_streams_and_shared_requests_are_shown(registry: Path) -> None:
    """A message of a stream is a call like others; a shared request is shown as one, with its callers' ids."""
    shadow(NAME, TABLE, percent=100, registry=str(registry))
    collector = sink.Sink()
    with (
        sink.running(collector) as endpoint,
        running_server(registry, *FAST, "--otlp-endpoint", endpoint) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: is_shadow(channel, TABLE), "the shadow is there")
        shared = number_request(NAME, 0, 1, 2)
        shared.parameters[coalesced.PARAMETER].string_param = json.dumps({"ids": ["a", "b", "c"]})
        infer(channel, shared)
        single = number_request(NAME, 2)
        single.id = "streamed"
        stream = channel.stream_stream(
            f"/{oip.SERVICE}/ModelStreamInfer",
            request_serializer=oip.ModelInferRequest.SerializeToString,
            response_deserializer=oip.ModelStreamInferResponse.FromString,
        )
        (answer,) = stream(iter([single]), timeout=PATIENCE_S)
        assert not answer.error_message
        wait_until(lambda: seen_by(channel).ran == seen_by(channel).offered, "the shadow is done")
    shown = [{each.key: each.value for each in span.attributes} for span in spans_of(collector, "shadow")]
    ids = [
        [value.string_value for value in each[telemetry.PREDICTION_IDS].array_value.values]
        for each in shown
        if telemetry.PREDICTION_IDS in each
    ]
    assert ids == [["a", "b", "c"]]
    assert "streamed" in {each[telemetry.PREDICTION_ID].string_value for each in shown}


def test_versions_of_one_generation_may_be_shadows_of_one_another(tmp_path: Path) -> None:
    """What is new to the shadow was left out, what it does not know is passed over, and the order may be another."""
    needed = pb.Input(name="a", datatype=pb.DATATYPE_FP64, missing=pb.MISSING_POLICY_REFUSED)
    added = pb.Input(name="b", datatype=pb.DATATYPE_FP32, missing=pb.MISSING_POLICY_ALLOWED, optional=True)
    for inputs in ([needed], [added, needed], [needed]):
        assert publish_sum(tmp_path, NAME, interface_of(inputs)).interface_major == 1
        promote(NAME, 1, registry=str(tmp_path))
    asked = request_of(NAME, {"a": np.array([1.0, 2.0, 3.0])}, {"a": "FP64"})
    with running_server(tmp_path, *FAST) as address, grpc.insecure_channel(address) as channel:

        def shown(number: int) -> int:
            """How many calls a shadow is done with."""
            return sum(each.ran + each.failed for each in get_server(channel).shadows if each.version == number)

        def is_live(number: int) -> bool:
            return answers(channel, asked) and infer(channel, asked).model_version == str(number)

        wait_until(lambda: is_live(1), "the older version answers")
        shadow(NAME, 2, percent=100, registry=str(tmp_path))
        wait_until(lambda: is_live(1) and shown(2) > 0, "the newer version is its shadow")
        shadow(NAME, 3, percent=100, registry=str(tmp_path))
        promote(NAME, 2, registry=str(tmp_path))
        wait_until(lambda: is_live(2), "the newer version answers")
        before = shown(3) + 3
        wait_until(lambda: is_live(2) and shown(3) > before, "the older version is its shadow")
        shadows = get_server(channel).shadows
    assert all(each.rows_alike == each.rows > 0 for each in shadows)
    assert [each.failed for each in shadows] == [0, 0]


def test_a_shadow_is_loaded_after_the_live_version(registry: Path) -> None:
    """Where a server starts with both, the live one is ready before the shadow's loading begins."""
    shadow(NAME, SLOW, percent=100, registry=str(registry))
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *FAST)
    try:
        program.wait_for(rf"version {SLOW} is the shadow")
    finally:
        assert program.stop() == 0
    text = "".join(program.lines)
    assert text.index(f"version {PLAIN} is live") < text.index(f"version {SLOW} is ready")


LANES: Final = st.frozensets(st.sampled_from([LIVE_LANE, Lane(SHADOW, 10.0), Lane("canary", 10.0)]))
SNAPSHOTS: Final = st.lists(
    st.builds(Snapshot, st.integers(1, 9), st.just(1), st.sampled_from(State), LANES, LANES, st.integers(0, 2)),
    unique_by=lambda snapshot: snapshot.version,
)


@given(versions=SNAPSHOTS)
def test_no_share_is_loaded_before_what_is_to_be_live(versions: list[Snapshot]) -> None:
    """Whatever there is: while a version that is to be live is on its way, none is loaded that is not."""
    action = next_action(versions)
    if isinstance(action, Load):
        wished = {each.version: each.wished for each in versions}
        coming = {State.NEW, State.LOADING, State.VERIFYING}
        if any(LIVE_LANE in each.wished and each.state in coming for each in versions):
            assert LIVE_LANE in wished[action.version]


# By itself


class Taken:
    """Takes records."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def take(self, records: Sequence[Record], missed: int) -> None:
        """Keep them."""
        assert not missed
        self.records += records

    def take_usual(self, usual: Usual) -> None:
        """Nothing that a shadow sees is usual, or it would not be compared."""
        raise AssertionError(f"{len(usual.rows)} predictions without a record")


def model_of(portion: Portion | None) -> dict[str, Model]:
    """A worker's models, with a shadow or without."""
    model = Model(NAME, Wish(1, {1: PLAIN}))
    if portion is not None:
        model.shadows[1] = portion
    return {NAME: model}


def asked(served: Served, prediction_id: str, number: int) -> tuple[Record, list[Any]]:
    """A call that the live version has answered, and its answer."""
    feed = {"number": np.array([[number]])}
    record = Record("any", NAME, served, "live", "OK", prediction_id, 1, feed=feed)
    return record, [np.array([float(number)])]


async def settled(shadow: Shadow) -> None:
    """Wait until nothing waits for the shadow."""
    async with asyncio.timeout(PATIENCE_S):
        while any(  # noqa: ASYNC110 - nothing on the server's side tells of it
            seen.ran + seen.failed + seen.dropped < seen.offered for seen in shadow.seen.values()
        ):
            await asyncio.sleep(0.001)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    percent=st.sampled_from([1.0, 50.0, 100.0]),
    calls=st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=8), st.integers(0, 5)), max_size=30),
)
def test_every_call_of_its_share_is_accounted_for(
    versions: dict[int, Served], percent: float, calls: list[tuple[str, int]]
) -> None:
    """Just the calls of its share are offered; each has run or failed by its own row, and each has its record."""
    portion = Portion(versions[TABLE], Lane(SHADOW, percent))
    taken = Taken()

    async def show() -> Shadow:
        recorder = Recorder(Capture(0.0), [taken])
        recorder.start()
        shadow = Shadow(model_of(portion), RowQueue(BOUNDS.rows_max), recorder)
        shadow.start()
        for prediction_id, number in calls:
            record, outputs = asked(versions[PLAIN], prediction_id, number)
            shadow.offer(portion, record, outputs, request_bytes=100)
            # As telemetry does.
            record.feed = None
        await settled(shadow)
        await shadow.stop()
        await asyncio.to_thread(recorder.stop, PATIENCE_S)
        return shadow

    shadow = asyncio.run(show())
    share = [(prediction_id, number) for prediction_id, number in calls if portion.takes(prediction_id)]
    (seen,) = shadow.seen.values() if share else (shadow_module.Seen(),)
    assert seen.offered == len(share)
    # The table has three numbers.
    assert seen.failed == sum(number > 2 for _, number in share)
    assert (seen.ran, seen.rows, seen.rows_alike, seen.dropped) == (len(share) - seen.failed, seen.ran, 0, 0)
    assert [(record.prediction_id, record.code) for record in taken.records] == [
        (prediction_id, "INTERNAL" if number > 2 else "OK") for prediction_id, number in share
    ]
    assert all(record.route == SHADOW and record.served is versions[TABLE] for record in taken.records)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, shadow_module.BYTES_MAX), min_size=1, max_size=20))
def test_what_waits_has_bounded_room(versions: dict[int, Served], sizes: list[int]) -> None:
    """A call beyond the room is dropped and counted, one that fits is kept; at the end, all that waits is dropped."""
    portion = Portion(versions[TABLE], Lane(SHADOW, 100.0))

    async def show() -> None:
        shadow = Shadow(model_of(portion), RowQueue(BOUNDS.rows_max), None)
        shadow.start()
        room, dropped = shadow_module.BYTES_MAX, 0
        # Nothing runs before the loop has its turn.
        for size in sizes:
            record, outputs = asked(versions[PLAIN], "any", 1)
            shadow.offer(portion, record, outputs, request_bytes=size)
            taken = shadow_module.CALL_BYTES + size + outputs[0].nbytes
            room, dropped = (room - taken, dropped) if taken <= room else (room, dropped + 1)
            assert shadow.seen[NAME, TABLE].dropped == dropped
        await shadow.stop()
        seen = shadow.seen[NAME, TABLE]
        assert seen.dropped == seen.offered == len(sizes)
        shadow.offer(portion, *asked(versions[PLAIN], "late", 1), request_bytes=1)
        assert seen.dropped == seen.offered == len(sizes) + 1

    asyncio.run(show())


async def test_a_call_that_waits_keeps_nothing_of_others(versions: dict[int, Served]) -> None:
    """The answers of a shared run are let go when their callers have them: of all of it, only its own rows wait."""
    portion, queue = Portion(versions[TABLE], Lane(SHADOW, 100.0)), RowQueue(BOUNDS.rows_max)
    shadow = Shadow(model_of(portion), queue, None)
    shadow.start()
    queue.admit(1)
    turns = versions[PLAIN].batcher.turns
    feeds = [{"number": np.full((rows, 1), 1)} for rows in (1, 500)]
    ran, _ = await asyncio.gather(*(turns.run(feed, len(feed["number"]), "any") for feed in feeds))
    record = Record("any", NAME, versions[PLAIN], "live", "OK", "any", 1, feed=feeds[0], batch=ran.batch)
    record.outputs = outputs_of(versions[PLAIN], ran.outputs)
    shadow.offer(portion, record, ran.outputs, request_bytes=1)
    shared = weakref.ref(ran.outputs[0].base)
    del ran, record, _
    await asyncio.sleep(0)
    gc.collect()
    assert shared() is None
    queue.leave(1)
    await settled(shadow)
    assert shadow.seen[NAME, TABLE].ran == 1
    await shadow.stop()


def test_it_stands_back_while_callers_wait(versions: dict[int, Served]) -> None:
    """Nothing runs while rows are in the queue, and all of it when they have left."""
    portion = Portion(versions[TABLE], Lane(SHADOW, 100.0))

    async def show() -> None:
        queue = RowQueue(BOUNDS.rows_max)
        shadow = Shadow(model_of(portion), queue, None)
        shadow.start()
        queue.admit(1)
        for number in (0, 1):
            shadow.offer(portion, *asked(versions[PLAIN], "any", number), request_bytes=1)
        for _ in range(5):
            await asyncio.sleep(shadow_module.PAUSE_S)
            assert shadow.seen[NAME, TABLE].ran == 0
        queue.leave(1)
        await settled(shadow)
        assert shadow.seen[NAME, TABLE].ran == 2
        await shadow.stop()

    asyncio.run(show())


@pytest.mark.parametrize("now", [None, SLOW])
def test_what_is_a_shadow_no_more_is_not_asked(versions: dict[int, Served], now: int | None) -> None:
    """A version that has left the route while calls waited for it is left in peace: it may be on its way out."""
    portion = Portion(versions[TABLE], Lane(SHADOW, 100.0))
    current = Portion(versions[now], portion.lane) if now else None

    async def show() -> None:
        shadow = Shadow(model_of(current), RowQueue(BOUNDS.rows_max), None)
        shadow.start()
        shadow.offer(portion, *asked(versions[PLAIN], "any", 1), request_bytes=1)
        await settled(shadow)
        seen = shadow.seen[NAME, TABLE]
        assert (seen.offered, seen.dropped, seen.ran) == (1, 1, 0)
        await shadow.stop()

    asyncio.run(show())


def test_an_unload_waits_for_a_long_run(versions: dict[int, Served]) -> None:
    """A shadow holds its version while a long run of it goes on in a thread, and lets go when it is stopped."""
    slow = versions[SLOW]
    portion = Portion(slow, Lane(SHADOW, 100.0))

    async def show() -> None:
        shadow = Shadow(model_of(portion), RowQueue(BOUNDS.rows_max), None)
        shadow.start()
        shadow.offer(portion, *asked(versions[PLAIN], "any", LONG), request_bytes=1)
        async with asyncio.timeout(PATIENCE_S):
            while not slow.in_flight:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        await shadow.stop()
        assert slow.in_flight == 0
        assert shadow.seen[NAME, SLOW].dropped == 1

    asyncio.run(show())
