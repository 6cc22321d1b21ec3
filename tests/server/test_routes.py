"""Canary, shadow and the models that are served, as callers and operators see them over real sockets."""

from __future__ import annotations

import contextlib
import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from sklearn.linear_model import LinearRegression

from sardonyx import telemetry
from sardonyx.oip import messages as oip
from sardonyx.serving.v1 import model_service_pb2 as serving
from sardonyx_exporter import canary, export, promote, retire, retire_major, rollback, shadow
from server.scene import (
    ALONE,
    PATIENCE_S,
    answers,
    array_of,
    ask,
    blob_path,
    export_regressor,
    failure_of,
    fit_regressor,
    get_model,
    get_server,
    infer,
    regressor_request,
    states_of,
    target_of,
    value_of,
    wait_until,
)
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

MODEL = "routed"
ROW = array_of(31, rows=1)
FAST = (*ALONE, "--poll-interval-s", "0.05")
#: With so many keys a share of 30 % is met within 7 points in all but one of a hundred thousand draws.
KEYS = [f"customer-{number}" for number in range(1000)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with three versions that answer differently, of which the first is live."""
    registry = tmp_path_factory.mktemp("routes") / "registry"
    for seed in (1, 2, 3):
        export_regressor(registry, MODEL, seed=seed)
    promote(MODEL, 1, registry=str(registry))
    return registry


@pytest.fixture
def registry(exported: Path, tmp_path: Path) -> Path:
    """Such a registry of one's own."""
    registry = tmp_path / "registry"
    for path in exported.rglob("*"):
        if path.is_file():
            copy = registry / path.relative_to(exported)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return registry


@pytest.fixture
def channel(registry: Path) -> Iterator[grpc.Channel]:
    """A server of one worker on that registry, whose model answers."""
    with running_server(registry, *FAST) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, regressor_request(ROW, model=MODEL)), "the model answers")
        yield channel


def request_of(key: str = "", *, version: str = "", prediction_id: str = "") -> oip.ModelInferRequest:
    """One row, with a routing key or without."""
    request = regressor_request(ROW, model=MODEL, version=version)
    request.id = prediction_id
    if key:
        request.parameters["routing-key"].string_param = key
    return request


def routed(channel: grpc.Channel, key: str = "", *, version: str = "", prediction_id: str = "") -> tuple[int, str]:
    """The version that answers and its route; the answer must be that version's own."""
    response = infer(channel, request_of(key, version=version, prediction_id=prediction_id))
    number = int(response.model_version)
    # Version n was fitted with seed n.
    np.testing.assert_allclose(value_of(response), fit_regressor(number).predict(ROW), rtol=1e-5)
    return number, response.parameters["sardonyx_route"].string_param


def routes_of(channel: grpc.Channel) -> dict[int, tuple[list[str], float, float]]:
    """By version, its routes and shares as ModelService tells them."""
    versions = get_model(channel, MODEL).versions
    return {each.version: (list(each.routes), each.canary_percent, each.shadow_percent) for each in versions}


def canary_of(channel: grpc.Channel, number: int, percent: float) -> None:
    """Wait until a version has its share."""
    wait_until(lambda: routes_of(channel).get(number, ((), 0))[1] == percent, f"version {number} has {percent} %")


# Canary


def test_a_canary_answers_its_share_and_keeps_its_callers(registry: Path, channel: grpc.Channel) -> None:
    """Of many keys about 30 % reach the canary, always the same ones; more are added by a larger share, none leaves."""
    canary(MODEL, 2, percent=30, registry=str(registry))
    canary_of(channel, 2, 30)
    first = {key: routed(channel, key) for key in KEYS}
    assert set(first.values()) == {(1, "live"), (2, "canary")}
    chosen = {key for key, (number, _) in first.items() if number == 2}
    assert 0.23 < len(chosen) / len(KEYS) < 0.37
    assert {key: routed(channel, key) for key in KEYS[:100]} == {key: first[key] for key in KEYS[:100]}

    canary(MODEL, 2, percent=60, registry=str(registry))
    canary_of(channel, 2, 60)
    more = {key for key in KEYS if routed(channel, key)[0] == 2}
    assert chosen < more
    assert 0.53 < len(more) / len(KEYS) < 0.67


