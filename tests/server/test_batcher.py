"""The queue in front of a session: real runs in real threads, under everything that callers and runtimes do."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from sardonyx.errors import DeadlineExceeded, InvalidInput, Overloaded
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.registry.v1 import manifest_pb2
from sardonyx_server.batcher import Batcher, Limits, RowQueue
from sardonyx_server.life.cost import Cost
from sardonyx_server.life.session import Runtime, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

#: Numbers that a table answers; any other makes the runtime fail.
TABLE: Final = 20
BEYOND: Final = 99
#: So long that every run goes to a thread.
LONG: Final = Cost(1.0, 0.0)
SHORT: Final = Cost(0.0, 0.0)


def session_of(offset: float) -> Session:
    """A session that answers each number with number + offset, from a table."""
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "number"], ["value"])],
        "lookup",
        [helper.make_tensor_value_info("number", TensorProto.INT64, [None, 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None, 1])],
        [numpy_helper.from_array(np.arange(TABLE) + offset, "table")],
    )
    onnx = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    binding = manifest_pb2.Binding
    manifest = manifest_pb2.Manifest(
        interface=pb.Interface(
            inputs=[pb.Input(name="number", datatype=pb.DATATYPE_INT64)],
            outputs=[pb.Output(name="value", kind=pb.OUTPUT_KIND_VALUE, datatype=pb.DATATYPE_FP64)],
        ),
        graph=manifest_pb2.Graph(
            inputs=[binding(name="number", tensor="number", datatype=pb.DATATYPE_INT64)],
            outputs=[binding(name="value", tensor="value", datatype=pb.DATATYPE_FP64)],
        ),
    )
    return Session(manifest, onnx.SerializeToString(), Runtime())


OFFSETS: Final = (0.0, 1000.0)
SESSIONS: Final = [session_of(offset) for offset in OFFSETS]


def feed_of(numbers: Sequence[int]) -> Mapping[str, Any]:
    """A decoded request."""
    return {"number": np.array(numbers, dtype=np.int64).reshape(-1, 1)}


def gated(session: Session, gate: asyncio.Event, runs: list[int]) -> Session:
    """The session, whose runs wait for the gate; how many rows each had is noted."""
    loop = asyncio.get_running_loop()

    class Gated(Session):
        def __init__(self) -> None: ...

        def run(self, feed: Mapping[str, Any]) -> Sequence[Any]:
            runs.append(len(feed["number"]))
            asyncio.run_coroutine_threadsafe(gate.wait(), loop).result(timeout=20)
            return session.run(feed)

    return Gated()


async def settled(condition: Callable[[], bool]) -> None:
    """Wait until something has happened."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)


@dataclass(frozen=True)
class Ask:
    """One caller: what it asks, when, and how long it waits."""

    numbers: tuple[int, ...]
    pause_ms: int
    deadline_ms: float | None
    cancel_after_ms: int | None
    swaps: bool


@dataclass
class Outcome:
    """How a call ended, and how often."""

    offset: float
    answers: list[Any] = field(default_factory=list)


ASKS: Final = st.builds(
    Ask,
    numbers=st.lists(st.sampled_from([*range(TABLE), BEYOND]), min_size=1, max_size=5).map(tuple),
    pause_ms=st.sampled_from([0, 0, 0, 1, 2]),
    deadline_ms=st.sampled_from([None, None, None, 0.0, 0.5, 3.0, 20_000.0]),
    cancel_after_ms=st.sampled_from([None, None, None, 0, 1, 3]),
    swaps=st.sampled_from([False, False, True]),
)
LIMITS: Final = st.builds(
    Limits,
    batch_rows_max=st.sampled_from([1, 4, 1024]),
    batch_delay_s=st.sampled_from([0.0, 0.002]),
    runs_max=st.sampled_from([1, 2]),
)


@settings(max_examples=60, deadline=None)
@given(asks=st.lists(ASKS, min_size=1, max_size=40), limits=LIMITS, rows_max=st.sampled_from([8, 65_536]))
def test_every_request_resolves_exactly_once(asks: list[Ask], limits: Limits, rows_max: int) -> None:
    """Whatever is cancelled, late, failing or swapped: each request gets one end, its own, and nothing is left over."""
    asyncio.run(storm(asks, limits, rows_max))


