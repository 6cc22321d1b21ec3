"""What is kept of a prediction until its span is written: plain values, no span yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy.typing as npt

from sardonyx.prediction_id import RandomIds
from sardonyx.telemetry import OUTPUT_ROWS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sardonyx.oip.coalesced import Coalesced
    from sardonyx_server.served import Served

Array = npt.NDArray[Any]

# https://www.w3.org/TR/trace-context/#traceparent-header; version ff is forbidden, versions after 00 may be longer.
_TRACEPARENT: Final = re.compile(r"(?!ff)(?!00.{53}.)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")

_BATCH_IDS: Final = RandomIds()
_BATCH_ID_LENGTH: Final = 16


class TraceParent(NamedTuple):
    """The caller's span, by W3C Trace Context.

    Attributes:
        trace_id: 16 bytes.
        span_id: 8 bytes.
        flags: the trace flags; bit 0 is "sampled".
        state: the tracestate header as it came.
    """

    trace_id: bytes
    span_id: bytes
    flags: int
    state: str


class Outputs(NamedTuple):
    """The first rows of an answer: what accuracy is computed from."""

    rows: int
    labels: Array | None
    probabilities: Array | None
    values: Array | None


@dataclass(slots=True)
class Batch:
    """A run that several requests shared, one object for all of them; None in the record of one that had its own.

    Attributes:
        id: equal in all of its requests, 16 hex digits.
        rows: how many rows it had.
        prediction_ids: the ids of its requests, in the order of the rows.
        counted: whether metrics have it, which are told of it with each of its requests.
    """

    id: str
    rows: int
    prediction_ids: Sequence[str]
    counted: bool = False

    @classmethod
    def of(cls, rows: int, prediction_ids: Sequence[str]) -> Batch:
        """A run under an id that no other has."""
        return cls(_BATCH_IDS.next()[:_BATCH_ID_LENGTH], rows, prediction_ids)


class Shadowed(NamedTuple):
    """How a shadow's answer compares with the one that the caller got.

    Attributes:
        live_version: the version that the caller was answered by.
        agreement: the share of rows in which both answer alike, 0 to 1.
    """

    live_version: int
    agreement: float


class Captured(NamedTuple):
    """Some rows of what was asked, each kept with one known probability.

    Attributes:
        rows: which rows of the request, from 0.
        probability: with which each row of the request was kept.
        values: arrays by graph tensor, shape [captured rows, width].
    """

    rows: Sequence[int]
    probability: float
    values: Mapping[str, Array]


@dataclass(slots=True)
class Record:
    """One prediction request, answered or not: filled in on its way, then left for telemetry.

    Attributes:
        method: the span's name: telemetry.SPAN_MODEL_INFER or another door's.
        model: the name asked for.
        served: the version that answered; None where the call did not get that far.
        route: why that version; empty where there is none.
        code: the gRPC status code's name.
        prediction_id: the caller's or ours.
        rows: rows in the request; 0 where they were not counted.
        start_ns: when the request arrived, ns since 1970.
        duration_ns: until the answer was written.
        stages_ns: decode, queue, run, encode.
        parent: the caller's span, if it sent one.
        outputs: what was answered, if anything was.
        feed: what was asked: arrays by graph tensor, shape [rows, width]; None where it was not read.
        members: the predictions of several callers that the request carries; None where it is one caller's.
        batch: the run that was shared with others; None where it was not.
        caller: the name of the caller's token, or where the server asks for none, the one that the caller gives itself.
        shadowed: only for a shadow's answer.
        captured: taken from the feed when the record is, which then lets go of the feed; the doors leave it out.
    """

    method: str
    model: str = ""
    served: Served | None = None
    route: str = ""
    code: str = ""
    prediction_id: str = ""
    rows: int = 0
    start_ns: int = 0
    duration_ns: int = 0
    stages_ns: tuple[int, int, int, int] = (0, 0, 0, 0)
    parent: TraceParent | None = None
    outputs: Outputs | None = None
    feed: Mapping[str, Array] | None = None
    members: Coalesced | None = None
    batch: Batch | None = None
    caller: str = ""
    shadowed: Shadowed | None = None
    captured: Captured | None = None


def read_parent(metadata: Iterable[tuple[str, str | bytes]] | None) -> TraceParent | None:
    """The caller's span from a call's metadata; None where there is none or it is not well formed."""
    parent, state = "", ""
    for key, value in metadata or ():
        if key == "traceparent":
            parent = str(value)
        elif key == "tracestate":
            state = f"{state},{value!s}" if state else str(value)
    match = _TRACEPARENT.fullmatch(parent)
    if match is None or not int(match[1], 16) or not int(match[2], 16):
        return None
    return TraceParent(bytes.fromhex(match[1]), bytes.fromhex(match[2]), int(match[3], 16), state)


def outputs_of(served: Served, arrays: Sequence[Array]) -> Outputs:
    """The first OUTPUT_ROWS_MAX rows of an answer, copied where the rest would be kept alive by them."""
    rows = len(arrays[0])
    if rows > OUTPUT_ROWS_MAX:
        rows = OUTPUT_ROWS_MAX
        arrays = [array[:rows].copy() for array in arrays]
    label, probabilities, value = served.kinds
    return Outputs(
        rows,
        None if label is None else arrays[label],
        None if probabilities is None else arrays[probabilities],
        None if value is None else arrays[value],
    )
