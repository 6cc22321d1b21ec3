"""What the monitor's tests share: spans by hand, both of its doors, and a monitor that can be killed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
import httpx
import numpy as np
from google.protobuf.json_format import MessageToJson, Parse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from sardonyx import Client, Outcomes, PredictionId, telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome, ReportOutcomesRequest, ReportOutcomesResponse
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter import export, promote
from server.scene import (
    CLASSIFIER,
    PATIENCE_S,
    REGRESSOR,
    array_of,
    export_regressor,
    failure_of,
    fit_classifier,
    frame_of,
    infer,
    regressor_request,
    truth_of,
    wait_until,
)
from support.programs import Program, running_monitor, running_server

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

Json = dict[str, Any]
Value = str | bool | int | float | bytes | list[Any]

EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
REPORT: Final = "/sardonyx.monitor.v1.OutcomeService/ReportOutcomes"
#: Requests of the stage that nothing answers.
REFUSED: Final = [(CLASSIFIER, "99"), ("nobody", ""), ("nobody", "3")]
_MS: Final = 10**6


@dataclass(frozen=True, slots=True)
class Watch:
    """A monitor's two doors.

    Attributes:
        otlp: the gRPC door's address.
        url: the page's address, without a slash at its end.
        channel: to the gRPC door.
        web: a client of the page.
    """

    otlp: str
    url: str
    channel: grpc.Channel
    web: httpx.Client

    def export(self, *spans: Span, **origin: Any) -> ExportTraceServiceResponse:
        """Send spans; see export_of."""
        return self.send(export_of(*spans, **origin))

    def send(
        self, request: ExportTraceServiceRequest, compression: grpc.Compression | None = None
    ) -> ExportTraceServiceResponse:
        """Send a request to the TraceService."""
        return ExportTraceServiceResponse.FromString(self.raw(EXPORT, request.SerializeToString(), compression))

    def report(self, *outcomes: Outcome) -> ReportOutcomesResponse:
        """Report outcomes."""
        request = ReportOutcomesRequest(outcomes=outcomes)
        return ReportOutcomesResponse.FromString(self.raw(REPORT, request.SerializeToString()))

    def raw(self, method: str, data: bytes, compression: grpc.Compression | None = None) -> bytes:
        """Call a method with any bytes; the answer's bytes."""
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(method)
        return call(data, timeout=PATIENCE_S, compression=compression)

    def api(self, path: str, **query: str) -> Json:
        """The JSON at an address below /api, which must be there."""
        answer = self.web.get(f"/api{path}", params=query)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def trace(self, trace_id: bytes) -> Json:
        """A trace as /api tells it."""
        return self.api(f"/traces/{trace_id.hex()}")

    def health(self) -> Json:
        """What the monitor says of itself."""
        return self.api("/health")


@contextlib.contextmanager
def connected(otlp: str, page: str) -> Iterator[Watch]:
    """Both doors of a running monitor."""
    url = page.rstrip("/")
    with (
        grpc.insecure_channel(otlp) as channel,
        httpx.Client(base_url=url, timeout=PATIENCE_S, trust_env=False) as web,
    ):
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        yield Watch(otlp, url, channel, web)


@contextlib.contextmanager
def watching(registry: Path, data: Path) -> Iterator[Watch]:
    """A monitor that must end well."""
    with running_monitor(registry, data) as (otlp, page), connected(otlp, page) as watch:
        yield watch


def start_monitor(registry: Path | str, data: Path, *arguments: str) -> Program:
    """Start a monitor that a test may end as it likes."""
    ports = ("--otlp", "127.0.0.1:0", "--web", "127.0.0.1:0")
    return Program.start("sardonyx_monitor", "--registry", str(registry), "--data", str(data), *ports, *arguments)


def doors_of(program: Program) -> tuple[str, str]:
    """The OTLP address and the page's address of a monitor, once it is up."""
    return program.wait_for(r"otlp on (\S+:\d+)")[1], program.wait_for(r"(http://\S+)")[1]


def kill(program: Program) -> None:
    """``kill -9``, and wait until it is gone."""
    program.process.kill()
    program.process.wait(timeout=PATIENCE_S)
    program.stop()


