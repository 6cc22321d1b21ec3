"""What the monitor is told, checked before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket is bound.

    Attributes:
        host: a name or an address; IPv6 without brackets.
        port: 0 lets the system choose.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``host:port`` or ``[ipv6]:port``.

        Raises:
            ValueError: it is neither.
        """
        parts = urlsplit(f"//{text}")
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or port is None or parts.path:
            raise ValueError(f"{text!r} is no address. Write host:port, such as 127.0.0.1:8080.")
        return cls(host, port)

    def __str__(self) -> str:
        """As it is written, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


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
