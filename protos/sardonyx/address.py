"""Where a program listens: read the same way from every command line, and where a client calls."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_PORT_MAX: Final = 65_535
_ADDRESS: Final = re.compile(r"(?:\[(?P<ipv6>[^\[\]\s]+)\]|(?P<name>[^\[\]\s:/?#@]+)):(?P<port>[0-9]{1,5})")


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
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > _PORT_MAX or not _is_host(match["ipv6"]):
            raise ValueError(f"{text!r} is no address. Write host:port, such as 127.0.0.1:8001.")
        return cls(match["ipv6"] or match["name"], int(match["port"]))

    def __str__(self) -> str:
        """As it is written, with brackets around IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_host(ipv6: str | None) -> bool:
    """Whether what stood between brackets may stand there; a host without them is the resolver's to judge."""
    if ipv6 is None:
        return True
    try:
        ipaddress.IPv6Address(ipv6)
    except ValueError:
        return False
    return True
