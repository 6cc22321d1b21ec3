"""Ground truth: each outcome of a report is stored or rejected with a reason."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from sardonyx.errors import InvalidInput, Violation
from sardonyx.monitor.v1.outcome_service_pb2 import (
    Outcome,
    Rejection,
    ReportOutcomesRequest,
    ReportOutcomesResponse,
)
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx_monitor.store.rows import Batch, OutcomeRow

if TYPE_CHECKING:
    from sardonyx_monitor.receiver.admission import Admission
    from sardonyx_monitor.receiver.decoder import Decoder
    from sardonyx_monitor.receiver.losses import Losses
    from sardonyx_monitor.store.writer import Writer

#: Clocks differ by minutes at most; a truth from further ahead is a unit error, such as milliseconds for seconds.
FUTURE_S_MAX: Final = 3600
_NS_MAX: Final = (1 << 63) - 1


@dataclass(slots=True)
class Checked:
    """The outcomes of a report, told apart."""

    rows: list[OutcomeRow] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


class OutcomeReceiver:
    """Takes outcomes in: sardonyx.monitor.v1.OutcomeService.

    Args:
        writer: where they go.
        admission: how many bytes may be under way.
        losses: where what is not kept is counted.
        decoder: reads them.
    """

    def __init__(self, writer: Writer, admission: Admission, losses: Losses, decoder: Decoder) -> None:
        self._writer = writer
        self._admission = admission
        self._losses = losses
        self._decoder = decoder

    async def report(self, data: bytes) -> ReportOutcomesResponse:
        """Store the outcomes of a ReportOutcomesRequest; those accepted are durable on return.

        Raises:
            InvalidInput: the bytes are no such message.
            Unavailable: the call cannot be taken now.
        """
        with self._losses.counting(), self._admission.admit(len(data)):
            # Half a million outcomes take seconds.
            checked = await self._decoder.read(_check, data)
            if checked.rows:
                await asyncio.wrap_future(self._writer.submit(Batch(outcomes=checked.rows)))
        self._losses.outcomes_stored += len(checked.rows)
        self._losses.outcomes_rejected += len(checked.rejections)
        return ReportOutcomesResponse(accepted=len(checked.rows), rejections=checked.rejections)


def _check(data: bytes) -> Checked:
    return check(_parse(data), time.time_ns())


def check(request: ReportOutcomesRequest, now_ns: int) -> Checked:
    """Tell the outcomes that can be stored from those that cannot."""
    checked = Checked()
    for index, outcome in enumerate(request.outcomes):
        reason = _fault(outcome, now_ns)
        if reason:
            checked.rejections.append(Rejection(index=index, reason=reason))
        else:
            checked.rows.append(_row(outcome, now_ns))
    return checked


def _parse(data: bytes) -> ReportOutcomesRequest:
    try:
        return ReportOutcomesRequest.FromString(data)
    except DecodeError as error:
        expected = f"this is no ReportOutcomesRequest: {error}. Use sardonyx.Outcomes or its .proto."
        raise InvalidInput([Violation("request", expected)]) from None


def _fault(outcome: Outcome, now_ns: int) -> str:
    """Why an outcome cannot be stored; empty where it can."""
    if not 0 < len(outcome.prediction_id) <= ID_LENGTH_MAX:
        return f"prediction_id must have 1 to {ID_LENGTH_MAX} characters. Give the id of the prediction request."
    if outcome.row < 0:
        return f"row is {outcome.row}. Give the row within the request, from 0."
    kind = outcome.WhichOneof("value")
    if kind is None:
        return "there is no value. Give label, integer_label, boolean_label or number."
    if kind == "number" and not math.isfinite(outcome.number):
        return f"number is {outcome.number}. Report an outcome once it is known."
    if outcome.revision < 0:
        return f"revision is {outcome.revision}. Start at 0 and raise it to correct an earlier report."
    return _time_fault(outcome, now_ns)


def _time_fault(outcome: Outcome, now_ns: int) -> str:
    if not outcome.HasField("observe_time"):
        return ""
    observe_ns = _observe_ns(outcome)
    if not 0 <= observe_ns <= _NS_MAX or not 0 <= outcome.observe_time.nanos < 10**9:
        return "observe_time is out of range. Give the time in UTC, after 1970."
    if observe_ns > now_ns + FUTURE_S_MAX * 10**9:
        return "observe_time lies in the future. Give when the truth became known, in seconds since 1970, UTC."
    return ""


def _row(outcome: Outcome, now_ns: int) -> OutcomeRow:
    kind = outcome.WhichOneof("value") or ""
    label, alias, number = _readings(outcome)
    return OutcomeRow(
        digest=_digest(outcome),
        prediction_id=outcome.prediction_id,
        row_index=outcome.row,
        kind=kind,
        label=label,
        label_alias=alias,
        number=number,
        observe_ns=_observe_ns(outcome) if outcome.HasField("observe_time") else now_ns,
        arrive_ns=now_ns,
        source=outcome.source,
        revision=outcome.revision,
    )


def _readings(outcome: Outcome) -> tuple[str | None, str | None, float | None]:
    """The truth as a label, as the label that a job with another type would write, and as a number.

    A job that has 1.0 for class 1, or 1 for True, means the same; only what has no such reading is left unread.
    """
    match outcome.WhichOneof("value"):
        case "label":
            return outcome.label, None, None
        case "boolean_label":
            return str(outcome.boolean_label), str(int(outcome.boolean_label)), None
        case "integer_label":
            return _of_integer(outcome.integer_label)
        case _ if outcome.number.is_integer() and abs(outcome.number) < 2**53:
            label, alias, _ = _of_integer(int(outcome.number))
            return label, alias, outcome.number
        case _:
            return None, None, outcome.number


def _of_integer(value: int) -> tuple[str, str | None, float]:
    return str(value), str(bool(value)) if value in (0, 1) else None, float(value)


def _observe_ns(outcome: Outcome) -> int:
    return outcome.observe_time.seconds * 10**9 + outcome.observe_time.nanos


def _digest(outcome: Outcome) -> str:
    """128 bits over everything that was reported: equal reports have equal digests."""
    told = outcome.SerializeToString(deterministic=True)
    return hashlib.blake2b(told, digest_size=16).hexdigest()
