"""What the monitor is told, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from sardonyx.address import Address


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the monitor needs to know.

    Attributes:
        registry: a directory or a URL.
        data: the folder of the store.
        otlp: where OTLP/gRPC and OutcomeService listen.
        web: where the pages and /api listen.
        keep_days: what is older is deleted; 0 keeps everything.
        poll_interval_s: how often the registry is read.
    """

    registry: str
    data: Path
    otlp: Address
    web: Address
    keep_days: float
    poll_interval_s: float
