"""Spans as OTLP bytes: a prediction's span has a fixed form, so most of it is written once or for many spans at a time.

A generic span through the SDK costs about 20 µs to make and 35 µs to encode, under the interpreter's lock that
requests need too. Here what is equal for all predictions of a version, route and code is written once; ids, times and
stages have fixed places and are filled in for many spans at once; the rest is appended: in protobuf, bytes put together
are messages merged. What comes out is held to the official classes by a property test.

Field numbers: opentelemetry/proto/trace/v1/trace.proto.
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from sardonyx import telemetry as names
from sardonyx.interface import dtype_of
from sardonyx_server.telemetry.otlp import (
    array_value,
    attribute,
    delimited,
    double_value,
    int_value,
    key,
    keyed,
    padded_varints,
    text_value,
    texts_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sardonyx.address import Address
    from sardonyx.oip.coalesced import Coalesced
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.record import Batch, Captured, Outputs, Record, Shadowed, TraceParent
    from sardonyx_server.telemetry.sampling import Kept

Array = npt.NDArray[Any]

#: The codes that make a server's span an error: the others are the caller's doing (OpenTelemetry, RPC conventions).
SERVER_ERRORS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_STATUS_ERROR: Final = b"\x7a\x02\x18\x02"  # Span.status = 15 {code = 3: STATUS_CODE_ERROR}

#: Beside W3C's trace flags: it is known whether the parent is remote (bit 8), and it is (bit 9).
_REMOTE: Final = 0x300
#: The flags of a root of ours: sampled, with a random trace id.
_OWN_ROOT: Final = 0x3
_FIXED32: Final = struct.Struct("<I")

#: Runs whose ids are remembered as written: those that requests of one slice can belong to.
_BATCHES_MAX: Final = 64

# The keys of what differs from span to span, written once.
_PREDICTION_ID: Final = key(names.PREDICTION_ID)
_ROWS: Final = key(names.ROWS)
_WEIGHT: Final = key(names.WEIGHT)
_LABELS: Final = key(names.OUTPUT_LABELS)
_PROBABILITIES: Final = key(names.OUTPUT_PROBABILITIES)
_VALUES: Final = key(names.OUTPUT_VALUES)
_OUTPUT_ROWS: Final = key(names.OUTPUT_ROWS)
_INPUT_ROWS: Final = key(names.INPUT_ROWS)
_INPUT_PROBABILITY: Final = key(names.INPUT_PROBABILITY)
_SHADOW_LIVE_VERSION: Final = key(names.SHADOW_LIVE_VERSION)
_SHADOW_AGREEMENT: Final = key(names.SHADOW_AGREEMENT)


def _head_layout() -> tuple[np.dtype[Any], bytes]:
    """The part of a span that has one length: its fields by their places, and its bytes with the fields empty."""
    fields: dict[str, tuple[str, int]] = {}
    written = b""

    def place(name: str, kind: str, before: bytes) -> None:
        nonlocal written
        fields[name] = (kind, len(written) + len(before))
        written += before + bytes(np.dtype(kind).itemsize)

    place("trace_id", "V16", b"\x0a\x10")
    place("span_id", "V8", b"\x12\x08")
    place("start", "<u8", b"\x39")
    place("end", "<u8", b"\x41")
    place("flags", "<u4", b"\x85\x01")
    for name in names.STAGES:
        # The value is AnyValue.int_value, as a varint of eight bytes.
        value = keyed(key(name), b"\x18" + bytes(8))
        place(name, "<u8", value[:-8])
    dtype = np.dtype(
        {
            "names": list(fields),
            "formats": [kind for kind, _ in fields.values()],
            "offsets": [offset for _, offset in fields.values()],
            "itemsize": len(written),
        }
    )
    return dtype, written


_HEAD, _HEAD_BYTES = _head_layout()


class SpanWriter:
    """Writes the spans of one server.

    Measured on two shared cores, in slices of 32: 4 µs for one row with two probabilities, 40 µs for 1,000 rows.

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
        self._constants: dict[tuple[str, str, int, int, str, str], bytes] = {}
        self._inputs: dict[tuple[str, int], Sequence[_Input]] = {}
        self._batches: dict[str, bytes] = {}

    def write(self, many: Sequence[Kept]) -> list[bytes]:
        """Spans, serialised."""
        heads, size = _heads(many), _HEAD.itemsize
        return [
            b"".join([self._constant(kept.record), heads[index * size : (index + 1) * size], *self._rest(kept)])
            for index, kept in enumerate(many)
        ]

    def _constant(self, record: Record) -> bytes:
        """What is equal for all spans of one version, route and code, written once for each; and who called."""
        served = record.served
        version, major = (served.version, served.major) if served else (0, 0)
        # The name of a model that does not exist is a caller's text, as its own is: they must not fill the cache.
        model = served.model if served else ""
        about = (record.method, model, version, major, record.route, record.code)
        constant = self._constants.get(about)
        if constant is None:
            constant = self._constants[about] = self._common + _constant(record)
        written = constant if served else constant + attribute(names.MODEL_NAME, text_value(record.model))
        return written + _caller(record.caller) if record.caller else written

    def _rest(self, kept: Kept) -> list[bytes]:
        """What differs in length from span to span."""
        record = kept.record
        written_id = record.prediction_id.encode()
        parts = [_before_id(len(written_id)), written_id]
        if record.rows:
            parts.append(_count(_ROWS, record.rows))
        if record.outputs is not None:
            _add_outputs(parts, record.outputs)
        if kept.state:
            parts.append(delimited(b"\x1a", kept.state.encode()))  # Span.trace_state = 3
        if kept.parent is not None:
            parts.append(b"\x22\x08" + kept.parent.span_id)  # Span.parent_span_id = 4
        parts.extend(map(_link, kept.links))
        if kept.weight != 1:
            parts.append(keyed(_WEIGHT, double_value(kept.weight)))
        if record.members is not None:
            parts.append(_members(record.members))
        if record.batch is not None:
            parts.append(self._batch(record.batch))
        if record.shadowed is not None:
            parts.append(_shadowed(record.shadowed))
        if record.captured is not None and record.served is not None:
            parts.extend(self._captured(record.captured, record.served))
        return parts

    def _batch(self, batch: Batch) -> bytes:
        """A shared run: written once, for all of its requests."""
        written = self._batches.get(batch.id)
        if written is None:
            if len(self._batches) >= _BATCHES_MAX:
                self._batches.clear()
            written = self._batches[batch.id] = _batch(batch)
        return written

    def _captured(self, captured: Captured, served: Served) -> Iterator[bytes]:
        """Captured rows, under the names and in the types of the interface."""
        yield keyed(_INPUT_ROWS, array_value(np.array(captured.rows)))
        yield keyed(_INPUT_PROBABILITY, double_value(captured.probability))
        about = (served.model, served.version)
        inputs = self._inputs.get(about)
        if inputs is None:
            inputs = self._inputs[about] = _inputs_of(served)
        for written_key, tensor, dtype in inputs:
            yield keyed(written_key, array_value(captured.values[tensor].astype(dtype, copy=False)))