async def storm(asks: list[Ask], limits: Limits, rows_max: int) -> None:
    """Make the calls, and look at every end."""
    unhandled: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unhandled.append(context))
    queue = RowQueue(rows_max)
    batchers = [Batcher(session, LONG, queue, limits) for session in SESSIONS]
    live = 0
    calls: list[tuple[Ask, Outcome, asyncio.Task[None]]] = []

    async def call(ask: Ask, batcher: Batcher, outcome: Outcome) -> None:
        deadline_s = None if ask.deadline_ms is None else ask.deadline_ms / 1000
        try:
            ran = await batcher.run(feed_of(ask.numbers), len(ask.numbers), deadline_s)
        except Exception as error:
            outcome.answers.append(error)
        else:
            outcome.answers.append(ran.outputs[0].tolist())

    for ask in asks:
        live ^= ask.swaps
        outcome = Outcome(OFFSETS[live])
        task = asyncio.create_task(call(ask, batchers[live], outcome))
        calls.append((ask, outcome, task))
        if ask.cancel_after_ms is not None:
            asyncio.get_running_loop().call_later(ask.cancel_after_ms / 1000, task.cancel)
        await asyncio.sleep(ask.pause_ms / 1000)
    async with asyncio.timeout(20):
        await asyncio.gather(*(task for _, _, task in calls), return_exceptions=True)
    await settled(lambda: queue.rows == 0)
    queue.close()
    for ask, outcome, task in calls:
        check(ask, outcome, cancelled=task.cancelled())
    assert not unhandled


def check(ask: Ask, outcome: Outcome, *, cancelled: bool) -> None:
    """One end, and one that this caller's own doing explains."""
    if cancelled:
        assert ask.cancel_after_ms is not None
        assert outcome.answers == []
        return
    (answer,) = outcome.answers
    match answer:
        case list():
            assert answer == [number + outcome.offset for number in ask.numbers]
        case DeadlineExceeded():
            assert ask.deadline_ms is not None
            assert ask.deadline_ms < 20_000
        case InvalidInput():
            pytest.fail("no request here is larger than the queue")
        case Overloaded():
            pass  # the small queue was full: refused at once, and never admitted
        case _:
            assert BEYOND in ask.numbers, f"{answer!r} is somebody else's failure"


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """A scenario in a loop of its own."""
    asyncio.run(scenario())


def test_what_arrives_during_a_run_goes_together() -> None:
    """The first request runs at once and alone; those that come meanwhile share one run, up to the limit of rows."""

    async def scenario() -> None:
        gate, runs = asyncio.Event(), list[int]()
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(100), Limits(batch_rows_max=5))
        first = asyncio.create_task(batcher.run(feed_of([1]), 1, None, "first"))
        await settled(lambda: bool(runs))
        later = [asyncio.create_task(batcher.run(feed_of([n, n]), 2, None, f"id-{n}")) for n in (2, 3, 4)]
        await asyncio.sleep(0)
        gate.set()
        alone, *shared = await asyncio.gather(first, *later)
        assert runs == [1, 4, 2]
        assert alone.batch is None
        assert [ran.outputs[0].tolist() for ran in shared] == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
        assert shared[0].batch == shared[1].batch
        assert shared[0].batch is not None
        assert (shared[0].batch.rows, shared[0].batch.prediction_ids) == (4, ["id-2", "id-3"])
        assert shared[2].batch is None

    run(scenario)


def test_a_cancelled_request_costs_nothing() -> None:
    """Who gives up while it waits is not run, gives its room back at once, and harms nobody in its run."""

    async def scenario() -> None:
        gate, runs = asyncio.Event(), list[int]()
        queue = RowQueue(100)
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, queue, Limits())
        tasks = [asyncio.create_task(batcher.run(feed_of([n]), 1, None)) for n in range(5)]
        await settled(lambda: bool(runs))
        tasks[2].cancel()
        await asyncio.gather(tasks[2], return_exceptions=True)
        assert queue.rows == 4
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert runs == [1, 3]
        assert isinstance(done[2], asyncio.CancelledError)
        assert [ran.outputs[0].tolist() for ran in done if not isinstance(ran, BaseException)] == [[0], [1], [3], [4]]

    run(scenario)


