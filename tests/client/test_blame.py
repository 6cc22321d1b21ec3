"""Errors of calls that share requests: each meets those whose doing they are, as if it had been alone."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from client import plain
from client.plain import MODEL, Plain
from sardonyx import AsyncClient, Client
from sardonyx.errors import InternalError, InvalidInput, ModelNotFound, SardonyxError, VersionNotFound
from server.scene import ALONE, CLASSIFIER, LOOKUP, REGRESSOR, Scene, array_of, frame_of, wait_until
from support.programs import running_server

if TYPE_CHECKING:
    from sardonyx import Answer

GOOD = 60


def _bad(**changes: Any) -> dict[str, Any]:
    return {"distance": 1.0, "hour": 7, "carrier": "AA", "origin": "EWR"} | changes


def _several(row: int, **changes: Any) -> list[dict[str, Any]]:
    """Three rows, one of them bad."""
    return [_bad(**changes) if place == row else _bad() for place in range(3)]


#: What a call may send that is refused, by the client or by the server.
BAD: dict[str, Any] = {
    "unknown category": _bad(origin="XXX"),
    "NaN": _bad(distance=math.nan),
    "infinity": _bad(distance=math.inf),
    "missing text": _bad(carrier=None),
    "text for a number": _bad(distance="far"),
    "half a whole number": _bad(hour=1.5),
    "half a character": _bad(carrier="\ud800"),
    "missing input": {"distance": 1.0},
    "unknown input": _bad(speed=1.0),
    "no rows": [],
    "number for a text": _bad(origin=5),
    "third of three": _several(2, origin="XXX"),
    "second of three": _several(1, distance=math.nan),
    "two of three, in columns": {
        "distance": [1.0, math.nan, math.nan],
        "hour": [1, 2, 3],
        "carrier": ["AA"] * 3,
        "origin": ["EWR", "JFK", "YYY"],
    },
    "frame": frame_of(seed=3, rows=4).assign(origin=["EWR", "EWR", "ZZZ", "EWR"]),
    "long text": _bad(origin="X" * 70_000),
}


async def _outcome(call: Any) -> Answer | Exception:
    try:
        answer: Answer = await call
    except SardonyxError as error:
        return error
    return answer


def _said(error: object) -> tuple[Any, ...]:
    """All that a caller can read of an error."""
    assert isinstance(error, SardonyxError), error
    return type(error), error.message, getattr(error, "violations", None)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_call_fails_alone_as_if_it_were_alone(address: str, client: Client, scene: Scene, bad: Any) -> None:
    """Its error is the one that the blocking client gives for that call, row numbers included; others are answered."""
    with pytest.raises(SardonyxError) as alone:
        client.predict(CLASSIFIER, bad)
    frame = frame_of(seed=21, rows=GOOD)
    rows: list[Any] = frame.to_dict("records")
    async with AsyncClient(address) as calling:
        await calling.describe(CLASSIFIER)
        outcomes = await asyncio.gather(
            *(_outcome(calling.predict(CLASSIFIER, row)) for row in [*rows[:40], bad, *rows[40:]])
        )
    assert _said(outcomes.pop(40)) == _said(alone.value)
    expected = scene.classifier.predict_proba(frame)
    for outcome, probabilities in zip(outcomes, expected, strict=True):
        assert not isinstance(outcome, Exception), outcome
        np.testing.assert_allclose(outcome.outputs["probabilities"], [probabilities], rtol=1e-4, atol=1e-6)


async def test_every_bad_call_among_many_has_its_own_error(address: str, client: Client, scene: Scene) -> None:
    """All bad calls at once, between good ones: each has its own error, each good one its own answer."""
    frame = frame_of(seed=22, rows=200)
    expected = scene.classifier.predict_proba(frame)
    rows: list[Any] = frame.to_dict("records")
    names = list(BAD) * 4
    said = {}
    for name, bad in BAD.items():
        with pytest.raises(SardonyxError) as alone:
            client.predict(CLASSIFIER, bad)
        said[name] = _said(alone.value)
    calls = [call for pair in zip([BAD[name] for name in names], rows, strict=False) for call in pair] + rows[64:]
    async with AsyncClient(address) as calling:
        outcomes = await asyncio.gather(*(_outcome(calling.predict(CLASSIFIER, call)) for call in calls))
    for index, name in enumerate(names):
        assert _said(outcomes[2 * index]) == said[name]
    good = [*outcomes[1:128:2], *outcomes[128:]]
    for outcome, probabilities in zip(good, expected, strict=True):
        assert not isinstance(outcome, Exception), outcome
        np.testing.assert_allclose(outcome.outputs["probabilities"], [probabilities], rtol=1e-4, atol=1e-6)


async def test_errors_are_not_shared_objects(address: str) -> None:
    """Each caller raises an error of its own: a traceback that grows with each caller would tell lies."""
    async with AsyncClient(address) as calling:
        outcomes = await asyncio.gather(*(_outcome(calling.predict("nobody", {"x": 1.0})) for _ in range(20)))
        await calling.describe(CLASSIFIER)
        outcomes += await asyncio.gather(*(_outcome(calling.predict(CLASSIFIER, _bad(origin="X"))) for _ in range(20)))
    assert len({id(outcome) for outcome in outcomes}) == 40


async def test_a_run_that_fails_is_its_own_callers(address: str, client: Client) -> None:
    """A row that the runtime cannot run is an InternalError to its caller, and to nobody else."""
    with pytest.raises(InternalError):
        client.predict(LOOKUP, {"number": 99})
    async with AsyncClient(address) as calling:
        await calling.describe(LOOKUP)
        numbers = [index % 3 if index not in (5, 33) else 99 for index in range(60)]
        outcomes = await asyncio.gather(*(_outcome(calling.predict(LOOKUP, {"number": number})) for number in numbers))
    for number, outcome in zip(numbers, outcomes, strict=True):
        if number == 99:
            assert isinstance(outcome, InternalError)
        else:
            assert not isinstance(outcome, Exception)
            assert outcome.outputs["value"].tolist() == [10.0 * (number + 1)]


@pytest.mark.parametrize(
    ("model", "version", "kind"),
    [("nobody", None, ModelNotFound), (REGRESSOR, 99, VersionNotFound), ("../up", None, SardonyxError)],
)
async def test_a_wrong_name_is_found_by_both(
    address: str, client: Client, model: str, version: int | None, kind: type[SardonyxError]
) -> None:
    """An unknown model or version is the same error from both clients, to each of many callers."""
    with pytest.raises(kind) as alone:
        client.predict(model, [1.0, 2.0, 3.0], version=version)
    async with AsyncClient(address) as calling:
        calls = [_outcome(calling.predict(model, [1.0, 2.0, 3.0], version=version)) for _ in range(10)]
        assert {_said(outcome) for outcome in await asyncio.gather(*calls)} == {_said(alone.value)}


async def test_a_model_that_is_gone_is_everybodys_error() -> None:
    """Where no row is to blame, all callers of a shared request get its error, and nothing is sent again."""
    server = Plain({"sardonyx_version": "1"})
    with plain.running(server) as address:
        async with AsyncClient(address) as calling:
            await calling.describe(MODEL)
            server.refusal = grpc.StatusCode.PERMISSION_DENIED
            before = server.asked
            outcomes = await asyncio.gather(*(_outcome(calling.predict(MODEL, {"x": 1.0})) for _ in range(30)))
            assert {_said(outcome)[1] for outcome in outcomes} == {"not here, not now"}
            assert server.asked - before <= 3


async def test_a_server_of_small_messages_answers_all(scene: Scene) -> None:
    """Calls that are too large together, and not alone, are answered; one that is too large alone is the caller's."""
    with running_server(scene.registry, *ALONE, "--message-bytes-max", "4096") as address:
        async with AsyncClient(address) as calling:
            with Client(address) as client:
                wait_until(lambda: client.ready(REGRESSOR), "the model is ready")
                with pytest.raises(InvalidInput, match="larger than max"):
                    client.predict(REGRESSOR, np.ones((1000, 3)))
            array = array_of(seed=23, rows=300)
            answers = await asyncio.gather(*(calling.predict(REGRESSOR, row) for row in array))
    values = np.array([answer.outputs["value"].item() for answer in answers])
    np.testing.assert_allclose(values, scene.regressor.predict(array), rtol=1e-6)


async def test_a_server_of_a_short_queue_answers_all(scene: Scene) -> None:
    """Calls that no queue of the server's could hold together are answered in parts."""
    with running_server(scene.registry, *ALONE, "--queue-rows-max", "8") as address:
        async with AsyncClient(address) as calling:
            with Client(address) as client:
                wait_until(lambda: client.ready(REGRESSOR), "the model is ready")
            array = array_of(seed=24, rows=100)
            answers = await asyncio.gather(*(calling.predict(REGRESSOR, row) for row in array))
    values = np.array([answer.outputs["value"].item() for answer in answers])
    np.testing.assert_allclose(values, scene.regressor.predict(array), rtol=1e-6)
