"""What is kept of a prediction until its span is written: plain values, no span yet."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy.typing as npt

from sardonyx.registry.v1.interface_pb2 import OUTPUT_KIND_LABEL, OUTPUT_KIND_PROBABILITIES
from sardonyx.telemetry import OUTPUT_ROWS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sardonyx_server.served import Served

Array = npt.NDArray[Any]

# https://www.w3.org/TR/trace-context/#traceparent-header; version ff is forbidden, versions after 00 may be longer.
_TRACEPARENT: Final = re.compile(r"(?!ff)(?!00.{53}.)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


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


class Record(NamedTuple):
    """One prediction request, answered or not.

    Attributes:
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
    """

    model: str
    served: Served | None
    route: str
    code: str
    prediction_id: str
    rows: int
    start_ns: int
    duration_ns: int
    stages_ns: tuple[int, int, int, int]
    parent: TraceParent | None
    outputs: Outputs | None


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
    labels = probabilities = values = None
    rows = min(len(arrays[0]), OUTPUT_ROWS_MAX)
    for output, array in zip(served.manifest.interface.outputs, arrays, strict=True):
        kept = array if len(array) <= OUTPUT_ROWS_MAX else array[:OUTPUT_ROWS_MAX].copy()
        if output.kind == OUTPUT_KIND_LABEL:
            labels = kept
        elif output.kind == OUTPUT_KIND_PROBABILITIES:
            probabilities = kept
        else:
            values = kept
    return Outputs(rows, labels, probabilities, values)
