"""Every metric, once: its name, its labels, and what it means.

Names follow Prometheus's conventions (https://prometheus.io/docs/practices/naming/): base units, and ``_total`` behind
what only grows. No label holds what a caller wrote: a model that does not exist, for one, is the model of no name.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

_WORKER: Final = "worker"
_VERSION: Final = ("model", "version")


class Kind(enum.StrEnum):
    """How values of several workers make one: the first and last add up, of a gauge each worker has its own."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: without the endings that Prometheus adds by kind.
        kind: how it is read.
        labels: in the order in which values are kept.
        meaning: for ``# HELP`` and the documentation.
        bounds: of a histogram: the upper bounds of its buckets, inclusive.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()

    @property
    def exposed(self) -> str:
        """The name by which Prometheus knows it."""
        return f"{self.name}_total" if self.kind is Kind.COUNTER else self.name

    @property
    def told(self) -> tuple[str, ...]:
        """The labels that a worker gives: its own number is the supervisor's to know."""
        return self.labels[1:] if self.labels[:1] == (_WORKER,) else self.labels

    @property
    def of_version(self) -> bool:
        """Whether a worker tells it of each version."""
        return self.told[: len(_VERSION)] == _VERSION


#: 1, 2, 5, 10, …: from a small model's stage, 10 µs, to what few callers wait for, 50 s.
SECONDS: Final = tuple(digit * 10.0**power for power in range(-5, 2) for digit in (1, 2, 5))
#: Doubling, up to what the queue of a worker holds by default.
ROWS_OF_RUN: Final = tuple(float(2**power) for power in range(17))

_ROUTE: Final = (*_VERSION, "route")

REQUESTS: Final = Metric(
    "sardonyx_requests",
    Kind.COUNTER,
    (*_ROUTE, "code"),
    "prediction requests that ended, by the version that answered, why it did, and the gRPC status code",
)
ROWS: Final = Metric("sardonyx_rows", Kind.COUNTER, _ROUTE, "rows that were answered")
DURATION: Final = Metric(
    "sardonyx_request_duration_seconds",
    Kind.HISTOGRAM,
    _ROUTE,
    "from a request's arrival until its answer was written, failures too",
    SECONDS,
)
STAGE_DURATION: Final = Metric(
    "sardonyx_stage_duration_seconds",
    Kind.HISTOGRAM,
    (*_ROUTE, "stage"),
    "of that, each stage of answered requests: `decode`, `queue`, `run`, `encode`",
    SECONDS,
)
RUN_ROWS: Final = Metric(
    "sardonyx_run_rows", Kind.HISTOGRAM, _VERSION, "rows of each run of a model: its batch size", ROWS_OF_RUN
)
SHADOW_OFFERED: Final = Metric(
    "sardonyx_shadow_offered", Kind.COUNTER, _VERSION, "calls of the live version that fell into a shadow's share"
)
SHADOW_CALLS: Final = Metric(
    "sardonyx_shadow_calls",
    Kind.COUNTER,
    (*_VERSION, "result"),
    "what became of them: `ran`, `failed`, or `dropped` for want of room or time",
)
SHADOW_ROWS: Final = Metric("sardonyx_shadow_rows", Kind.COUNTER, _VERSION, "rows that a shadow has answered")
SHADOW_ROWS_ALIKE: Final = Metric(
    "sardonyx_shadow_rows_alike", Kind.COUNTER, _VERSION, "of these, rows that it has answered as the live version did"
)
RECORDS_DROPPED: Final = Metric(
    "sardonyx_records_dropped", Kind.COUNTER, (), "requests that no other metric and no span knows: no room was left"
)
SPANS_SENT: Final = Metric("sardonyx_spans_sent", Kind.COUNTER, (), "spans that the collector took")
SPANS_DROPPED: Final = Metric(
    "sardonyx_spans_dropped", Kind.COUNTER, (), "spans lost: no room was left, or the collector refused them"
)
SPANS_BUFFERED: Final = Metric("sardonyx_spans_buffered", Kind.GAUGE, (_WORKER,), "spans that wait to be sent")
QUEUE_ROWS: Final = Metric(
    "sardonyx_queue_rows", Kind.GAUGE, (_WORKER,), "rows that wait for a model or are in a run of it"
)
VERSION_STATE: Final = Metric(
    "sardonyx_version_state",
    Kind.GAUGE,
    (_WORKER, *_VERSION, "state"),
    "1 for the state that a version is in: `ready`, `loading`, `failed`, … as ModelService names them",
)
LOADS: Final = Metric(
    "sardonyx_version_loads",
    Kind.COUNTER,
    ("model", "result"),
    "versions loaded, and whether they were `ready` or `failed`",
)
REGISTRY_READ: Final = Metric(
    "sardonyx_registry_last_read_timestamp_seconds",
    Kind.GAUGE,
    (_WORKER,),
    "when the registry was read last, Unix time",
)
REGISTRY_UNREADABLE: Final = Metric(
    "sardonyx_registry_unreadable",
    Kind.GAUGE,
    (_WORKER,),
    "1 while the registry cannot be read, or is not followed since it is another one than was read, else 0",
)
MEMORY: Final = Metric(
    "sardonyx_worker_resident_memory_bytes", Kind.GAUGE, (_WORKER,), "memory that the process of a worker holds"
)
WORKERS: Final = Metric("sardonyx_workers", Kind.GAUGE, (), "worker processes that accept connections")
RESTARTS: Final = Metric(
    "sardonyx_worker_restarts", Kind.COUNTER, (), "workers that ended by themselves, and began anew"
)
SERVER: Final = Metric("sardonyx_server_info", Kind.GAUGE, ("release",), "1, with the release of sardonyx")

METRICS: Final[dict[str, Metric]] = {value.name: value for value in list(vars().values()) if isinstance(value, Metric)}
