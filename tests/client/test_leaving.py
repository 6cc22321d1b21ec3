"""Callers who leave: late, cancelled or closed. Those who stay notice nothing, and a request that nobody wants ends."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client
from sardonyx.client.caller import closed
from sardonyx.client.coalescing import FLIGHTS
from sardonyx.errors import DeadlineExceeded, InvalidInput, SardonyxError, Unavailable
from server.scene import CLASSIFIER, LONG, PATIENCE_S, REGRESSOR, SLOW, array_of, frame_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import grpc

    from sardonyx import Answer
    from server.scene import Scene

OURS = {"sardonyx_version": "1"}


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what a server is about to see."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def _settled(*tasks: asyncio.Task[Answer]) -> list[Answer | BaseException]:
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_late_and_the_cancelled_leave_and_the_others_stay(address: str) -> None:
    """In one request: one caller's time ends, another is cancelled, the third gets its answer."""
    async with AsyncClient(address) as client:
        await client.describe(SLOW)
        # The first row's number says how long the run takes.
        patient = asyncio.create_task(client.predict(SLOW, {"number": LONG}, timeout_s=PATIENCE_S))
        hasty = asyncio.create_task(client.predict(SLOW, {"number": 2}, timeout_s=0.1))
        leaving = asyncio.create_task(client.predict(SLOW, {"number": 3}, timeout_s=PATIENCE_S))
        with pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
            await hasty
        assert not patient.done()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert not patient.done()
        assert (await patient).outputs["value"].tolist() == [LONG]


async def test_the_late_one_alone_is_told_alike(address: str, client: Client) -> None:
    """A call whose time ends has the same error from both clients, shared or not."""
    with pytest.raises(DeadlineExceeded) as blocking:
        client.predict(SLOW, {"number": LONG}, timeout_s=0.1)
    async with AsyncClient(address) as calling:
        with pytest.raises(DeadlineExceeded) as alone:
            await calling.predict(SLOW, {"number": LONG}, timeout_s=0.1)
    assert (
        alone.value.message
        == blocking.value.message
        == "There was no answer within 0.1 s. Allow more time with timeout_s."
    )


async def test_a_request_that_nobody_waits_for_is_cancelled() -> None:
    """When the last caller has left, the server learns it; not before."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            server.hold.clear()
            # Longer than the test waits: it must not be their time that ends the request.
            calls = (client.predict(MODEL, {"x": 1.0}, timeout_s=10 * PATIENCE_S) for _ in range(5))
            tasks = [asyncio.create_task(call) for call in calls]
            await _until(lambda: len(server.requests) == 1)
            for task in tasks[:-1]:
                task.cancel()
            await _settled(*tasks[:-1])
            # A call to another method is answered after what was sent before it.
            await client.describe(MODEL)
            assert server.cancelled == 0
            tasks[-1].cancel()
            await _until(lambda: server.cancelled == 1)
    assert all(task.cancelled() for task in tasks)


async def test_the_time_of_a_call_that_waits_for_room_ends_too() -> None:
    """Calls behind a server that is silent, sent or not, are late when their own time is over."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            server.hold.clear()
            patient = asyncio.create_task(client.predict(MODEL, {"x": 1.0}, timeout_s=PATIENCE_S))
            await _until(lambda: len(server.requests) == 1)
            hasty = []
            for index in range(40):
                hasty.append(asyncio.create_task(client.predict(MODEL, {"x": float(index)}, timeout_s=0.06)))
                await asyncio.sleep(0.001)
            assert {type(outcome) for outcome in await _settled(*hasty)} == {DeadlineExceeded}
            await _until(lambda: server.cancelled == len(server.requests) - 1)
            server.hold.set()
            assert (await patient).outputs["value"].tolist() == [2.0]
            assert (await client.predict(MODEL, {"x": 3.0})).outputs["value"].tolist() == [6.0]


