"""What spans of predictions have in common: places for ids, times and stages, and what is equal for many of them.

Field numbers: opentelemetry/proto/trace/v1/trace.proto.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy.typing as npt

from sardonyx import telemetry as names
from sardonyx.protobuf import delimited
from sardonyx_server.telemetry.form import Form
from sardonyx_server.telemetry.otlp import (
    attribute,
    before_text,
    int_value,
    key,
    keyed,
    padded_varints,
    text_value,
)

if TYPE_CHECKING:
    from sardonyx.address import Address
    from sardonyx_server.telemetry.record import Batch

Array = npt.NDArray[Any]

#: The codes that make a server's span an error: the others are the caller's doing (OpenTelemetry, RPC conventions).
SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_STATUS_ERROR: Final = b"\x7a\x02\x18\x02"  # Span.status = 15 {code = 3: STATUS_CODE_ERROR}

#: The flags of a root of ours: sampled, with a random trace id.
OWN_ROOT: Final = 0x3

# The keys of what differs from span to span, written once.
PREDICTION_ID: Final = key(names.PREDICTION_ID)
ROWS: Final = key(names.ROWS)
WEIGHT: Final = key(names.WEIGHT)
LABELS: Final = key(names.OUTPUT_LABELS)
PROBABILITIES: Final = key(names.OUTPUT_PROBABILITIES)
VALUES: Final = key(names.OUTPUT_VALUES)
OUTPUT_ROWS: Final = key(names.OUTPUT_ROWS)
_BATCH_ID: Final = key(names.BATCH_ID)
_BATCH_ROWS: Final = key(names.BATCH_ROWS)
_BATCH_REQUESTS: Final = key(names.BATCH_REQUESTS)
_BATCH_PREDICTION_IDS: Final = key(names.BATCH_PREDICTION_IDS)

#: Shared runs that are remembered: their requests end close together.
_RUNS_MAX: Final = 256


class Source(NamedTuple):
    """What answers, and how it was reached.

    Attributes:
        model, version, major: the version.
        route: why that version.
    """

    model: str
    version: int
    major: int
    route: str


def head() -> Form:
    """A span's beginning: what has one length in all spans."""
    form = Form()
    form.place("trace_id", "V16", b"\x0a\x10")
    form.place("span_id", "V8", b"\x12\x08")
    form.place("start", "<u8", b"\x39")
    form.place("end", "<u8", b"\x41")
    form.place("flags", "<u4", b"\x85\x01")
    for name in names.STAGES:
        # The value is AnyValue.int_value, as a varint of eight bytes.
        form.place(name, "<u8", keyed(key(name), b"\x18" + bytes(8))[:-8])
    return form


def fill_times(heads: Array, start_ns: Array, duration_ns: Array, stages_ns: Array) -> None:
    """Fill times and stages into the heads of spans, shape [spans]; stages have shape [spans, 4]."""
    heads["start"] = start_ns
    heads["end"] = start_ns + duration_ns
    stages = padded_varints(stages_ns)
    for column, name in enumerate(names.STAGES):
        heads[name] = stages[:, column]


class Constants:
    """What is equal for all spans of one method, code, version and route, written once for each.

    Args:
        address: where the server listens.
    """

    def __init__(self, address: Address) -> None:
        self._common = b"".join(
            (
                b"\x30\x02",  # Span.kind = 6: SPAN_KIND_SERVER
                attribute(names.RPC_SYSTEM, text_value("grpc")),
                attribute(names.SERVER_ADDRESS, text_value(address.host)),
                attribute(names.SERVER_PORT, int_value(address.port)),
            )
        )
        self._written: dict[tuple[str, str, Source | None], bytes] = {}

    def of(self, method: str, code: str, source: Source | None) -> bytes:
        """The part of a span; without the model where nothing answered."""
        about = (method, code, source)
        written = self._written.get(about)
        if written is None:
            written = self._written[about] = self._common + _constant(method, code, source)
        return written


def _constant(method: str, code: str, source: Source | None) -> bytes:
    written = [
        delimited(b"\x2a", method.encode()),  # Span.name = 5
        attribute(names.RPC_METHOD, text_value(method)),
        attribute(names.RPC_STATUS, text_value(code)),
    ]
    if code != "OK":
        written.append(attribute(names.ERROR_TYPE, text_value(code)))
    if code in SERVER_ERRORS:
        written.append(_STATUS_ERROR)
    if source is not None:
        written.append(attribute(names.MODEL_NAME, text_value(source.model)))
        written.append(attribute(names.MODEL_VERSION, int_value(source.version)))
        written.append(attribute(names.INTERFACE_MAJOR, int_value(source.major)))
        written.append(attribute(names.ROUTE, text_value(source.route)))
    return b"".join(written)


class SharedRuns:
    """What spans say of the run that several requests shared: written once, for all of them."""

    def __init__(self) -> None:
        self._written: dict[str, bytes] = {}

    def of(self, batch: Batch) -> bytes:
        """The part of a span."""
        written = self._written.get(batch.id)
        if written is None:
            if len(self._written) >= _RUNS_MAX:
                self._written.clear()
            written = self._written[batch.id] = _shared_run(batch)
        return written


def _shared_run(batch: Batch) -> bytes:
    texts = [each.encode() for each in (batch.id, *batch.prediction_ids[: names.BATCH_IDS_MAX])]
    return _run_form(batch.rows, len(batch.prediction_ids), *map(len, texts)) % tuple(texts)


@lru_cache(maxsize=1024)
def _run_form(rows: int, requests: int, id_bytes: int, *prediction_id_bytes: int) -> bytes:
    """What runs have in common whose counts are equal, and the lengths of whose ids are: bytes to be formatted."""
    before_ids = list(map(before_text, prediction_id_bytes))
    content = bytes(sum(map(len, before_ids)) + sum(prediction_id_bytes))
    ids = keyed(_BATCH_PREDICTION_IDS, delimited(b"\x2a", content))
    counts = count_of(_BATCH_ROWS, rows) + count_of(_BATCH_REQUESTS, requests)
    constant = (before_id(id_bytes, _BATCH_ID), counts + ids[: -len(content) or None], *before_ids)
    first, second, *others = (part.replace(b"%", b"%%") for part in constant)
    return first + b"%b" + second + b"".join(other + b"%b" for other in others)


@lru_cache(maxsize=1024)
def caller(name: str) -> bytes:
    """Who called."""
    return attribute(names.CALLER, text_value(name))


@lru_cache(maxsize=1024)
def before_id(length: int, written_key: bytes = PREDICTION_ID) -> bytes:
    """The attribute of an id of so many bytes, without the id."""
    return keyed(written_key, delimited(b"\x0a", bytes(length)))[: -length or None]


@lru_cache(maxsize=4096)
def count_of(written_key: bytes, count: int) -> bytes:
    """An attribute that holds a number of rows, or of requests."""
    return keyed(written_key, int_value(count))


def state_of(state: str) -> bytes:
    """Span.trace_state = 3."""
    return delimited(b"\x1a", state.encode())