def any_value(value: Value) -> AnyValue:
    """A value as OTLP has it."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case str():
            return AnyValue(string_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[any_value(each) for each in value]))


def key_values(attributes: Mapping[str, Value]) -> list[KeyValue]:
    """Attributes as OTLP has them."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span_of(
    attributes: Mapping[str, Value] | None = None,
    *,
    trace_id: bytes = b"",
    parent: bytes = b"",
    name: str = "work",
    start_ns: int = 0,
    duration_ns: int = 5 * _MS,
) -> Span:
    """A span with ids of its own, which ended just now unless told otherwise."""
    start_ns = start_ns or time.time_ns() - duration_ns
    return Span(
        trace_id=trace_id or os.urandom(16),
        span_id=os.urandom(8),
        parent_span_id=parent,
        name=name,
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=start_ns,
        end_time_unix_nano=start_ns + duration_ns,
        attributes=key_values(attributes or {}),
    )


def prediction_of(
    prediction_id: str,
    labels: Sequence[str | bool | int] = (),
    *,
    values: Sequence[float] = (),
    probabilities: Sequence[float] = (),
    model: str = "by-hand",
    version: int = 1,
    code: str = "OK",
    more: Mapping[str, Value] | None = None,
    **times: Any,
) -> Span:
    """The span of a prediction, as a server writes it."""
    rows = len(labels) or len(values)
    outputs: dict[str, Value] = {
        telemetry.OUTPUT_LABELS: list(labels),
        telemetry.OUTPUT_PROBABILITIES: [float(each) for each in probabilities],
        telemetry.OUTPUT_VALUES: [float(each) for each in values],
    }
    attributes: dict[str, Value] = {
        telemetry.RPC_STATUS: code,
        telemetry.MODEL_NAME: model,
        telemetry.PREDICTION_ID: prediction_id,
        **({telemetry.MODEL_VERSION: version, telemetry.INTERFACE_MAJOR: 1} if version else {}),
        **({telemetry.ROWS: rows, telemetry.OUTPUT_ROWS: rows} if rows else {}),
        **{name: each for name, each in outputs.items() if each},
        **(more or {}),
    }
    return span_of(attributes, name=telemetry.SPAN_MODEL_INFER, **times)


def export_of(
    *spans: Span, service: str = "tests", resource: Mapping[str, Value] | None = None, dropped: int | None = None
) -> ExportTraceServiceRequest:
    """A request with spans of one resource and one scope."""
    scope = InstrumentationScope(name="tests", version="1")
    if dropped is not None:
        scope.attributes.extend(key_values({telemetry.SPANS_DROPPED: dropped}))
    described = Resource(attributes=key_values({"service.name": service, **(resource or {})}))
    return ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=described, scope_spans=[ScopeSpans(scope=scope, spans=spans)])]
    )