def test_what_is_no_key_is_the_prediction_id(registry: Path, channel: grpc.Channel) -> None:
    """Without a key calls are shared out by their ids, equal ones together; a key in the metadata is one too."""
    canary(MODEL, 2, percent=50, registry=str(registry))
    canary_of(channel, 2, 50)
    by_id = {key: routed(channel, prediction_id=key) for key in KEYS[:100]}
    assert set(by_id.values()) == {(1, "live"), (2, "canary")}
    assert {key: routed(channel, key) for key in KEYS[:100]} == by_id
    # An id of the server's own is a new one each time.
    assert {routed(channel) for _ in range(60)} == {(1, "live"), (2, "canary")}
    call = channel.unary_unary(
        f"/{oip.SERVICE}/ModelInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelInferResponse.FromString,
    )
    for key in KEYS[:20]:
        response = call(request_of(), metadata=(("routing-key", key),), timeout=PATIENCE_S)
        assert int(response.model_version) == by_id[key][0]


def test_selectors_reach_what_they_name(registry: Path, channel: grpc.Channel) -> None:
    """``canary`` and a number reach their version whatever its share; ``v1`` names no version and is shared out."""
    canary(MODEL, 2, percent=0.000001, registry=str(registry))
    shadow(MODEL, 3, percent=1, registry=str(registry))
    wait_until(
        lambda: len(routes_of(channel)) == 3 and all(routes for routes, _, _ in routes_of(channel).values()), "all"
    )

    assert routed(channel, version="canary") == (2, "canary")
    assert [routed(channel, version=number) for number in "123"] == [(1, "pinned"), (2, "pinned"), (3, "pinned")]
    assert routed(channel, "any", version="v1") == (1, "live")
    canary(MODEL, 2, percent=100, registry=str(registry))
    canary_of(channel, 2, 100)
    assert routed(channel, "any", version="v1") == (2, "canary")
    assert routed(channel, "any", version="1") == (1, "pinned")
    metadata = ask(channel, "ModelMetadata", oip.ModelMetadataRequest(name=MODEL), oip.ModelMetadataResponse)
    assert list(metadata.versions) == ["1", "2", "3"]


def test_a_canary_ends_and_another_tries_other_callers(registry: Path, channel: grpc.Channel) -> None:
    """A canary that ends leaves memory and its selector is unknown; the next one does not meet the same callers."""
    canary(MODEL, 2, percent=50, registry=str(registry))
    canary_of(channel, 2, 50)
    first = {key for key in KEYS[:200] if routed(channel, key)[0] == 2}
    canary(MODEL, 3, percent=50, registry=str(registry))
    canary_of(channel, 3, 50)
    second = {key for key in KEYS[:200] if routed(channel, key)[0] == 3}
    assert 0.2 < len(first & second) / len(first | second) < 0.5
    wait_until(lambda: states_of(channel, MODEL).keys() == {1, 3}, "version 2 is unloaded")

    canary(MODEL, 3, percent=0, registry=str(registry))
    wait_until(lambda: routes_of(channel) == {1: (["live"], 0, 0)}, "the canary has gone")
    assert {routed(channel, key) for key in KEYS[:50]} == {(1, "live")}
    unknown = failure_of(lambda: infer(channel, request_of(version="canary")))
    assert unknown.code is grpc.StatusCode.NOT_FOUND
    assert "no route 'canary'" in unknown.message