def test_a_late_request_is_not_run() -> None:
    """The deadline is looked at before the run: what came too late gets its error, and the rest their answers."""

    async def scenario() -> None:
        gate, runs = asyncio.Event(), list[int]()
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(100), Limits())
        tasks = [asyncio.create_task(batcher.run(feed_of([1]), 1, None))]
        await settled(lambda: bool(runs))
        tasks += [asyncio.create_task(batcher.run(feed_of([n]), 1, deadline)) for n, deadline in ((2, 0.0), (3, 20.0))]
        await asyncio.sleep(0)
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert runs == [1, 1]
        assert isinstance(done[1], DeadlineExceeded)

    run(scenario)


def test_one_failure_is_one_callers() -> None:
    """A run that fails is made again for each of its requests: only the one at fault fails."""

    async def scenario() -> None:
        gate, runs = asyncio.Event(), list[int]()
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(100), Limits())
        tasks = [asyncio.create_task(batcher.run(feed_of([n]), 1, None)) for n in (1, 2, BEYOND, 3)]
        await settled(lambda: bool(runs))
        gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(ran, Exception) for ran in done] == [False, False, True, False]

    run(scenario)


def test_a_full_queue_refuses() -> None:
    """Rows beyond the limit are refused with a time to come back; rows that never fit are the caller's mistake."""

    async def scenario() -> None:
        gate, runs = asyncio.Event(), list[int]()
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(3), Limits())
        first = asyncio.create_task(batcher.run(feed_of([1, 2]), 2, None))
        await settled(lambda: bool(runs))
        with pytest.raises(Overloaded, match="2 rows are waiting"):
            await batcher.run(feed_of([3, 4]), 2, None)
        with pytest.raises(InvalidInput, match="4 rows in one request"):
            await batcher.run(feed_of([1, 2, 3, 4]), 4, None)
        gate.set()
        assert (await first).outputs[0].tolist() == [1.0, 2.0]

    run(scenario)


def test_a_delay_waits_for_company_but_not_beyond_a_full_run() -> None:
    """With a delay, requests that are too few wait for others; as soon as a run is full it begins."""

    async def scenario() -> None:
        runs = list[int]()
        gate = asyncio.Event()
        gate.set()
        limits = Limits(batch_rows_max=3, batch_delay_s=20.0)
        batcher = Batcher(gated(SESSIONS[0], gate, runs), SHORT, RowQueue(100), limits)
        assert batcher.short_rows_max == 0
        slow = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(100), limits)
        async with asyncio.timeout(10):
            await asyncio.gather(*(slow.run(feed_of([n]), 1, None) for n in range(3)))
        assert runs == [3]

    run(scenario)


def test_an_arrival_costs_the_same_however_many_wait() -> None:
    """Under overload, with a delay, as many steps of Python are taken for each request as where few wait."""

    async def steps(count: int) -> int:
        gate, runs, taken = asyncio.Event(), list[int](), 0
        limits = Limits(batch_rows_max=10, batch_delay_s=0.001)
        batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, RowQueue(10_000), limits)
        before = [asyncio.create_task(batcher.run(feed_of([1]), 1, None)) for _ in range(count)]
        await settled(lambda: bool(runs))

        def take(_frame: object, event: str, _argument: object) -> None:
            nonlocal taken
            taken += event == "call"

        last = batcher.run(feed_of([1]), 1, None)
        sys.setprofile(take)
        try:
            future = last.send(None)
        finally:
            sys.setprofile(None)
        last.close()
        assert not future.done()
        gate.set()
        await asyncio.gather(*before)
        return taken

    async def scenario() -> None:
        assert await steps(20) == await steps(2_000)

    run(scenario)


def test_short_runs_are_known_by_their_rows() -> None:
    """What takes no time is run on the event loop, unless the queue would not take it."""
    assert Batcher(SESSIONS[0], SHORT, RowQueue(3), Limits()).short_rows_max == 3
    assert Batcher(SESSIONS[0], Cost(0.0, 0.0001), RowQueue(100), Limits()).short_rows_max == 10
    assert Batcher(SESSIONS[0], LONG, RowQueue(3), Limits()).short_rows_max == 0
