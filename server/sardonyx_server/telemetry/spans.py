"""Spans of records as OTLP bytes; usual predictions have a shorter way, ``usual_spans``.

A prediction's span has a fixed form, so most of it is written once, or for many spans at a time.

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
from sardonyx.protobuf import delimited
from sardonyx_server.telemetry import span_parts as parts
from sardonyx_server.telemetry.otlp import (
    array_value,
    attribute,
    double_value,
    int_value,
    key,
    keyed,
    text_value,
    texts_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sardonyx.address import Address
    from sardonyx.oip.coalesced import Coalesced
    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.record import Captured, Outputs, Record, Shadowed, TraceParent
    from sardonyx_server.telemetry.sampling import Kept

Array = npt.NDArray[Any]

#: Beside W3C's trace flags: it is known whether the parent is remote (bit 8), and it is (bit 9).
_REMOTE: Final = 0x300
_FIXED32: Final = struct.Struct("<I")

# The keys of what differs from span to span, written once.
_INPUT_ROWS: Final = key(names.INPUT_ROWS)
_INPUT_PROBABILITY: Final = key(names.INPUT_PROBABILITY)
_SHADOW_LIVE_VERSION: Final = key(names.SHADOW_LIVE_VERSION)
_SHADOW_AGREEMENT: Final = key(names.SHADOW_AGREEMENT)

_HEAD: Final = parts.head()


class SpanWriter:
    """Writes the spans of one server.

    Measured on two shared cores, in slices of 32: 4 µs for one row with two probabilities, 40 µs for 1,000 rows.

    Args:
        address: where the server listens.
    """

    def __init__(self, address: Address) -> None:
        self._constants = parts.Constants(address)
        self._inputs: dict[tuple[str, int], Sequence[_Input]] = {}
        self._runs = parts.SharedRuns()

    def write(self, many: Sequence[Kept]) -> list[bytes]:
        """Spans, serialised."""
        heads, size = _heads(many), len(_HEAD.written)
        return [
            b"".join([self._constant(kept.record), heads[index * size : (index + 1) * size], *self._rest(kept)])
            for index, kept in enumerate(many)
        ]

    def _constant(self, record: Record) -> bytes:
        """What is equal for all spans of one version, route and code, written once for each; and who called."""
        served = record.served
        source = parts.Source(served.model, served.version, served.major, record.route) if served else None
        written = self._constants.of(record.method, record.code, source)
        if source is None:
            # The name of a model that does not exist is a caller's text: it must not be kept.
            written += attribute(names.MODEL_NAME, text_value(record.model))
        return written + parts.caller(record.caller) if record.caller else written

    def _rest(self, kept: Kept) -> list[bytes]:
        """What differs in length from span to span."""
        record = kept.record
        written_id = record.prediction_id.encode()
        written = [parts.before_id(len(written_id)), written_id]
        if record.rows:
            written.append(parts.count_of(parts.ROWS, record.rows))
        if record.outputs is not None:
            _add_outputs(written, record.outputs)
        if kept.state:
            written.append(parts.state_of(kept.state))
        if kept.parent is not None:
            written.append(b"\x22\x08" + kept.parent.span_id)  # Span.parent_span_id = 4
        written.extend(map(_link, kept.links))
        if kept.weight != 1:
            written.append(keyed(parts.WEIGHT, double_value(kept.weight)))
        if record.members is not None:
            written.append(_members(record.members))
        if record.batch is not None:
            written.append(self._runs.of(record.batch))
        if record.shadowed is not None:
            written.append(_shadowed(record.shadowed))
        if record.captured is not None and record.served is not None:
            written.extend(self._captured(record.captured, record.served))
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
    heads = _HEAD.copies(count)
    heads["trace_id"] = np.frombuffer(b"".join([kept.trace_id for kept in many]), dtype="V16")
    heads["span_id"] = np.frombuffer(os.urandom(8 * count), dtype="V8")
    heads["flags"] = [_flags(kept) for kept in many]
    parts.fill_times(
        heads,
        np.array([kept.record.start_ns for kept in many], dtype=np.uint64),
        np.array([kept.record.duration_ns for kept in many], dtype=np.uint64),
        np.array([kept.record.stages_ns for kept in many], dtype=np.uint64),
    )
    return heads.tobytes()


def _flags(kept: Kept) -> int:
    """Span.flags = 16: the trace flags, of the caller's trace or of ours."""
    return parts.OWN_ROOT if kept.parent is None else kept.parent.flags | _REMOTE


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


@lru_cache(maxsize=1024, typed=True)
def _one_label(label: object) -> bytes:
    return keyed(parts.LABELS, array_value(np.array([label], dtype=object)))


def _add_outputs(written: list[bytes], outputs: Outputs) -> None:
    written.append(parts.count_of(parts.OUTPUT_ROWS, outputs.rows))
    labels = outputs.labels
    if labels is not None:
        written.append(_one_label(labels.item()) if labels.size == 1 else keyed(parts.LABELS, array_value(labels)))
    if outputs.probabilities is not None:
        written.append(keyed(parts.PROBABILITIES, array_value(outputs.probabilities)))
    if outputs.values is not None:
        written.append(keyed(parts.VALUES, array_value(outputs.values)))


def _shadowed(shadowed: Shadowed) -> bytes:
    version = keyed(_SHADOW_LIVE_VERSION, int_value(shadowed.live_version))
    return version + keyed(_SHADOW_AGREEMENT, double_value(shadowed.agreement))
