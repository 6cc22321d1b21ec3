"""Which failure is allowed for which cause: design.md's table of errors, and what gRPC says of a lost connection.

INTERNAL and UNKNOWN are in no rule: nothing that happens here excuses them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from tritonclient.utils import InferenceServerException

from sardonyx import status
from sardonyx.errors import SardonyxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from soak.timeline import Timeline, Windows

#: Effects that faults have, by which rules know them.
WORKER_GONE: Final = "a worker was gone"
QUEUE_FULL: Final = "the queue was full"
MONITOR_AWAY: Final = "the monitor was away"

#: An error that tritonclient was given within a stream, where only its message reaches the caller.
IN_STREAM: Final = "IN_STREAM"
#: grpc.aio's own status, which no server sent, where a connection breaks while a request is written to a stream.
CUT_OFF: Final = "CUT_OFF"
_CUT_OFF_WORDS: Final = "Internal error from Core"
#: Of a deadline, the share that must have passed: the server counts from when it read the call.
_DEADLINE_SHARE: Final = 0.9


@dataclass(slots=True)
class Ask:
    """One request, from before it is sent until it is resolved.

    Attributes:
        number: counts requests; its prediction id holds it.
        id: the prediction id.
        caller: who asks.
        model: of whom.
        start, stop: which of the model's rows.
        version: the exact version that is asked for; 0: what is live.
        expects: the code that must come, because the request is wrong; empty: an answer.
        patience_s: the deadline.
        hurried: whether the deadline is one that may well pass.
        repeats: whether the client asks again by itself where that is safe.
        cancelled: its caller has cancelled it.
        sent: when, by time.monotonic().
    """

    number: int
    id: str
    caller: str
    model: str
    start: int
    stop: int
    version: int
    expects: str
    patience_s: float
    hurried: bool
    repeats: bool
    cancelled: bool = False
    sent: float = 0.0


class Failure(NamedTuple):
    """How a request failed.

    Attributes:
        code: the gRPC status code's name; or IN_STREAM, CUT_OFF, or the name of an exception that no client should
            raise.
        message: the status's.
        retry_info: whether the server said when to come back; None where the client does not tell.
    """

    code: str
    message: str
    retry_info: bool | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What any of the clients raised."""
        match error:
            case asyncio.CancelledError():
                return cls("CANCELLED", "")
            case SardonyxError():
                code = status.CODES.get(_known(error))
                return cls(code.name if code else type(error).__name__, error.message)
            case grpc.RpcError():
                return _of_rpc(error)
            case InferenceServerException():
                code = error.status()
                return cls(code.removeprefix("StatusCode.") if code else IN_STREAM, error.message())
            case _:
                return cls(type(error).__name__, str(error))


def _known(error: SardonyxError) -> type[SardonyxError]:
    return next((kind for kind in type(error).__mro__ if kind in status.CODES), type(error))


def _of_rpc(error: Any) -> Failure:
    if (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, _CUT_OFF_WORDS):
        return Failure(CUT_OFF, error.details())
    retry = status.retry_after_s(error.trailing_metadata() or ())
    return Failure(error.code().name, error.details() or "", retry is not None)


class Circumstances(NamedTuple):
    """What a failure is judged by, beside itself."""

    timeline: Timeline
    windows: Windows
    now: float


class Rule(NamedTuple):
    """A cause, and when it excuses a failure.

    Attributes:
        cause: for the table.
        codes: that it may have.
        holds: whether it is the cause.
        words: any of them is in the message, where no code says it: IN_STREAM.
    """

    cause: str
    codes: frozenset[str]
    holds: Callable[[Ask, Failure, Circumstances], bool]
    words: tuple[str, ...] = ()

    def allows(self, ask: Ask, failure: Failure, around: Circumstances) -> bool:
        """Whether it excuses a failure."""
        if failure.code not in self.codes:
            return False
        if failure.code == IN_STREAM and not any(words in failure.message for words in self.words):
            return False
        return self.holds(ask, failure, around)


def _elapsed(ask: Ask, _failure: Failure, around: Circumstances) -> bool:
    return ask.hurried and around.now - ask.sent >= ask.patience_s * _DEADLINE_SHARE


def _queue_full(ask: Ask, failure: Failure, around: Circumstances) -> bool:
    # Whoever is refused is told when to come back.
    return failure.retry_info is not False and around.windows.during(QUEUE_FULL, ask.sent)


def _worker_gone(ask: Ask, _failure: Failure, around: Circumstances) -> bool:
    # A client that repeats gives up only where its caller has no time left.
    return (not ask.repeats or ask.hurried) and around.windows.during(WORKER_GONE, ask.sent)


def _not_routed(ask: Ask, _failure: Failure, around: Circumstances) -> bool:
    return bool(ask.version) and not around.timeline.always(ask.model, ask.version, ask.sent)


RULES: Final = (
    Rule("its caller cancelled it", frozenset({"CANCELLED"}), lambda ask, _failure, _around: ask.cancelled),
    Rule(
        "the request was wrong",
        frozenset({"INVALID_ARGUMENT", "NOT_FOUND", IN_STREAM}),
        lambda ask, failure, _around: bool(ask.expects) and failure.code in (ask.expects, IN_STREAM),
        words=("inputs[",),
    ),
    Rule("its deadline passed", frozenset({"DEADLINE_EXCEEDED"}), _elapsed),
    Rule("no route led to that version", frozenset({"NOT_FOUND", "UNAVAILABLE"}), _not_routed),
    Rule(
        WORKER_GONE,
        frozenset({"UNAVAILABLE", IN_STREAM, CUT_OFF}),
        _worker_gone,
        # What goes away says so, and what has taken its place and is not ready yet.
        words=("shutting down", "Try again in"),
    ),
    Rule(QUEUE_FULL, frozenset({"RESOURCE_EXHAUSTED", IN_STREAM}), _queue_full, words=("queue",)),
)


def cause_of(ask: Ask, failure: Failure, around: Circumstances) -> str:
    """Why a failure is allowed; empty where it is not."""
    return next((rule.cause for rule in RULES if rule.allows(ask, failure, around)), "")
