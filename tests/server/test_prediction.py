"""The walk of a prediction: what its caller's time does to it. What it answers is shown over real sockets elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import TYPE_CHECKING, Any, cast

import grpc
import pytest

from sardonyx.errors import DeadlineExceeded
from sardonyx.oip import messages as oip
from sardonyx_server.batcher import RowQueue
from sardonyx_server.call import PLAIN
from sardonyx_server.doors.infer import InferDoor, InferQuestion
from sardonyx_server.drain import Drain
from sardonyx_server.life.model import Model, Models, Wish
from sardonyx_server.prediction import Predictor
from sardonyx_server.shadow import Shadow
from sardonyx_server.telemetry.record import Record
from server.loaded import load_served
from server.scene import LONG, LOOKUP, PATIENCE_S, SLOW, number_request

if TYPE_CHECKING:
    from server.scene import Scene


class Caller:
    """What gRPC knows of a call: how long its caller still waits.

    Args:
        left_s: so long, in seconds; None: for ever.
    """

    def __init__(self, left_s: float | None) -> None:
        self._until = None if left_s is None else time.time() + left_s

    def time_remaining(self) -> float | None:
        """As ``grpc.aio.ServicerContext`` has it."""
        return None if self._until is None else max(0.0, self._until - time.time())


def predictor_of(scene: Scene, name: str) -> Predictor:
    """What answers the calls of one model, of a worker that has read its registry."""
    queue = RowQueue(100)
    model = Model(name, Wish(1, {1: 1}))
    model.routes[1], model.default_major = load_served(scene.registry, name, 1, queue), 1
    models = Models({name: model})
    models.known = True
    return Predictor(models, None, None, Shadow(models, queue, None), Drain())


def ask(scene: Scene, request: oip.ModelInferRequest, left_s: float | None) -> tuple[bytes | Exception, Record]:
    """One call: its answer, or what it got instead, and its record."""
    record = Record("ModelInfer")

    async def answered() -> bytes:
        context = cast("Any", Caller(left_s))
        predictor = predictor_of(scene, request.model_name)
        return await predictor.answer(InferQuestion, request.SerializeToString(), PLAIN, context, record)

    try:
        return asyncio.run(answered()), record
    except DeadlineExceeded as error:
        return error, record


@pytest.mark.parametrize("left_s", [None, 20.0])
def test_who_has_time_is_answered(scene: Scene, left_s: float | None) -> None:
    """Without a deadline, or long before it, a call has its answer and counts as that."""
    answer, record = ask(scene, number_request(LOOKUP, 1), left_s)
    assert isinstance(answer, bytes)
    assert oip.ModelInferResponse.FromString(answer).model_name == LOOKUP
    assert record.code == "OK"
    assert record.outputs is not None


def test_who_is_late_is_not_run(scene: Scene) -> None:
    """A call whose time is up before its run costs none, and counts as late."""
    answer, record = ask(scene, number_request(LOOKUP, 1), 0.0)
    assert isinstance(answer, DeadlineExceeded)
    assert (record.code, record.outputs, record.stages_ns) == ("DEADLINE_EXCEEDED", None, (0, 0, 0, 0))


def test_whose_time_passes_during_the_run_counts_as_late(scene: Scene) -> None:
    """GRPC does not send such an answer: it counts as what its caller has learned, and not as answered."""
    answer, record = ask(scene, number_request(SLOW, LONG), 0.001)
    assert isinstance(answer, DeadlineExceeded)
    assert (record.code, record.outputs) == ("DEADLINE_EXCEEDED", None)


@pytest.mark.parametrize(
    ("left_s", "after_s", "code"),
    [(None, 0.05, "CANCELLED"), (60.0, 0.05, "CANCELLED"), (0.4, 0.38, "DEADLINE_EXCEEDED")],
)
def test_who_leaves_when_the_time_is_up_was_late(scene: Scene, left_s: float | None, after_s: float, code: str) -> None:
    """Callers cancel when their own clocks have run out, a moment before the server's: that counts as late."""
    request, record = number_request(SLOW, LONG), Record("ModelInfer")

    async def leave() -> None:
        context = cast("Any", Caller(left_s))
        predictor = predictor_of(scene, SLOW)
        call = predictor.answer(InferQuestion, request.SerializeToString(), PLAIN, context, record)
        # On a busy machine the server's clock may be the first.
        with contextlib.suppress(TimeoutError, DeadlineExceeded):
            await asyncio.wait_for(call, after_s)

    asyncio.run(leave())
    assert record.code == code


@pytest.mark.parametrize(("model", "selector"), [("nobody", ""), (LOOKUP, "7")])
def test_a_refused_call_leaves_nothing_behind(scene: Scene, model: str, selector: str) -> None:
    """What a refused call has asked is gone with its status: it may be megabytes, and no collector is waited for."""
    request = number_request(model, 1)
    request.model_version = selector

    async def refused() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((InferDoor(predictor_of(scene, LOOKUP), Drain()),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{oip.SERVICE}/ModelInfer")
            with pytest.raises(grpc.aio.AioRpcError):
                await call(request.SerializeToString(), timeout=PATIENCE_S)
            # The handler's task ends after its answer has left.
            for _ in range(100):
                await asyncio.sleep(0.01)
                if not questions():
                    break
            assert not questions()
        await server.stop(0)
        del server
        gc.collect()

    gc.collect()
    gc.disable()
    try:
        asyncio.run(refused())
    finally:
        gc.enable()


def questions() -> list[InferQuestion]:
    """Those that exist."""
    return [each for each in gc.get_objects() if isinstance(each, InferQuestion)]
