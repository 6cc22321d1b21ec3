"""The monitor about itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sardonyx_monitor.receiver.losses import Losses
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.store.writer import Writer
    from sardonyx_monitor.views.shapes import RegistryView


@dataclass(frozen=True, slots=True)
class Sender:
    """A process that sends spans, and how many it lost before it could."""

    instance: str
    service: str
    host: str
    spans_dropped: int
    seen_ns: int


@dataclass(frozen=True, slots=True)
class HealthPage:
    """The monitor about itself: what it holds, and what it did not get."""

    writing: bool
    disk_full: bool
    waiting_calls: int
    stored: Mapping[str, int]
    since_start: Mapping[str, Any]
    orphan_outcomes: int
    senders: Sequence[Sender]
    registry: RegistryView


def read_health(query: Query, writer: Writer, losses: Losses, registry: RegistryView) -> HealthPage:
    """What the monitor says of itself now."""
    return HealthPage(
        writing=writer.alive,
        disk_full=writer.disk_full,
        waiting_calls=writer.waiting,
        stored=query.row("totals"),
        since_start=asdict(losses) | {"spans_repeated": writer.repeated},
        orphan_outcomes=query.row("orphans")["orphans"],
        senders=[Sender(**row) for row in query.rows("senders")],
        registry=registry,
    )