async def test_a_caller_cancelled_before_it_is_sent_is_not_sent() -> None:
    """A call that leaves in the turn in which it came takes no part in any request, and no room."""
    server = Plain(OURS)
    with plain.running(server) as address:
        async with AsyncClient(address) as client:
            await client.describe(MODEL)
            for _ in range(3 * FLIGHTS):
                leaving = [asyncio.create_task(client.predict(MODEL, {"x": 1.0})) for _ in range(3)]
                await asyncio.sleep(0)
                for task in leaving:
                    task.cancel()
                await _settled(*leaving)
            assert server.requests == []
            answers = await asyncio.gather(*(client.predict(MODEL, {"x": float(index)}) for index in range(10)))
            assert [answer.outputs["value"].item() for answer in answers] == [2.0 * index for index in range(10)]
            assert len(server.requests) == 1


@pytest.mark.parametrize("properties", [OURS, {}], ids=["sardonyx", "another"])
async def test_closing_ends_what_is_on_its_way(properties: dict[str, str]) -> None:
    """Calls under way when the client is closed end with Unavailable, and none that comes later is sent."""
    server = Plain(properties)
    with plain.running(server) as address:
        client = AsyncClient(address)
        await client.describe(MODEL)
        server.hold.clear()
        tasks = [asyncio.create_task(client.predict(MODEL, {"x": 1.0})) for _ in range(10)]
        # All of them: what is sent already arrives, although nobody waits for it any more.
        await _until(lambda: sum(map(len, server.ids)) == len(tasks))
        await client.close()
        outcomes = await _settled(*tasks)
        await client.close()
        sent = server.asked
        outcomes += await asyncio.gather(client.predict(MODEL, {"x": 1.0}), return_exceptions=True)
        assert server.asked == sent
    assert {type(outcome) for outcome in outcomes} == {Unavailable}
    assert all("client was closed" in str(outcome) for outcome in outcomes)
    assert not client._channels


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_closing_at_any_moment_leaves_nothing(turns: int) -> None:
    """Whether calls wait, depart or fly when the client is closed: all end, and nothing of them stays."""
    server = Plain(OURS)
    with plain.running(server) as address:
        client = AsyncClient(address)
        await client.describe(MODEL)
        server.hold.clear()
        tasks = [asyncio.create_task(client.predict(MODEL, {"x": 1.0})) for _ in range(10)]
        for _ in range(turns):
            await asyncio.sleep(0)
        await client.close()
        assert {type(outcome) for outcome in await _settled(*tasks)} == {Unavailable}
        await asyncio.sleep(0.02)
        assert not client._coalescer._groups
    assert not client._channels


@types.coroutine
def _rest(coroutine: Any, waits_for: Any) -> Any:
    """What is left of a coroutine that has begun."""
    while True:
        sent = yield waits_for
        try:
            waits_for = coroutine.send(sent)
        except StopIteration as end:
            return end.value


def _begun(loop: asyncio.AbstractEventLoop, coroutine: Any) -> asyncio.Future[Any]:
    """A task that begins when it is made, as those of asyncio.eager_task_factory do, which Python 3.11 lacks."""

    async def rest(waits_for: Any) -> Any:
        return await _rest(coroutine, waits_for)

    ended = loop.create_future()
    try:
        return asyncio.Task(rest(coroutine.send(None)), loop=loop)
    except StopIteration as end:
        ended.set_result(end.value)
    except Exception as error:
        ended.set_exception(error)
    return ended


async def test_a_request_that_ends_where_it_begins_leaves_nothing(address: str) -> None:
    """Where tasks begin at once, what cannot be written fails before its request is on its way; others are answered."""
    row = frame_of(seed=33, rows=1).to_dict("records")[0]
    told: list[Any] = []
    async with AsyncClient(address) as client:
        await client.describe(CLASSIFIER)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        wrong = asyncio.create_task(client.predict(CLASSIFIER, {**row, "origin": "\ud800"}))
        loop.set_task_factory(_begun)
        with pytest.raises(InvalidInput, match="UTF-8"):
            await wrong
        await asyncio.sleep(0.02)
        assert not client._coalescer._groups
        loop.set_task_factory(None)
        assert len(await client.predict(CLASSIFIER, row)) == 1
    assert not told


