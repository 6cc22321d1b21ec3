"""A model with a canary and a shadow beside its live version: spans and truths of which the tests know everything."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from monitor.scene import connected, doors_of, prediction_of, start_monitor
from sardonyx import telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome
from sardonyx.registry import Registry
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx_exporter import export
from server.scene import CLASSIFIER, fit_classifier, frame_of, truth_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from monitor.scene import Watch
    from sardonyx.registry import Routes

LIVE, CANARY, SHADOW = 2, 1, 3
CANARY_PERCENT, SHADOW_PERCENT = 12.5, 50.0
REQUESTS: Final = 600
#: Every so many requests one of the canary's, and one that named the live version.
CANARY_EVERY, PINNED_EVERY = 6, 10
#: What a shadow takes, and no caller waits for.
SHADOW_NS: Final = 900_000_000
OTHER: Final = {"late": "punctual", "punctual": "late"}


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call of one row.

    Attributes:
        prediction_id: of it, and of what the shadow answered.
        route: by which it went.
        right: whether the caller's answer came true.
        span: of the answer that the caller got.
        shadow: of the shadow's; None where it was not mirrored, or the shadow failed.
        shadow_right: whether the shadow's came true.
    """

    prediction_id: str
    route: str
    right: bool
    span: Span
    shadow: Span | None
    shadow_right: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """A monitor that has seen a canary and a shadow.

    Attributes:
        watch: the monitor.
        calls: every answered call, in order.
        shadow_failures: mirrored calls that the shadow could not answer.
    """

    watch: Watch
    calls: list[Call]
    shadow_failures: int

    def by(self, *routes: str) -> list[Call]:
        """The calls that came by these routes."""
        return [each for each in self.calls if each.route in routes]

    @property
    def mirrored(self) -> list[Call]:
        """The calls that the shadow answered too."""
        return [each for each in self.calls if each.shadow is not None]


@contextlib.contextmanager
def trying(registry: Path, folder: Path) -> Iterator[Tried]:
    """Version 2 live, version 1 its canary and much worse, version 3 its shadow and much better.

    Args:
        registry: with versions 1 and 2 of the classifier, 2 live; it is copied.
        folder: for the copy and the store.
    """
    shutil.copytree(registry, folder / "registry")
    _set_routes(folder / "registry")
    program = start_monitor(folder / "registry", folder / "data")
    with connected(*doors_of(program)) as watch:
        yield _play(watch)
    assert program.stop() == 0, "".join(program.lines)


def _set_routes(folder: Path) -> None:
    frame = frame_of(seed=2, rows=200)
    export(fit_classifier(7), name=CLASSIFIER, holdout=(frame, truth_of(frame)), registry=str(folder))
    registry = Registry(folder)
    for kind, version, percent in (
        (Event.KIND_CANARY, CANARY, 5.0),
        (Event.KIND_CANARY, CANARY, CANARY_PERCENT),
        (Event.KIND_SHADOW, CANARY, SHADOW_PERCENT),
        (Event.KIND_SHADOW, CANARY, 0.0),
        (Event.KIND_SHADOW, SHADOW, SHADOW_PERCENT),
    ):
        event = Event(kind=kind, version=version, interface_major=1, percent=percent, actor="sre", reason="to see")
        registry.append(CLASSIFIER, partial(_decided, event))


def _decided(event: Event, _routes: Routes) -> Event:
    return event


def _play(watch: Watch) -> Tried:
    random = np.random.default_rng(17)
    start_ns, calls, spans, outcomes, failures = time.time_ns() - 61 * 10**9, [], [], [], 0
    for number in range(REQUESTS):
        call, more = _call(random, number, start_ns + number * 10**8)
        failures += len(more)
        calls.append(call)
        spans += [call.span, *more, *([call.shadow] if call.shadow else [])]
        truth = call.span.attributes[-1].value.string_value
        outcomes.append(Outcome(prediction_id=call.prediction_id, label=truth))
    watch.export(*spans)
    watch.report(*outcomes)
    return Tried(watch, calls, failures)


def _call(random: np.random.Generator, number: int, start_ns: int) -> tuple[Call, list[Span]]:
    """A call, and the spans of a shadow that failed."""
    route = "canary" if number % CANARY_EVERY == 0 else "pinned" if number % PINNED_EVERY == 1 else "live"
    right = bool(random.random() < {"live": 0.8, "canary": 0.5, "pinned": 0.2}[route])
    shadow_right, truth = bool(random.random() < 0.99), str(random.choice(["late", "punctual"]))
    name, version = f"call-{number}", CANARY if route == "canary" else LIVE
    label = truth if right else OTHER[truth]
    span = _span(name, label, version, route, start_ns, int(random.integers(10**6, 5 * 10**6)), {"truth": truth})
    if route != "live" or number % 2:
        return Call(name, route, right, span, None, False), []
    compared: dict[str, Any] = {telemetry.SHADOW_LIVE_VERSION: LIVE}
    at: dict[str, Any] = {"trace_id": span.trace_id, "start_ns": start_ns + 10**7, "duration_ns": SHADOW_NS}
    if number % 20 == 4:
        more = {telemetry.ROUTE: "shadow", **compared}
        failed = prediction_of(name, model=CLASSIFIER, version=SHADOW, code="INTERNAL", more=more, **at)
        return Call(name, route, right, span, None, False), [failed]
    compared[telemetry.SHADOW_AGREEMENT] = float(right == shadow_right)
    shadow_label = truth if shadow_right else OTHER[truth]
    shadow = _span(name, shadow_label, SHADOW, "shadow", at["start_ns"], SHADOW_NS, compared, span.trace_id)
    return Call(name, route, right, span, shadow, shadow_right), []


def _span(
    name: str,
    label: str,
    version: int,
    route: str,
    start_ns: int,
    duration_ns: int,
    more: dict[str, Any],
    trace_id: bytes = b"",
) -> Span:
    sure = [0.8, 0.2] if label == "late" else [0.2, 0.8]
    return prediction_of(
        name,
        [label],
        probabilities=sure,
        model=CLASSIFIER,
        version=version,
        more={telemetry.ROUTE: route, **more},
        trace_id=trace_id,
        start_ns=start_ns,
        duration_ns=duration_ns,
    )
