"""Versions as a worker holds them, without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx.registry import Log, Registry
from sardonyx_server.batcher import Batcher, Limits, RowQueue
from sardonyx_server.bounds import Bounds
from sardonyx_server.life.loader import load
from sardonyx_server.life.session import Runtime, Stop
from sardonyx_server.served import Served

if TYPE_CHECKING:
    from pathlib import Path

BOUNDS: Final = Bounds(rows_max=65_536, text_bytes_max=65_536)


def load_served(registry: Path, model: str, version: int, queue: RowQueue | None = None) -> Served:
    """A version of a registry, loaded and proven."""
    loaded = load(
        *(Registry(str(registry)), model, version),
        known=Log(),
        runtime=Runtime(),
        enter=lambda _state: None,
        stop=Stop(),
    )
    batcher = Batcher(loaded.session, loaded.cost, queue or RowQueue(BOUNDS.rows_max), Limits())
    return Served(loaded.manifest, loaded.typed, batcher, BOUNDS, lambda: None)
