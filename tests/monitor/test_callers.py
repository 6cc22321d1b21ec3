"""Who calls which interface: told by interface, in requests that are whole or a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from monitor.scene import prediction_of
from sardonyx import telemetry
from sardonyx_monitor.views.callers import CALLERS_MAX

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from monitor.scene import Value, Watch


def call(
    model: str,
    caller: str = "",
    *,
    major: int = 1,
    version: int = 1,
    code: str = "OK",
    weight: float = 1.0,
    route: str = "live",
) -> Span:
    """The span of a call."""
    attributes: dict[str, Value] = {telemetry.INTERFACE_MAJOR: major, telemetry.ROUTE: route}
    attributes |= {telemetry.WEIGHT: weight} if weight != 1 else {}
    attributes |= {telemetry.CALLER: caller} if caller else {}
    return prediction_of("any", ["late"], model=model, version=version, code=code, more=attributes)


def interfaces_of(watch: Watch, model: str) -> list[Any]:
    """The interfaces of a model as /api tells them."""
    interfaces: list[Any] = watch.api(f"/models/{model}")["model"]["interfaces"]
    return interfaces


def test_callers_stand_under_the_interface_that_they_call(watch: Watch) -> None:
    """Newest interface first, busiest caller first; each with its failures, its mistakes and who answered it last."""
    model = "who-calls-which"
    watch.export(
        *(call(model, "gate", version=version) for version in (1, 1, 3)),
        call(model, "gate", version=3, code="UNAVAILABLE"),
        call(model, "crew", version=3, code="INVALID_ARGUMENT"),
        call(model, "crew", major=2, version=4),
        call(model, version=3),
        call(model, "shadowed", route="shadow"),
        call(model, "lost", version=0, code="NOT_FOUND"),
    )
    newer, older = interfaces_of(watch, model)
    kept = ("caller", "requests", "failed", "refused", "version")

    assert (newer["major"], older["major"]) == (2, 1)
    assert [tuple(each[name] for name in kept) for each in newer["callers"]] == [("crew", 1, 0, 0, 4)]
    assert [tuple(each[name] for name in kept) for each in older["callers"]] == [
        ("gate", 4, 1, 0, 3),
        ("", 1, 0, 0, 3),
        ("crew", 1, 0, 1, 3),
    ]


def test_a_sample_counts_for_the_whole(watch: Watch) -> None:
    """Requests of a sample are counted by what they stand for."""
    model = "sampled-callers"
    watch.export(
        call(model, "gate", weight=2.5),
        call(model, "gate", weight=4.0, code="INTERNAL"),
        *(call(model, "crew") for _ in range(3)),
    )
    (interface,) = interfaces_of(watch, model)

    assert [(each["caller"], each["requests"], each["failed"]) for each in interface["callers"]] == [
        ("gate", 6.5, 4.0),
        ("crew", 3, 0),
    ]


def test_of_each_interface_the_busiest_are_told(watch: Watch) -> None:
    """Callers may name themselves as they like, and one interface's many hide none of another's."""
    model = "many-callers"
    many = [call(model, f"caller-{number}", major=2) for number in range(CALLERS_MAX + 10)]
    watch.export(*many, call(model, "caller-5", major=2), call(model, "alone"))
    newer, older = interfaces_of(watch, model)

    assert len(newer["callers"]) == CALLERS_MAX
    assert newer["callers"][0]["caller"] == "caller-5"
    assert [each["caller"] for each in older["callers"]] == ["alone"]


@pytest.mark.parametrize("within", ["", "7d", "90m", "36500d"])
def test_any_span_of_time_can_be_asked_for(watch: Watch, within: str) -> None:
    """By default it is a week."""
    watch.export(call("asked-for", "gate"))
    found = watch.api("/models/asked-for/callers", **({"within": within} if within else {}))

    assert [each["caller"] for each in found["callers"]] == ["gate"]


def test_a_model_that_nobody_knows_is_not_found(watch: Watch) -> None:
    """No callers and no such model are told apart."""
    answer = watch.web.get("/api/models/nobody-knows/callers")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")
