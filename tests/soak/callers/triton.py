"""Triton's own client, unary and as a stream: it knows nothing of us and repeats nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tritonclient import grpc as triton
from tritonclient.grpc import aio

from soak.callers.bare import OPTIONS
from soak.callers.course import Draw, Habits, resolve, settle, tensors_of
from soak.ledger import Given
from soak.rules import Failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from soak.callers.course import Course
    from soak.rules import Ask

#: Requests of a stream that wait for their answers.
_WINDOW: Final = 8
#: Requests of a stream before the next one is opened, perhaps to another worker.
_LENGTH: Final = 300
#: Streams that are cancelled, and when.
_CUT: Final = 0.3
_CUT_S: Final = 3.0


def inputs_of(course: Course, ask: Ask) -> list[Any]:
    """What is asked, as Triton's client takes it."""
    inputs = []
    for name, datatype, values in tensors_of(course, ask):
        tensor = triton.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values.astype(object) if datatype == "BYTES" else values)
        inputs.append(tensor)
    return inputs


def given_of(course: Course, ask: Ask, result: Any) -> Given:
    """An answer, with the output that is compared."""
    response = result.get_response()
    if response.id != ask.id:
        raise ValueError(f"the answer is to {response.id!r}")
    route = response.parameters["sardonyx_route"].string_param
    return Given(int(response.model_version), route, result.as_numpy(course.models[ask.model].output))


class Unary:
    """Tasks that share a client, one request a call."""

    name = "tritonclient"

    def __init__(self, course: Course, tasks: int) -> None:
        self._course = course
        self._draws = [Draw(course, self.name, number, Habits()) for number in range(tasks)]

    async def run(self) -> None:
        """Ask until told to stop."""
        while not self._course.stop.is_set():
            lasts = self._course.lasts(self._draws[0])
            async with (
                aio.InferenceServerClient(self._course.address, channel_args=OPTIONS) as client,
                asyncio.TaskGroup() as group,
            ):
                for draw in self._draws:
                    group.create_task(self._one(client, draw, lasts))

    async def _one(self, client: Any, draw: Draw, lasts: Callable[[], bool]) -> None:
        while lasts():
            ask = draw.ask()
            await settle(self._course, ask, self._infer(client, ask), draw.cancel_after_s())
            await asyncio.sleep(draw.pause_s())

    async def _infer(self, client: Any, ask: Ask) -> Given:
        inputs = inputs_of(self._course, ask)
        result = await client.infer(ask.model, inputs, request_id=ask.id, client_timeout=ask.patience_s)
        return given_of(self._course, ask, result)


class Streaming:
    """One stream after the other; some are cancelled with all that is under way on them."""

    name = "tritonclient stream"

    def __init__(self, course: Course, number: int) -> None:
        self._course = course
        self._draw = Draw(course, self.name, number, Habits(hurries=False, cancels=False))

    async def run(self) -> None:
        """Ask until told to stop."""
        while not self._course.stop.is_set():
            async with aio.InferenceServerClient(self._course.address, channel_args=OPTIONS) as client:
                await _Stream(self._course, self._draw).run(client)


class _Stream:
    def __init__(self, course: Course, draw: Draw) -> None:
        self._course = course
        self._draw = draw
        self._waiting: deque[Ask] = deque()
        self._window = asyncio.Semaphore(_WINDOW)
        self._ended = False

    async def run(self, client: Any) -> None:
        """Send requests and take their answers until the stream ends, however it does."""
        stream = client.stream_infer(self._requests())
        random = self._draw.random
        if random.random() < _CUT:
            asyncio.get_running_loop().call_later(random.uniform(0, _CUT_S), self._cut, stream)
        try:
            async for result, error in stream:
                self._take(self._waiting.popleft(), result, error)
                self._window.release()
            self._end(Failure("STREAM_ENDED", "the stream ended without an answer to this request"))
        except asyncio.CancelledError as error:
            if any(not ask.cancelled for ask in self._waiting):
                raise
            self._end(Failure.of(error))
        except Exception as error:  # whatever a client raises is judged
            self._end(Failure.of(error))
        finally:
            self._ended = True

    async def _requests(self) -> AsyncIterator[dict[str, Any]]:
        for _ in range(_LENGTH):
            await self._window.acquire()
            await asyncio.sleep(self._draw.pause_s())
            if self._ended or self._course.stop.is_set():
                return
            ask = self._draw.ask()
            self._waiting.append(ask)
            yield {"model_name": ask.model, "inputs": inputs_of(self._course, ask), "request_id": ask.id}

    def _take(self, ask: Ask, result: Any, error: Exception | None) -> None:
        if error is not None:
            self._course.ledger.failed(ask, Failure.of(error))
            return
        try:
            given = given_of(self._course, ask, result)
        except Exception as broken:  # an answer that cannot be read is judged too
            self._course.ledger.failed(ask, Failure.of(broken))
        else:
            resolve(self._course, ask, given)

    def _cut(self, stream: Any) -> None:
        if not self._ended:
            self._ended = True
            for ask in self._waiting:
                ask.cancelled = True
            stream.cancel()

    def _end(self, failure: Failure) -> None:
        self._ended = True
        while self._waiting:
            self._course.ledger.failed(self._waiting.popleft(), failure)
