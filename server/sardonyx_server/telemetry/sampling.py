"""Which predictions get a span, and how many each span then stands for.

Every prediction gets one by default: accuracy from a part of them is biased by whoever chose the part. Where an
operator asks for fewer (``--trace-ratio``), each span says how many predictions it stands for, 1 / the probability with
which it was kept, so that sums over spans by that weight are right on average (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from sardonyx_server.telemetry.record import read_parent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sardonyx_server.telemetry.record import Record, TraceParent

Array = npt.NDArray[Any]

#: OpenTelemetry's own limit of the links of a span.
LINKS_MAX: Final = 128
#: W3C Trace Context: bit 0 of the trace flags.
SAMPLED: Final = 0x1

#: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/: the randomness of a trace id is its
#: last 56 bits, and what reaches the threshold is kept.
_RANDOM_BITS: Final = 56
_TRACE_ID_BYTES: Final = 16
_RANDOM_FROM: Final = _TRACE_ID_BYTES - _RANDOM_BITS // 8


class Kept(NamedTuple):
    """A prediction that gets a span.

    Attributes:
        record: the prediction.
        trace_id: the caller's trace, or one of its own; 16 bytes.
        parent: the caller's span; None: this one is a root.
        links: spans of callers that this one is no child of.
        state: the tracestate.
        weight: how many predictions the span stands for.
    """

    record: Record
    trace_id: bytes
    parent: TraceParent | None
    links: Sequence[TraceParent]
    state: str
    weight: float


class KeptRows(NamedTuple):
    """Usual predictions that get a span, all of one weight.

    Attributes:
        places: of their rows in ``Usual``.
        trace_ids: a trace of its own for each, 16 bytes, in the same order.
        state, weight: as in ``Kept``.
    """

    places: Array
    trace_ids: Array
    state: str
    weight: float


class Sampler:
    """Decides by what is known of a prediction, so that the probability of each decision is known too.

    In this order:

    - The caller's trace is sampled: kept with probability 1, as a child. Where several callers share a request, one
      sampled trace among theirs is enough.
    - It failed, or it was slow: kept with probability 1.
    - Otherwise: kept with the probability asked for.

    What is no child is the root of a trace of its own, whose random id is the coin. The caller's id would be no fair
    one: where a caller did not sample, it may have been for that very id. Such a root links to its callers' spans: a
    child of a span that nobody kept would be an orphan in every tool, and a shared request cannot have many parents.

    Args:
        ratio: the probability, above 0 and at most 1.
        slow_s: what takes so long is always kept.
    """

    def __init__(self, ratio: float, slow_s: float) -> None:
        scale = 1 << _RANDOM_BITS
        # At least one value of the randomness is kept, however small the ratio.
        self._threshold = min(round((1 - ratio) * scale), scale - 1)
        self._slow_ns = int(slow_s * 1e9)
        self._weight = scale / (scale - self._threshold)
        # Tools that know OpenTelemetry's thresholds weigh the spans by them. Where all are kept nothing needs saying.
        self._state = f"ot=th:{_hex(self._threshold)}" if self._threshold else ""
        self._state_certain = "ot=th:0" if self._threshold else ""

    def keep(self, records: Sequence[Record]) -> list[Kept]:
        """Those of the records that get a span, in their order."""
        ids = os.urandom(_TRACE_ID_BYTES * len(records))
        own = (ids[start : start + _TRACE_ID_BYTES] for start in range(0, len(ids), _TRACE_ID_BYTES))
        return list(self._keep(zip(records, own, strict=True)))

    def keep_rows(self, duration_ns: Array) -> list[KeptRows]:
        """Those of some usual predictions that get a span, by the same rule; the certain ones first.

        Args:
            duration_ns: how long each of them took.
        """
        places = np.arange(len(duration_ns))
        ids = np.frombuffer(os.urandom(_TRACE_ID_BYTES * len(places)), f"V{_TRACE_ID_BYTES}")
        if not self._threshold:
            return [KeptRows(places, ids, self._state_certain, 1.0)]
        certain = duration_ns >= self._slow_ns
        randomness = ids.view(">u8")[1::2] & ((1 << _RANDOM_BITS) - 1)
        drawn = ~certain & (randomness >= self._threshold)
        kept = (
            KeptRows(places[certain], ids[certain], self._state_certain, 1.0),
            KeptRows(places[drawn], ids[drawn], self._state, self._weight),
        )
        return [each for each in kept if len(each.places)]

    def _keep(self, pairs: Iterable[tuple[Record, bytes]]) -> Iterator[Kept]:
        for record, own in pairs:
            parent = record.parent
            if parent is not None and parent.flags & SAMPLED:
                yield Kept(record, parent.trace_id, parent, (), parent.state, 1.0)
                continue
            links = _links(record)
            if self._is_certain(record, links):
                yield Kept(record, own, None, links, self._state_certain, 1.0)
            elif int.from_bytes(own[_RANDOM_FROM:], "big") >= self._threshold:
                yield Kept(record, own, None, links, self._state, self._weight)

    def _is_certain(self, record: Record, links: Sequence[TraceParent]) -> bool:
        """Whether it is kept with probability 1."""
        if not self._threshold or record.code != "OK" or record.duration_ns >= self._slow_ns:
            return True
        return any(link.flags & SAMPLED for link in links)


def _links(record: Record) -> Sequence[TraceParent]:
    """The callers' spans that a prediction's span is no child of; of too many, the sampled ones first."""
    own = () if record.parent is None else (record.parent,)
    if record.members is None or record.members.traceparents is None:
        return own
    read = (read_parent([("traceparent", text)]) for text in record.members.traceparents if text)
    links = (*own, *filter(None, read))
    return links if len(links) <= LINKS_MAX else sorted(links, key=lambda link: not link.flags & SAMPLED)[:LINKS_MAX]


def _hex(threshold: int) -> str:
    """A threshold as tracestate writes it: 14 digits, without the zeros at the end."""
    return f"{threshold:014x}".rstrip("0") or "0"
