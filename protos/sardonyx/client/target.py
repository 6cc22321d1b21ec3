"""Where a client calls, as gRPC takes it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Final

from sardonyx.address import Address
from sardonyx.errors import InvalidInput, Violation

#: Sockets on this machine, which have no port.
_SOCKET: Final = re.compile(r"unix(-abstract)?:.+")
#: What may stand before a host in gRPC's names of targets.
_RESOLVER: Final = re.compile(r"dns:(//[^/]*/)?|ipv[46]:")
#: What stands before it elsewhere.
_URL: Final = re.compile(r"[a-z]+://", re.IGNORECASE)

_FORM: Final = "Write host:port, such as 127.0.0.1:8001"


def targets(address: object) -> list[str]:
    """The targets of one text, with commas between several, or of several texts; each once.

    Raises:
        InvalidInput: there is none, or gRPC would look for something else there; the message shows the form.
    """
    if isinstance(address, str):
        parts: list[object] = list(address.split(","))
    elif isinstance(address, Iterable) and not isinstance(address, bytes | Mapping):
        parts = list(address)
    else:
        raise _refusal(f"expected text, or a list of texts, got {address!r:.100}. {_FORM}.")
    found = [target for target in map(_target, parts) if target]
    if not found:
        raise _refusal(f"{address!r} is no address. {_FORM}, or several of them.")
    return list(dict.fromkeys(found))


def is_local(target: str) -> bool:
    """Whether what is sent there stays on this machine; not where nobody can tell."""
    if _SOCKET.fullmatch(target):
        return True
    try:
        host = _address(target).host
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _target(part: object) -> str:
    """One target; empty where there is nothing, as behind a last comma."""
    if not isinstance(part, str):
        raise _refusal(f"expected text, got {part!r:.100}. {_FORM}.")
    target = part.strip()
    if target and not _SOCKET.fullmatch(target):
        _check(target)
    return target


def _check(target: str) -> None:
    url = _URL.match(target)
    if url is not None and not _RESOLVER.match(target):
        raise _refusal(f"{target!r} is a URL: leave out {url[0]!r}. {_FORM}, and give tls=Tls() where it speaks TLS.")
    try:
        port = _address(target).port
    except ValueError:
        brackets = ", and IPv6 in brackets: [::1]:8001" if target.count(":") > 1 else ""
        raise _refusal(f"{target!r} is no address. {_FORM}{brackets}.") from None
    if port == 0:
        raise _refusal(f"{target!r} has port 0, where nobody listens. Give the port that the server says it took.")


def _address(target: str) -> Address:
    """Raises ValueError where there is none."""
    return Address.parse(_RESOLVER.sub("", target, count=1))


def _refusal(description: str) -> InvalidInput:
    return InvalidInput([Violation("address", description)])
