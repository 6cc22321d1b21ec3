"""The walk of a prediction: read, route, check, run, write; then a record of it. Every door leads here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc

from sardonyx import status
from sardonyx.errors import DeadlineExceeded, InvalidInput, SardonyxError, Violation
from sardonyx.guard import to_internal
from sardonyx.names import NAME_LENGTH_MAX
from sardonyx.prediction_id import ID_LENGTH_MAX, RandomIds
from sardonyx_server.access.tokens import Role
from sardonyx_server.log import LOG
from sardonyx_server.routing import resolve
from sardonyx_server.telemetry.record import Record, outputs_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from sardonyx.oip.coalesced import Coalesced
    from sardonyx_server.access.access import Access
    from sardonyx_server.call import Call
    from sardonyx_server.drain import Drain
    from sardonyx_server.life.model import Models
    from sardonyx_server.routing import Routed
    from sardonyx_server.runs import Ran
    from sardonyx_server.served import Served
    from sardonyx_server.shadow import Shadow
    from sardonyx_server.telemetry.recorder import Recorder

    Array = npt.NDArray[Any]
    Context = grpc.aio.ServicerContext[Any, Any]


#: A caller's clock began to run before ours, by as long as its call took to arrive, and it cancels when its time is up:
#: who does so in this last part of the time that we know of was late.
_LAST_PART: Final = 0.1
_MORE_TIME: Final = "Allow more time, or send fewer rows."


class Question(Protocol):
    """A request as its door reads it.

    Attributes:
        model: whom it asks.
        selector: which version: see ``routing.resolve``.
        prediction_id: the caller's id; empty: it gave none.
        routing_key: what a canary's share goes by; empty: what the call's metadata says, or the prediction id.
        id_field: what its protocol calls the prediction id.
    """

    model: str
    selector: str
    prediction_id: str
    routing_key: str
    id_field: str

    def decode(self, served: Served) -> tuple[Mapping[str, Array], int, Coalesced | None]:
        """The arrays by graph tensor, shape [rows, width], how many rows, and whose; raises InvalidInput."""
        ...

    def encode(self, served: Served, outputs: Sequence[Array], record: Record) -> bytes:
        """The answer's bytes."""
        ...


class Predictor:
    """Answers questions, whatever door they came through.

    Args:
        models: what this worker has.
        access: who may ask; None: everyone.
        recorder: takes a record of each prediction; None: nobody listens.
        shadow: is shown what live versions have answered.
        drain: whether the server is going away.
    """

    def __init__(
        self,
        models: Models,
        access: Access | None,
        recorder: Recorder | None,
        shadow: Shadow,
        drain: Drain,
    ) -> None:
        self._models = models
        self._access = access
        self._recorder = recorder
        self._shadow = shadow
        self._drain = drain
        self._ids = RandomIds()

    async def answer(
        self, read: Callable[[bytes], Question], data: bytes, call: Call, context: Context, record: Record
    ) -> bytes:
        """The bytes that answer a request.

        Args:
            read: makes a question of the bytes; InvalidInput where they are none of its kind.
            data: the request.
            call: what came with it.
            context: knows how long the caller still waits.
            record: filled in, and left for telemetry.

        Raises:
            SardonyxError: the request could not be answered; always one that crosses the wire.
        """
        started_ns = time.perf_counter_ns()
        try:
            if self._drain.begun:
                await self._drain.refuse()
            question = read(data)
            routed = self._route(question, call, record)
            served = routed.served
            record.feed, record.rows, record.members = question.decode(served)
            decoded_ns = time.perf_counter_ns()
            ran = await _run(served, record.feed, record, call, context)
            ran_ns = time.perf_counter_ns()
            answer = question.encode(served, ran.outputs, record)
            record.outputs, record.batch = outputs_of(served, ran.outputs), ran.batch
            record.stages_ns = (decoded_ns - started_ns, ran.queue_ns, ran.run_ns, time.perf_counter_ns() - ran_ns)
        except SardonyxError as error:
            record.code = status.code_of(error).name
            raise
        except Exception as error:  # the caller must learn that it failed, and nothing of how
            record.code = grpc.StatusCode.INTERNAL.name
            raise to_internal(error, LOG) from None
        except BaseException:
            record.code = _cancelled_by(context, time.perf_counter_ns() - started_ns).name
            raise
        else:
            record.code = "OK"
            if routed.shadow is not None:
                # Before the recorder, which lets go of what was asked.
                self._shadow.offer(routed.shadow, record, ran.outputs, len(data))
            return answer
        finally:
            record.duration_ns = time.perf_counter_ns() - started_ns
            if self._recorder is not None:
                self._recorder.record(record)

    def _route(self, question: Question, call: Call, record: Record) -> Routed:
        """Whom the question goes to, once the caller may ask."""
        # What is longer is no model's name, and is not kept.
        record.model = question.model[:NAME_LENGTH_MAX]
        if self._access is None:
            record.caller = call.caller
        else:
            record.caller = self._access.check(call.metadata, Role.INFER, question.model)
        if len(question.prediction_id) > ID_LENGTH_MAX:
            found = f"{len(question.prediction_id)} characters, and an id has {ID_LENGTH_MAX} at most."
            raise InvalidInput([Violation(question.id_field, f"{found} Give a shorter one.")])
        record.prediction_id = question.prediction_id or self._ids.next()
        key = question.routing_key or call.routing_key or record.prediction_id
        routed = resolve(self._models, question.model, question.selector, key)
        record.served, record.route = routed.served, routed.route
        return routed


async def _run(served: Served, feed: Mapping[str, Array], record: Record, call: Call, context: Context) -> Ran:
    """The answers of a version; a caller whose time is up gets none, and costs no run."""
    left_s = context.time_remaining()
    if left_s is not None and left_s <= 0:
        raise DeadlineExceeded(f"The deadline passed before the call was run. {_MORE_TIME}")
    asked_ns = time.perf_counter_ns()
    rows, batcher = record.rows, served.batcher
    if rows > batcher.short_rows_max:
        with served:
            ran = await batcher.run(feed, rows, left_s, record.prediction_id)
    elif not call.streamed and batcher.turns.has_company():
        ran = await batcher.turns.run(feed, rows, record.prediction_id)
    else:
        # Less lies between the requests of a stream: what they would share costs no more than to wait for company.
        ran = batcher.turns.run_now(feed)
    if left_s is not None and time.perf_counter_ns() - asked_ns > left_s * 1e9:
        # Its caller has learned of that already.
        raise DeadlineExceeded(f"The deadline passed while the call was run. {_MORE_TIME}")
    return ran


def _cancelled_by(context: Context, waited_ns: int) -> grpc.StatusCode:
    """What ended a call in its middle: gRPC cancels those whose time is up as it does those whose caller has left."""
    left_s = context.time_remaining()
    late = left_s is not None and left_s <= _LAST_PART * (waited_ns * 1e-9 + left_s)
    return grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
