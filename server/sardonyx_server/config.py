"""What the server is told, checked before anything starts."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from sardonyx.address import Address
from sardonyx.errors import InvalidInput
from sardonyx.names import check_model_name
from sardonyx_server.telemetry.collector import COMPRESSIONS, Collector

if TYPE_CHECKING:
    from collections.abc import Sequence

#: A request whose rows are all captured may take 1 MB of its span, where its rows are as wide as they may be.
CAPTURE_ROWS_PER_S_MAX: Final = 100.0
#: The largest forests that are exported take seconds, and a bucket far away as long again. A graph that never ends is
#: not to hold back for longer what says that a server is ready.
LOAD_TIMEOUT_S: Final = 120.0
#: The execution provider that every build of ONNX Runtime has.
CPU: Final = "CPUExecutionProvider"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that a worker needs to know.

    Attributes:
        registry: a directory or a URL.
        models: the only models to serve; none: all of the registry's.
        host, port: where to listen.
        workers: how many processes share the port.
        otlp_endpoint: ``http://host:port`` or ``https://host:port`` of an OTLP/gRPC collector; empty: no spans.
        poll_interval_s: how often the registry is read.
        load_timeout_s: how long a version may take to be read, built and proven.
        drain_timeout_s: how long a shutdown may take.
        drain_grace_s: how long health says NOT_SERVING before calls are refused.
        queue_rows_max: rows that may wait for models in one worker.
        batch_rows_max: rows that one run takes together from several requests.
        batch_delay_ms: how long a request waits for others to share its run.
        message_bytes_max: the largest request.
        text_bytes_max: the longest text in a request.
        onnx_threads: intra-op threads of each session. Workers are the parallelism: 1 unless told otherwise.
        providers: ONNX Runtime's execution providers, the preferred one first.
        json_logs: one JSON object a line instead of text.
        tls_cert, tls_key, tls_client_ca: PEM files; empty: plain text, and callers need no certificate.
        token_file: who may call, and what; empty: everyone.
        reflection: whether server reflection answers.
        otlp_compression: of what is sent to the collector.
        trace_ratio: the share of predictions that get a span, above 0 and at most 1.
        slow_ms: a prediction that takes so long gets a span in any case.
        capture_rows_per_s: input rows that each worker adds to its spans; 0: none.
        metrics_port: where Prometheus finds the metrics of all workers; 0: nowhere.
        log_requests: a log line for each prediction.
        others_answer: whether other workers take the calls as long as this one does not; the supervisor knows.
    """

    registry: str
    models: Sequence[str]
    host: str
    port: int
    workers: int
    otlp_endpoint: str
    poll_interval_s: float
    load_timeout_s: float
    drain_timeout_s: float
    drain_grace_s: float
    queue_rows_max: int
    batch_rows_max: int
    batch_delay_ms: float
    message_bytes_max: int
    text_bytes_max: int
    onnx_threads: int
    providers: Sequence[str]
    json_logs: bool
    tls_cert: str
    tls_key: str
    tls_client_ca: str
    token_file: str
    reflection: bool
    otlp_compression: str
    trace_ratio: float
    slow_ms: float
    capture_rows_per_s: float
    metrics_port: int
    log_requests: bool
    others_answer: bool = False

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
    """Read a collector's address: ``http://host:port``, ``https://host:port`` or ``host:port``; empty: no spans.

    Raises:
        ValueError: it is none of these, or what the environment says of it makes no sense.
    """
    if not text:
        return ""
    scheme, separator, rest = text.partition("://")
    if separator and scheme not in ("http", "https"):
        raise ValueError(f"{text!r}: spans are sent over gRPC alone. Write http://host:port or https://host:port.")
    address = Address.parse((rest if separator else text).rstrip("/"))
    return Collector.of(f"{scheme if separator else 'http'}://{address}", COMPRESSIONS[0]).endpoint


def parse_models(text: str) -> Sequence[str]:
    """Read names of models, separated by commas; empty: all of the registry's.

    Raises:
        ValueError: one is no model's name, or none is named.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if text and not names:
        raise ValueError(f"{text!r} names no model. Name some, such as flight-delay,arrival, or leave it out for all.")
    try:
        return [check_model_name(name) for name in names]
    except InvalidInput as error:
        raise ValueError(error.message) from None


def parse_providers(text: str) -> Sequence[str]:
    """Read the names of ONNX Runtime's execution providers, separated by commas.

    Raises:
        ValueError: there is none, or one that the installed onnxruntime does not have.
    """
    names = [name for part in text.split(",") if (name := part.strip())]
    if names == [CPU]:
        return names
    # Only here: the import takes time that most starts need not spend.
    from sardonyx.onnx.runtime import ort

    available: list[str] = ort.get_available_providers()
    unknown = [name for name in names if name not in available]
    if unknown or not names:
        raise ValueError(f"{', '.join(unknown) or 'nothing'}: this onnxruntime has {', '.join(available)}.")
    return names


def default_workers() -> int:
    """One worker for each processor that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
