"""Short runs on the event loop: shared by those who come together, and at once for whoever comes alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sardonyx_server import turns as turns_module
from sardonyx_server.life.session import Session
from sardonyx_server.turns import Turns
from server.test_batcher import BEYOND, SESSIONS, TABLE, feed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_server.runs import Ran


class Noted(Session):
    """A session that notes the rows of each of its runs."""

    def __init__(self) -> None:
        self.runs: list[int] = []

    def run(self, feed: Mapping[str, Any]) -> Sequence[Any]:
        """A run of the first session."""
        self.runs.append(len(feed["number"]))
        return SESSIONS[0].run(feed)


def turns_of(session: Session, rows_max: int = 100) -> Turns:
    """Short runs of a session, where something has just run: whoever comes now has company."""
    turns = Turns(session, rows_max)
    turns.run_now(feed_of([0]))
    return turns


async def ask(turns: Turns, numbers: Sequence[int], prediction_id: str = "") -> Ran:
    """One caller."""
    if not turns.has_company():
        return turns.run_now(feed_of(numbers))
    return await turns.run(feed_of(numbers), len(numbers), prediction_id)


async def together(turns: Turns, *asked: Sequence[int]) -> list[Any]:
    """Callers of one turn: their answers, or what they got instead."""
    calls = (ask(turns, numbers, f"id-{place}") for place, numbers in enumerate(asked))
    return await asyncio.gather(*calls, return_exceptions=True)


def test_those_of_one_turn_share_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run for all, each has its own rows' answers, and all are told whom they shared it with."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 10**12)
    session = Noted()
    first, second, third = asyncio.run(together(turns_of(session), [1], [2, 3], [4]))
    assert session.runs == [1, 4]
    assert [ran.outputs[0].tolist() for ran in (first, second, third)] == [[1.0], [2.0, 3.0], [4.0]]
    assert first.batch is second.batch is third.batch
    assert (first.batch.rows, first.batch.prediction_ids) == (4, ["id-0", "id-1", "id-2"])
    assert first.run_ns == third.run_ns > 0
    assert min(first.queue_ns, second.queue_ns, third.queue_ns) > 0


def test_who_comes_alone_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after the last run, a request is answered without one turn of the loop; its run is its own."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 0)
    call = ask(turns_of(Noted()), [7])
    with pytest.raises(StopIteration) as ended:
        call.send(None)
    ran = ended.value.value
    assert ran.outputs[0].tolist() == [7.0]
    assert (ran.queue_ns, ran.batch) == (0, None)


def test_who_waited_in_vain_does_not_wait_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """One wait without company, and the next request is run where it is asked for; company, and the next one waits."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 10**12)
    session = Noted()
    turns = turns_of(session)

    async def scenario() -> None:
        await together(turns, [1], [2])
        monkeypatch.setattr(turns_module, "NEAR_NS", 0)
        # Long after the last run; but that had company.
        assert [ran.batch is None for ran in await together(turns, [1], [2])] == [False, False]
        await ask(turns, [1])
        call = ask(turns, [2])
        with pytest.raises(StopIteration):
            call.send(None)

    asyncio.run(scenario())
    assert session.runs == [1, 2, 2, 1, 1]


def test_a_run_has_so_many_rows_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be too many together goes in another run; who has more than that alone has a run alone."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 10**12)
    session = Noted()
    answers = asyncio.run(together(turns_of(session, 3), [1, 2], [3, 4], [5], [6, 7, 8, 9], [10]))
    assert session.runs == [1, 2, 3, 4, 1]
    assert [ran.outputs[0].tolist() for ran in answers] == [[1, 2], [3, 4], [5], [6, 7, 8, 9], [10]]


def test_one_failure_is_one_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared run that fails is made again for each: only the one at fault fails, with what its own run raised."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 10**12)
    session = Noted()
    first, second, third = asyncio.run(together(turns_of(session), [1], [BEYOND], [3]))
    assert session.runs == [1, 3, 1, 1, 1]
    assert isinstance(second, Exception)
    assert [first.outputs[0].tolist(), third.outputs[0].tolist()] == [[1.0], [3.0]]
    assert first.batch is third.batch is None


def test_who_leaves_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that is cancelled while it waits costs no row, and harms nobody; nor does it if all of them leave."""
    monkeypatch.setattr(turns_module, "NEAR_NS", 10**12)
    session = Noted()
    turns = turns_of(session)

    async def scenario() -> None:
        calls = [asyncio.create_task(ask(turns, [number])) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        calls[0].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(done[0], asyncio.CancelledError)
        assert session.runs == [1, 2]
        alone = asyncio.create_task(ask(turns, [4]))
        await asyncio.sleep(0)
        alone.cancel()
        await asyncio.gather(alone, return_exceptions=True)
        assert (await ask(turns, [5])).outputs[0].tolist() == [5.0]
        assert session.runs == [1, 2, 1]

    asyncio.run(scenario())


ASKS = st.tuples(
    st.lists(st.sampled_from([*range(TABLE), BEYOND]), min_size=1, max_size=4),
    st.integers(0, 2),  # turns of the loop before it comes
    st.one_of(st.none(), st.none(), st.integers(0, 3)),  # turns after which it is cancelled
)


@settings(deadline=None)
@given(st.lists(ASKS, min_size=1, max_size=30), st.integers(1, 8), st.sampled_from([0, 75_000, 10**12]))
def test_every_request_resolves_exactly_once(
    asks: list[tuple[list[int], int, int | None]], rows_max: int, near_ns: int
) -> None:
    """Whoever comes with whom, is cancelled, or fails: each gets one end, and its own."""

    async def storm() -> None:
        turns = Turns(SESSIONS[0], rows_max)
        calls: list[asyncio.Task[Ran]] = []
        cancels: list[asyncio.Task[None]] = []
        for numbers, pause, patience in asks:
            for _ in range(pause):
                await asyncio.sleep(0)
            calls.append(asyncio.create_task(ask(turns, numbers)))
            if patience is not None:
                cancels.append(asyncio.create_task(cancel(calls[-1], patience)))
        ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
        await asyncio.gather(*cancels)
        for (numbers, _, patience), end in zip(asks, ends, strict=True):
            if isinstance(end, asyncio.CancelledError):
                assert patience is not None
            elif isinstance(end, BaseException):
                assert BEYOND in numbers, f"{end!r} is somebody else's failure"
            else:
                assert end.outputs[0].tolist() == np.array(numbers, float).tolist()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns_module, "NEAR_NS", near_ns)
        asyncio.run(storm())


async def cancel(call: asyncio.Task[Ran], patience: int) -> None:
    """Cancel a call after some turns of the loop."""
    for _ in range(patience):
        await asyncio.sleep(0)
    call.cancel()