#: An input's key as it is written, its tensor in the graph, and its type in the interface.
_Input = tuple[bytes, str, np.dtype[Any]]


def _inputs_of(served: Served) -> Sequence[_Input]:
    pairs = zip(served.manifest.interface.inputs, served.manifest.graph.inputs, strict=True)
    return [
        (key(names.INPUT_VALUE_PREFIX + tensor.name), binding.tensor, dtype_of(tensor.datatype))
        for tensor, binding in pairs
    ]


def _heads(many: Sequence[Kept]) -> bytes:
    """Ids, times and stages, one span after the other."""
    count = len(many)
    heads = np.frombuffer(bytearray(_HEAD_BYTES * count), dtype=_HEAD)
    heads["trace_id"] = np.frombuffer(b"".join([kept.trace_id for kept in many]), dtype="V16")
    heads["span_id"] = np.frombuffer(os.urandom(8 * count), dtype="V8")
    start = np.array([kept.record.start_ns for kept in many], dtype=np.uint64)
    heads["start"] = start
    heads["end"] = start + np.array([kept.record.duration_ns for kept in many], dtype=np.uint64)
    heads["flags"] = [_flags(kept) for kept in many]
    stages = padded_varints(np.array([kept.record.stages_ns for kept in many], dtype=np.uint64))
    for column, name in enumerate(names.STAGES):
        heads[name] = stages[:, column]
    return heads.tobytes()