async def test_a_callers_cancel_under_a_closing_client_stays_a_cancel() -> None:
    """Closing takes no caller's own cancellation away."""
    server = Plain()
    with plain.running(server) as address:
        client = AsyncClient(address)
        await client.describe(MODEL)
        server.hold.clear()
        task = asyncio.create_task(client.predict(MODEL, {"x": 1.0}))
        await _until(lambda: bool(server.requests))
        task.cancel()
        await client.close()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_the_blocking_client_closes_alike() -> None:
    """Threads that wait when the client is closed get Unavailable, and nothing is sent or opened afterwards."""
    server = Plain()
    with plain.running(server) as address:
        client = Client(address)
        client.describe(MODEL)
        server.hold.clear()
        errors: list[Exception] = []

        def call() -> None:
            try:
                client.predict(MODEL, {"x": 1.0})
            except SardonyxError as error:
                errors.append(error)

        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(server.requests) == 4, "all are on their way")
        client.close()
        for thread in threads:
            thread.join(PATIENCE_S)
        sent = server.asked
        call()
        client.close()
        assert server.asked == sent
    assert [type(error) for error in errors] == [Unavailable] * 5
    assert not client._channels


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads that change places between any two steps."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("hedge_after_s", [None, PATIENCE_S])
def test_closing_under_busy_threads_is_unavailable(hedge_after_s: float | None) -> None:
    """Threads that never rest meet the end between any two steps of theirs, and are told it in the same words."""
    server = Plain()
    ends: list[str] = []

    def call(client: Client) -> None:
        try:
            while True:
                client.predict(MODEL, {"x": 1.0})
        except Exception as error:
            ends.append(f"{type(error).__name__}: {error}")

    with plain.running(server) as address:
        for _ in range(20):
            client = Client(address, hedge_after_s=hedge_after_s)
            server.asked = 0
            threads = [threading.Thread(target=call, args=(client,)) for _ in range(6)]
            for thread in threads:
                thread.start()
            wait_until(lambda: server.asked >= 30, "all are busy")
            client.close()
            for thread in threads:
                thread.join(PATIENCE_S)
            assert not client._channels
    assert len(ends) == 120
    assert set(ends) == {f"Unavailable: {closed().message}"}


def test_a_connection_that_is_opened_while_the_client_closes_is_closed() -> None:
    """Nothing is left open, whichever thread was first."""
    opening, going_on = threading.Event(), threading.Event()

    class Slow(Client):
        def _open(self, *arguments: Any) -> grpc.Channel:
            opening.set()
            going_on.wait(PATIENCE_S)
            return super()._open(*arguments)

    with plain.running(Plain()) as address:
        client = Slow(address)
        calling = threading.Thread(target=client.ready, args=(MODEL,))
        calling.start()
        opening.wait(PATIENCE_S)
        closing = threading.Thread(target=client.close)
        closing.start()
        closing.join(0.5)
        going_on.set()
        for thread in (calling, closing):
            thread.join(PATIENCE_S)
    assert not client._channels


@dataclass(frozen=True)
class Ask:
    """One caller: what it asks, when it comes, how long it waits, when it leaves.

    Attributes:
        rows: which rows of the table; those below 0 have a category that nobody knows.
        turns: turns of the loop before it comes.
        timeout_s: its time.
        leaves_after_s: when it is cancelled; None: never.
        routing_key: as in predict.
    """

    rows: tuple[int, ...]
    turns: int
    timeout_s: float
    leaves_after_s: float | None
    routing_key: str | None


