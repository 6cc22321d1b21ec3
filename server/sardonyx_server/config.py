"""What the server is told, checked before anything starts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from sardonyx.address import Address


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a worker needs to know.

    Attributes:
        registry: a directory or a URL.
        host, port: where to listen.
        workers: how many processes share the port.
        otlp_endpoint: ``host:port`` of an OTLP/gRPC collector; empty: no telemetry.
        poll_interval_s: how often the registry is read.
        drain_timeout_s: how long a shutdown may take.
        drain_grace_s: how long health says NOT_SERVING before calls are refused.
        queue_rows_max: rows that may wait for models in one worker.
        message_bytes_max: the largest request.
        onnx_threads: intra-op threads of each session. Workers are the parallelism: 1 unless told otherwise.
        json_logs: one JSON object a line instead of text.
    """

    registry: str
    host: str
    port: int
    workers: int
    otlp_endpoint: str
    poll_interval_s: float
    drain_timeout_s: float
    drain_grace_s: float
    queue_rows_max: int
    message_bytes_max: int
    onnx_threads: int
    json_logs: bool

    @property
    def address(self) -> Address:
        """Where to listen."""
        return Address(self.host, self.port)

    def to_json(self) -> str:
        """For the command line of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Config:
        """What the supervisor wrote."""
        return cls(**json.loads(text))


def parse_endpoint(text: str) -> str:
    """Read a collector's address: ``http://host:port`` or ``host:port``; empty turns telemetry off.

    Raises:
        ValueError: it is neither, or asks for TLS, which is not built yet.
    """
    if not text:
        return ""
    scheme, separator, rest = text.partition("://")
    if separator and scheme != "http":
        raise ValueError(f"{text!r}: only plain gRPC is spoken to a collector yet. Write http://host:port.")
    return str(Address.parse((rest if separator else text).rstrip("/")))


def default_workers() -> int:
    """One worker for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