def _flags(kept: Kept) -> int:
    """Span.flags = 16: the trace flags, of the caller's trace or of ours."""
    return _OWN_ROOT if kept.parent is None else kept.parent.flags | _REMOTE


def _constant(record: Record) -> bytes:
    written = [
        delimited(b"\x2a", record.method.encode()),  # Span.name = 5
        attribute(names.RPC_METHOD, text_value(record.method)),
        attribute(names.RPC_STATUS, text_value(record.code)),
    ]
    if record.code != "OK":
        written.append(attribute(names.ERROR_TYPE, text_value(record.code)))
    if record.code in SERVER_ERRORS:
        written.append(_STATUS_ERROR)
    if record.served is not None:
        written.append(attribute(names.MODEL_NAME, text_value(record.served.model)))
        written.append(attribute(names.MODEL_VERSION, int_value(record.served.version)))
        written.append(attribute(names.INTERFACE_MAJOR, int_value(record.served.major)))
        written.append(attribute(names.ROUTE, text_value(record.route)))
    return b"".join(written)


def _link(caller: TraceParent) -> bytes:
    """Span.links = 13: trace_id = 1, span_id = 2, trace_state = 3, flags = 6."""
    state = delimited(b"\x1a", caller.state.encode()) if caller.state else b""
    flags = b"\x35" + _FIXED32.pack(caller.flags | _REMOTE)
    return delimited(b"\x6a", b"\x0a\x10" + caller.trace_id + b"\x12\x08" + caller.span_id + state + flags)


def _members(members: Coalesced) -> bytes:
    ids = attribute(names.PREDICTION_IDS, texts_value(members.ids))
    rows = members.rows
    return ids if rows is None else ids + attribute(names.PREDICTION_ROWS, array_value(np.array(rows)))


# Most predictions are of few rows: what is written of these repeats.


@lru_cache(maxsize=1024)
def _caller(name: str) -> bytes:
    return attribute(names.CALLER, text_value(name))


@lru_cache(maxsize=1024)
def _before_id(length: int) -> bytes:
    """The attribute of a prediction id of so many bytes, without the id."""
    return keyed(_PREDICTION_ID, delimited(b"\x0a", bytes(length)))[: -length or None]


@lru_cache(maxsize=4096)
def _count(written_key: bytes, count: int) -> bytes:
    return keyed(written_key, int_value(count))


@lru_cache(maxsize=1024, typed=True)
def _one_label(label: object) -> bytes:
    return keyed(_LABELS, array_value(np.array([label], dtype=object)))


def _add_outputs(parts: list[bytes], outputs: Outputs) -> None:
    parts.append(_count(_OUTPUT_ROWS, outputs.rows))
    labels = outputs.labels
    if labels is not None:
        parts.append(_one_label(labels.item()) if labels.size == 1 else keyed(_LABELS, array_value(labels)))
    if outputs.probabilities is not None:
        parts.append(keyed(_PROBABILITIES, array_value(outputs.probabilities)))
    if outputs.values is not None:
        parts.append(keyed(_VALUES, array_value(outputs.values)))


def _batch(batch: Batch) -> bytes:
    ids = texts_value(batch.prediction_ids[: names.BATCH_IDS_MAX])
    return b"".join(
        (
            attribute(names.BATCH_ID, text_value(batch.id)),
            attribute(names.BATCH_ROWS, int_value(batch.rows)),
            attribute(names.BATCH_REQUESTS, int_value(len(batch.prediction_ids))),
            attribute(names.BATCH_PREDICTION_IDS, ids),
        )
    )


def _shadowed(shadowed: Shadowed) -> bytes:
    version = keyed(_SHADOW_LIVE_VERSION, int_value(shadowed.live_version))
    return version + keyed(_SHADOW_AGREEMENT, double_value(shadowed.agreement))