def fresh_id(prefix: str = "id") -> str:
    """An id that no other test has."""
    return f"{prefix}-{os.urandom(6).hex()}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One answered request, and what was reported of it.

    Attributes:
        model: that was asked.
        prediction_id: of the request.
        trace_id: of its trace, in hex.
        version: that answered.
        answers: what it said, row by row.
        truths: what came true, row by row; None where nobody said.
    """

    model: str
    prediction_id: str
    trace_id: str
    version: int
    answers: list[Any]
    truths: list[Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """All three parts at work: a registry, a server that sends its spans to a monitor, requests and truths.

    Attributes:
        registry: the folder.
        server: the server's address.
        watch: the monitor.
        asked: every answered request, in order.
    """

    registry: Path
    server: str
    watch: Watch
    asked: list[Asked]

    def of(self, model: str, version: int) -> list[Asked]:
        """The requests that a version answered."""
        return [each for each in self.asked if (each.model, each.version) == (model, version)]

    def ask(self, model: str, data: Any, **more: Any) -> Asked:
        """One request, by a program that has a trace of its own."""
        trace_id, parent = os.urandom(16).hex(), os.urandom(8).hex()
        metadata = [("traceparent", f"00-{trace_id}-{parent}-01")]
        with Client(self.server) as client:
            answer = client.predict(model, data, prediction_id=fresh_id(model), metadata=metadata, **more)
        answers = answer.values if answer.labels is None else answer.labels
        assert answers is not None
        rows: list[Any] = np.asarray(answers).ravel().tolist()
        asked = Asked(model, answer.request_id, trace_id, answer.version, rows, [None] * len(rows))
        self.asked.append(asked)
        return asked

    def tell(self, asked: Asked, truths: Sequence[Any]) -> None:
        """Report what came true of the first rows of a request."""
        with Outcomes(self.watch.otlp) as outcomes:
            outcomes.report_many((PredictionId(asked.prediction_id, row), each) for row, each in enumerate(truths))
        asked.truths[: len(truths)] = truths

    def settle(self) -> None:
        """Wait until the monitor has every request, those that nothing answered too."""

        def all_here() -> bool:
            page = self.watch.api("/models", window="all")
            unanswered = {each["name"]: each["unanswered"]["requests"] for each in page["models"]}
            found = {each["name"]: each["total"]["requests"] - unanswered[each["name"]] for each in page["models"]}
            refused = page["unknown_requests"] + sum(unanswered.values())
            return refused >= len(REFUSED) and all(found.get(name, 0) >= count for name, count in wanted.items())

        wanted = Counter(each.model for each in self.asked)
        wait_until(all_here, "every request reaches the monitor")


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """A classifier with two versions that were live one after the other, a regressor, requests, truths, failures."""
    registry = folder / "registry"
    make_registry(registry)
    monitor = start_monitor(registry, folder / "data", "--poll-interval-s", "0.1")
    try:
        with (
            connected(*doors_of(monitor)) as watch,
            running_server(
                registry, "--workers", "1", "--poll-interval-s", "0.05", "--otlp-endpoint", f"http://{watch.otlp}"
            ) as server,
        ):
            stage = Stage(registry, server, watch, [])
            _play(stage)
            yield stage
    finally:
        assert monitor.stop() == 0, "".join(monitor.lines)


def make_registry(registry: Path) -> None:
    """A classifier with two versions, the first live, and a regressor."""
    frame, random = frame_of(seed=2, rows=200), np.random.default_rng(2)
    truth = truth_of(frame)
    # One in ten flights is as nobody could know, so that the promise is not perfect.
    noisy = np.where(random.random(len(truth)) < 0.1, random.permutation(truth), truth)
    for seed, text in ((1, "trained on January"), (3, "trained on January and February")):
        source = fit_classifier(seed)
        export(source, name=CLASSIFIER, holdout=(frame, noisy), registry=str(registry), description=text)
    promote(CLASSIFIER, 1, registry=str(registry))
    promote(REGRESSOR, export_regressor(registry, REGRESSOR, seed=1), registry=str(registry))


def _play(stage: Stage) -> None:
    """What happens before a test looks: ``stage.asked`` has all of it but what was refused."""
    frame = frame_of(seed=11, rows=120)
    with Client(stage.server) as client:
        wait_until(lambda: client.ready(CLASSIFIER) and client.ready(REGRESSOR), "both models are ready")
        for position in range(0, 80, 2):
            stage.ask(CLASSIFIER, frame.iloc[position : position + 2])
        promote(CLASSIFIER, 2, registry=str(stage.registry))
        # A search shows a hundred: not many are to be asked meanwhile.
        wait_until(lambda: client.ready(CLASSIFIER, version=2), "version 2 is ready")
        wait_until(lambda: stage.ask(CLASSIFIER, frame.iloc[:2]).version == 2, "version 2 answers")
        for position in range(80, 120, 2):
            stage.ask(CLASSIFIER, frame.iloc[position : position + 2])
        array = array_of(seed=12, rows=40)
        for position in range(0, 40, 4):
            stage.ask(REGRESSOR, array[position : position + 4])
    with grpc.insecure_channel(stage.server) as channel:
        for model, version in REFUSED:
            request = regressor_request(array[:1], model=model, version=version)
            assert failure_of(partial(infer, channel, request)).code is grpc.StatusCode.NOT_FOUND
    other = {"late": "punctual", "punctual": "late"}
    for number, asked in enumerate(stage.of(CLASSIFIER, 1)):
        # Every other request was wrong in its first row.
        stage.tell(asked, [asked.answers[0] if number % 2 else other[asked.answers[0]], asked.answers[1]])
    for asked in stage.of(CLASSIFIER, 2)[:8]:
        stage.tell(asked, asked.answers[:1])
    for asked in stage.of(REGRESSOR, 1):
        stage.tell(asked, [value + 0.5 for value in asked.answers])
    stage.settle()


def backdate(registry: Path, model: str, versions: Mapping[int, datetime]) -> None:
    """Write a model's log anew as if each version had gone live at another time."""
    digest = ""
    for path in sorted((registry / "models" / model / "events").iterdir()):
        event = Parse(path.read_bytes(), Event())
        event.time.FromDatetime(versions[event.version])
        event.previous_digest = digest
        data = MessageToJson(event).encode()
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