def test_a_promoted_canary_answers_everybody(registry: Path, channel: grpc.Channel) -> None:
    """At no moment of a promotion is a call lost: it meets the old version, the canary, or the new live one."""
    canary(MODEL, 2, percent=50, registry=str(registry))
    canary_of(channel, 2, 50)
    promote(MODEL, 2, registry=str(registry))
    seen = set[tuple[int, str]]()

    def done() -> bool:
        seen.update(routed(channel, key) for key in KEYS[:20])
        return states_of(channel, MODEL).keys() == {2}

    wait_until(done, "version 1 is unloaded")
    assert seen <= {(1, "live"), (2, "canary"), (2, "live")}
    assert {routed(channel, key) for key in KEYS[:50]} == {(2, "live")}
    rollback(MODEL, registry=str(registry))
    wait_until(lambda: routed(channel) == (1, "live"), "version 1 answers again")


def test_the_share_of_a_broken_canary_is_answered_by_live(registry: Path, channel: grpc.Channel) -> None:
    """A canary that cannot be loaded harms no call: its reason is in ModelService, and only who names it meets it."""
    path = blob_path(registry, MODEL, 2)
    whole = path.read_bytes()
    path.write_bytes(b"no graph")
    canary(MODEL, 2, percent=100, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).get(2) == serving.STATE_FAILED, "version 2 failed")

    assert {routed(channel, key) for key in KEYS[:50]} == {(1, "live")}
    (reason,) = [each.reason for each in get_model(channel, MODEL).versions if each.version == 2]
    assert "was changed" in reason
    for selector in ("canary", "2"):
        refused = failure_of(lambda selector=selector: infer(channel, request_of(version=selector)))  # type: ignore[misc]
        assert refused.code is grpc.StatusCode.UNAVAILABLE
    assert ask(channel, "ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse).ready
    # Restored, it takes its share without another act.
    path.write_bytes(whole)
    wait_until(lambda: routed(channel, "any") == (2, "canary"), "the canary answers")


def test_a_retired_version_leaves(registry: Path, channel: grpc.Channel) -> None:
    """A shadow that is retired leaves memory: nothing leads to it any more."""
    shadow(MODEL, 2, percent=1, registry=str(registry))
    wait_until(lambda: routes_of(channel).get(2) == (["shadow"], 0, 1), "version 2 is the shadow")
    retire(MODEL, 2, registry=str(registry))
    wait_until(lambda: states_of(channel, MODEL).keys() == {1}, "version 2 is unloaded")


def test_a_retired_interface_is_gone(registry: Path, channel: grpc.Channel) -> None:
    """Its calls are NOT_FOUND with what is served; its versions and typed service go, and no restart brings them."""
    wide = array_of(32, rows=40)
    both = np.hstack([wide, wide])
    source = LinearRegression().fit(both, target_of(wide))
    export(source, name=MODEL, holdout=(both, target_of(wide)), registry=str(registry))
    promote(MODEL, 4, registry=str(registry), default_major=True)
    newer = regressor_request(both[:1], model=MODEL)
    wait_until(lambda: answers(channel, newer), "v2 answers what names no version")
    assert routed(channel, version="v1") == (1, "live")
    assert _typed_services(channel) == {"routed.v1.RoutedService", "routed.v2.RoutedService"}
    retire_major(MODEL, 1, registry=str(registry), force=True, reason="a test")
    wait_until(lambda: states_of(channel, MODEL).keys() == {4}, "version 1 is unloaded")
    with running_server(registry, *FAST) as address, grpc.insecure_channel(address) as again:
        wait_until(lambda: answers(again, newer), "v2 answers after a restart")
        for each in (channel, again):
            for selector, served in (("v1", "was retired. Routes are 'v2'; versions are '4'."), ("1", "There is '4'")):
                request = request_of(version=selector)
                refused = failure_of(lambda each=each, request=request: infer(each, request))  # type: ignore[misc]
                assert refused.code is grpc.StatusCode.NOT_FOUND
                assert served in refused.message
            assert infer(each, newer).model_version == "4"
            assert _typed_services(each) == {"routed.v2.RoutedService"}


def test_a_model_ends_with_its_last_interface(registry: Path, channel: grpc.Channel) -> None:
    """Whatever was asked for, its callers are told that it was retired, and nobody to promote what can never be."""
    wait_until(lambda: answers(channel, request_of()), "version 1 answers")
    retire_major(MODEL, 1, registry=str(registry), force=True, reason="a test")
    wait_until(lambda: not answers(channel, request_of()), "v1 is gone")
    for selector in ("", "v1", "1", "canary"):
        refused = failure_of(lambda selector=selector: infer(channel, request_of(version=selector)))  # type: ignore[misc]
        assert refused.code is grpc.StatusCode.NOT_FOUND
        assert refused.message == (
            f"Interface 'v1' of model {MODEL!r} was retired. Nothing else of it is live: a version that is exported and"
            " promoted now begins another interface."
        )


def _typed_services(channel: grpc.Channel) -> set[str]:
    services: list[str] = list(ProtoReflectionDescriptorDatabase(channel).get_services())
    return {name for name in services if name.startswith(MODEL)}


def test_every_worker_follows(registry: Path) -> None:
    """All workers of a server share the calls out alike: a key meets one version on every connection."""
    canary(MODEL, 2, percent=50, registry=str(registry))
    with running_server(registry, "--workers", "2", "--drain-grace-s", "0", "--poll-interval-s", "0.05") as address:
        met: dict[str, set[int]] = {key: set() for key in KEYS[:20]}
        options = [("grpc.use_local_subchannel_pool", 1)]
        for _ in range(8):
            with grpc.insecure_channel(address, options=options) as channel:
                wait_until(lambda channel=channel: answers(channel, request_of(version="canary")), "the canary answers")  # type: ignore[misc]
                for key, versions in met.items():
                    versions.add(routed(channel, key)[0])
    assert all(len(versions) == 1 for versions in met.values())
    assert {number for versions in met.values() for number in versions} == {1, 2}


# Shadow


class Sink(TraceServiceServicer):
    """A collector that takes everything."""

    def __init__(self) -> None:
        self._spans: list[Span] = []
        self._lock = threading.Lock()

    def Export(self, request: ExportTraceServiceRequest, _context: Any) -> ExportTraceServiceResponse:  # noqa: N802
        """Keep the spans."""
        with self._lock:
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    self._spans.extend(scope.spans)
        return ExportTraceServiceResponse()

    def by_route(self, route: str) -> dict[str, dict[str, Any]]:
        """The attributes of the spans of one route, by prediction id."""
        with self._lock:
            found = [_attributes(span) for span in self._spans]
        return {each[telemetry.PREDICTION_ID]: each for each in found if each.get(telemetry.ROUTE) == route}


def _attributes(span: Span) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value") or "string_value") for each in span.attributes}


@contextlib.contextmanager
def running_sink() -> Iterator[tuple[Sink, str]]:
    """A sink on a free port; its endpoint."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    sink = Sink()
    add_TraceServiceServicer_to_server(sink, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield sink, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_a_shadow_sees_calls_and_is_never_answered(registry: Path) -> None:
    """Every call is answered by the live version; the shadow's runs arrive as spans, with their agreement."""
    shadow(MODEL, 3, percent=100, registry=str(registry))
    ids = [f"order-{number}" for number in range(40)]
    with running_sink() as (sink, endpoint), running_server(registry, *FAST, "--otlp-endpoint", endpoint) as address:
        with grpc.insecure_channel(address) as channel:
            wait_until(lambda: routes_of_or_none(channel).get(3) == (["shadow"], 0, 100), "version 3 is the shadow")
            assert {routed(channel, prediction_id=each) for each in ids} == {(1, "live")}
            # What is pinned is no live traffic.
            routed(channel, version="1", prediction_id="pinned")
            wait_until(lambda: set(ids) <= sink.by_route("shadow").keys(), "the shadow has seen all")
            wait_until(lambda: set(ids) <= sink.by_route("live").keys(), "all answers are recorded")
        spans, live = sink.by_route("shadow"), sink.by_route("live")
    assert "pinned" not in spans
    for each in ids:
        assert spans[each][telemetry.MODEL_VERSION] == 3
        assert spans[each][telemetry.SHADOW_LIVE_VERSION] == 1
        # Version 1 is wrong by 1 on its hold-out, and version 3 answers 2 more than it.
        assert spans[each][telemetry.SHADOW_AGREEMENT] == 0.0
        assert live[each][telemetry.MODEL_VERSION] == 1
        assert telemetry.SHADOW_AGREEMENT not in live[each]


def test_a_shadow_sees_its_share_by_prediction_id(registry: Path) -> None:
    """Which calls a shadow sees follows from their ids alone: two servers show it the same ones."""
    shadow(MODEL, 2, percent=40, registry=str(registry))
    ids = [f"order-{number}" for number in range(60)]
    seen = [_shown(registry, ids) for _ in range(2)]
    assert seen[0] == seen[1]
    assert 0.1 < len(seen[0]) / len(ids) < 0.7


def _shown(registry: Path, ids: list[str]) -> set[str]:
    """The calls that a server shows to its shadow."""
    with running_sink() as (sink, endpoint):
        with (
            running_server(registry, *FAST, "--otlp-endpoint", endpoint) as address,
            grpc.insecure_channel(address) as channel,
        ):
            wait_until(lambda: routes_of_or_none(channel).get(2, ([],))[0] == ["shadow"], "the shadow is there")
            for each in ids:
                routed(channel, prediction_id=each)
            wait_until(lambda: is_done(channel), "the shadow is done")
        # The server has ended: what it had to send is here.
        return set(sink.by_route("shadow"))


def seen_by_shadow(channel: grpc.Channel) -> serving.Shadow:
    """What the one shadow has seen so far; nothing where there was nothing to see."""
    return next(iter(get_server(channel).shadows), serving.Shadow())


def is_done(channel: grpc.Channel) -> bool:
    """Whether nothing waits for a shadow."""
    seen = seen_by_shadow(channel)
    return seen.ran + seen.failed + seen.dropped == seen.offered


def routes_of_or_none(channel: grpc.Channel) -> dict[int, tuple[list[str], float, float]]:
    """As routes_of; nothing where the server has not read the model yet."""
    return routes_of(channel) if states_of(channel, MODEL) else {}


# The models that are served


def test_only_the_models_asked_for_are_served(registry: Path) -> None:
    """Other models are unknown; one that is not there yet is said not to serve, and serves once it is promoted."""
    export_regressor(registry, "other", seed=1)
    promote("other", 1, registry=str(registry))
    with (
        running_server(registry, *FAST, "--models", f"{MODEL}, later") as address,
        grpc.insecure_channel(address) as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        wait_until(lambda: answers(channel, request_of()), "the model answers")
        assert failure_of(lambda: infer(channel, regressor_request(ROW, model="other"))).code is (
            grpc.StatusCode.NOT_FOUND
        )
        status = health.Check(health_pb2.HealthCheckRequest(service="later"), timeout=PATIENCE_S).status
        assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert ask(channel, "ServerReady", oip.ServerReadyRequest(), oip.ServerReadyResponse).ready

        export_regressor(registry, "later", seed=1)
        promote("later", 1, registry=str(registry))
        wait_until(lambda: answers(channel, regressor_request(ROW, model="later")), "the new model answers")
        wait_until(
            lambda: (
                health.Check(health_pb2.HealthCheckRequest(service="later"), timeout=PATIENCE_S).status
                == health_pb2.HealthCheckResponse.SERVING
            ),
            "it is said to serve",
        )
