"""What the monitor knows of the model, read from its JSON API."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

#: The server sends spans every half second, and the monitor writes what it has in one go: this is far more than both.
PATIENCE_S: Final = 10.0
LOOK_S: Final = 0.3
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric with its confidence interval; the ends are None where the monitor gives none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric of one version, as its hold-out promised and as it turned out; None where one is not known."""

    promise: Figure | None
    practice: Figure | None
    verdict: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version as the monitor shows it.

    Attributes:
        number: the version.
        registered: whether the monitor has read of it in the registry, which it does every other second.
        description: as it was exported.
        answers: rows that it answered; several flights may share a request.
        labelled: answers whose truth is known.
        metrics: by name.
    """

    number: int
    registered: bool
    description: str
    answers: int
    labelled: int
    metrics: dict[str, Compared]


@dataclass(frozen=True, slots=True)
class CallerSeen:
    """Who called which interface.

    Attributes:
        interface: such as ``v1``.
        name: the caller's; empty where it gave none.
        calls, failed: how many it made, and how many of them the server could not answer.
        version: the version that answered the last one.
    """

    interface: str
    name: str
    calls: int
    failed: int
    version: int


@dataclass(frozen=True, slots=True)
class Monitored:
    """One model as the monitor shows it.

    Attributes:
        requests: all of them.
        p50_ms, p95_ms, p99_ms: how long the server took.
        versions: the oldest first.
        callers: of the newest interface first.
    """

    requests: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    versions: list[Version]
    callers: list[CallerSeen]


def read_model(page: str, model: str) -> Monitored:
    """Everything that the monitor has seen of a model.

    Args:
        page: the address of the monitor's page, such as http://127.0.0.1:8080/.
        model: its name.

    Raises:
        OSError: the monitor does not answer.
    """
    with urllib.request.urlopen(f"{page}api/models/{model}?window=all", timeout=TIMEOUT_S) as answer:  # noqa: S310
        view = json.load(answer)["model"]
    total = view["total"]
    return Monitored(
        requests=total["requests"],
        p50_ms=total["p50_ms"],
        p95_ms=total["p95_ms"],
        p99_ms=total["p99_ms"],
        versions=sorted(map(_version, view["versions"]), key=lambda version: version.number),
        callers=[_caller(each) for interface in view["interfaces"] for each in interface["callers"]],
    )


def read_settled(page: str, model: str, answers: int, truths: int) -> Monitored:
    """As ``read_model``, once the monitor has that many answers and truths, and what their versions promised.

    After a while, with what it has.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        seen = read_model(page, model)
        counted = sum(version.answers for version in seen.versions)
        labelled = sum(version.labelled for version in seen.versions)
        known = all(version.registered for version in seen.versions)
        if (counted >= answers and labelled >= truths and known) or time.monotonic() > deadline:
            return seen
        time.sleep(LOOK_S)


def _version(view: dict[str, Any]) -> Version:
    return Version(
        number=view["number"],
        registered=view["registered"],
        description=view["description"],
        answers=view["traffic"]["rows"],
        labelled=view["quality"]["labelled"],
        metrics={
            each["name"]: Compared(_figure(each["promise"]), _figure(each["practice"]), each["verdict"])
            for each in view["quality"]["comparisons"]
        },
    )


def _caller(view: dict[str, Any]) -> CallerSeen:
    return CallerSeen(f"v{view['major']}", view["caller"], view["requests"], view["failed"], view["version"])


def _figure(view: dict[str, Any] | None) -> Figure | None:
    return Figure(view["value"], view["low"], view["high"]) if view else None