ROWS = 50
FRAME = frame_of(seed=31, rows=ROWS)
ASKS = st.builds(
    Ask,
    rows=st.lists(st.integers(-5, ROWS - 1), min_size=1, max_size=4).map(tuple),
    turns=st.integers(0, 6),
    timeout_s=st.sampled_from([0.001, 0.02, 0.06, PATIENCE_S, PATIENCE_S, PATIENCE_S]),
    leaves_after_s=st.sampled_from([None, None, None, 0.0, 0.002, 0.01]),
    routing_key=st.sampled_from([None, None, None, "a"]),
)


def _data(ask: Ask) -> Any:
    rows = [FRAME.iloc[row].to_dict() | ({} if row >= 0 else {"origin": "XXX"}) for row in ask.rows]
    rows = [{**row, "distance": float(row["distance"]), "hour": int(row["hour"])} for row in rows]
    return rows[0] if len(rows) == 1 else rows


async def _call(client: AsyncClient, ask: Ask, index: int, resolved: list[int]) -> Answer | BaseException:
    for _ in range(ask.turns):
        await asyncio.sleep(0)
    task = asyncio.create_task(
        client.predict(
            "flight-delay",
            _data(ask),
            timeout_s=ask.timeout_s,
            prediction_id=f"call-{index}",
            routing_key=ask.routing_key,
        )
    )
    task.add_done_callback(lambda _: resolved.append(index))
    if ask.leaves_after_s is not None:
        asyncio.get_running_loop().call_later(ask.leaves_after_s, task.cancel)
    with contextlib.suppress(asyncio.CancelledError, SardonyxError):
        return await task
    return asyncio.CancelledError() if task.cancelled() else task.exception() or AssertionError("no outcome")


def test_every_call_resolves_once_by_its_own_doing(address: str, scene: Scene) -> None:
    """Under bad rows, short times and cancels at any moment: its own answer, or an error of its own doing."""
    expected = scene.classifier.predict_proba(FRAME)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(ASKS, min_size=1, max_size=60))
    def holds(asks: list[Ask]) -> None:
        resolved: list[int] = []

        async def all_of_them() -> list[Answer | BaseException]:
            async with asyncio.timeout(PATIENCE_S), AsyncClient(address) as client:
                await client.describe("flight-delay")
                outcomes = await asyncio.gather(*(_call(client, ask, i, resolved) for i, ask in enumerate(asks)))
                await _until(lambda: not client._coalescer._groups)
                return outcomes

        outcomes = asyncio.run(all_of_them())
        assert sorted(resolved) == list(range(len(asks)))
        for index, (ask, outcome) in enumerate(zip(asks, outcomes, strict=True)):
            if isinstance(outcome, asyncio.CancelledError):
                assert ask.leaves_after_s is not None
            elif isinstance(outcome, DeadlineExceeded):
                assert ask.timeout_s < PATIENCE_S
            elif isinstance(outcome, InvalidInput):
                bad = [place for place, row in enumerate(ask.rows) if row < 0]
                assert [violation.row for violation in outcome.violations] == bad
            else:
                assert not isinstance(outcome, BaseException), outcome
                assert min(ask.rows) >= 0
                assert outcome.request_id == f"call-{index}"
                found = outcome.outputs["probabilities"]
                np.testing.assert_allclose(found, expected[list(ask.rows)], rtol=1e-4, atol=1e-6)

    holds()


async def test_afterwards_all_is_well(address: str, scene: Scene) -> None:
    """A client that has seen calls come, fail and leave answers as a new one."""
    array = array_of(seed=32, rows=50)
    async with AsyncClient(address) as client:
        await client.describe(REGRESSOR)
        for _ in range(5):
            tasks = [asyncio.create_task(client.predict(REGRESSOR, row, timeout_s=0.06)) for row in array]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await _settled(*tasks)
        answers = await asyncio.gather(*(client.predict(REGRESSOR, row) for row in array))
    values = [answer.outputs["value"].item() for answer in answers]
    np.testing.assert_allclose(values, scene.regressor.predict(array), rtol=1e-6)
