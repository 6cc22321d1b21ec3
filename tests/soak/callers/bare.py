"""Bare gRPC, as generated stubs in any language would call: it comes and goes, and asks for exact versions too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np

from sardonyx.oip import messages as oip
from sardonyx.oip.tensors import encode_raw
from soak.callers.course import Draw, Habits, settle, tensors_of
from soak.ledger import Given

if TYPE_CHECKING:
    from collections.abc import Callable

    from soak.callers.course import Course
    from soak.rules import Ask

    Infer = Callable[..., Any]

#: Connections of their own, or all channels to one address would share one.
OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1),)


def infer_of(channel: grpc.aio.Channel) -> Infer:
    """ModelInfer over a channel."""
    return channel.unary_unary(
        f"/{oip.SERVICE}/ModelInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelInferResponse.FromString,
    )


async def given_by(course: Course, infer: Infer, ask: Ask) -> Given:
    """Make the call; its answer, with the output that is compared."""
    request = oip.ModelInferRequest(model_name=ask.model, id=ask.id, model_version=str(ask.version or ""))
    for name, datatype, values in tensors_of(course, ask):
        request.inputs.add(name=name, datatype=datatype, shape=values.shape)
        request.raw_input_contents.append(encode_raw(datatype, values))
    response = await infer(request, timeout=ask.patience_s)
    if response.id != ask.id:
        raise ValueError(f"the answer is to {response.id!r}")
    names = [output.name for output in response.outputs]
    contents = response.raw_output_contents[names.index(course.models[ask.model].output)]
    route = response.parameters["sardonyx_route"].string_param
    return Given(int(response.model_version), route, np.frombuffer(contents, dtype="<f8"))


class Bare:
    """One call after the other, over one connection after the other.

    Attributes:
        calls: over one connection, before the next one, perhaps to another worker.
    """

    name = "bare gRPC"
    calls = 100

    def __init__(self, course: Course, number: int) -> None:
        self._course = course
        self._draw = Draw(course, self.name, number, Habits(pins=True))

    async def run(self) -> None:
        """Ask until told to stop."""
        while not self._course.stop.is_set():
            async with grpc.aio.insecure_channel(self._course.address, options=OPTIONS) as channel:
                await self._calls(infer_of(channel))

    async def _calls(self, infer: Infer) -> None:
        for _ in range(self.calls):
            if self._course.stop.is_set():
                return
            ask = self._draw.ask()
            await settle(self._course, ask, given_by(self._course, infer, ask), self._draw.cancel_after_s())
            await asyncio.sleep(self._draw.pause_s())


class Newcomer(Bare):
    """Connects for each call, as a script does: it meets workers that have just begun."""

    name = "bare gRPC, connecting"
    calls = 1
