"""How a client shows who it is, and makes sure of whom it talks to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from sardonyx.client.arguments import check_kind
from sardonyx.client.target import is_local
from sardonyx.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    Pem = bytes | str | PathLike[str]

#: The metadata key of a bearer token (RFC 6750).
AUTHORIZATION: Final = "authorization"
#: What RFC 6750 allows in a token.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
#: How each part of a PEM begins.
_BEGIN: Final = b"-----BEGIN "


@dataclass(frozen=True, slots=True)
class Tls:
    """Speak TLS. Each part is PEM itself, or the path of a file, which is read when the client connects.

    Attributes:
        ca: the authorities that a server's certificate may come from; None: those that gRPC ships with.
        cert: the client's own certificate chain, where the server asks for one.
        key: the private key of ``cert``.
    """

    ca: Pem | None = None
    cert: Pem | None = None
    key: Pem | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no PEM and no path, and half a pair.

        Raises:
            InvalidInput: a part is of another kind, or there is a certificate without its key, or a key without a
                certificate.
        """
        for name, pem in (("ca", self.ca), ("cert", self.cert), ("key", self.key)):
            check_kind(f"tls.{name}", pem, bytes | str | PathLike | None, "PEM, or the path of a PEM file")
        if (self.cert is None) is not (self.key is None):
            raise InvalidInput([Violation("tls", "a certificate and its key belong together. Give both, or neither.")])

    def credentials(self) -> grpc.ChannelCredentials:
        """For a gRPC channel.

        Raises:
            InvalidInput: a file cannot be read, or is no PEM.
        """
        ca, key, cert = (_read(name, pem) for name, pem in (("ca", self.ca), ("key", self.key), ("cert", self.cert)))
        return grpc.ssl_channel_credentials(ca, key, cert)


def authorization(
    token: str | None, addresses: Iterable[str], *, secure: bool, allow_insecure: bool
) -> tuple[tuple[str, str], ...]:
    """The metadata that every call carries.

    Args:
        token: the bearer token; None: there is none.
        addresses: where it will go.
        secure: whether it travels encrypted.
        allow_insecure: whether it may travel unencrypted beyond this machine.

    Raises:
        InvalidInput: it is no token, or anybody on its way could read it.
    """
    if token is None:
        return ()
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        shape = "a bearer token is text of letters, digits and -._~+/ alone, with = at its end. Look for a line break."
        raise InvalidInput([Violation("token", shape)])
    exposed = [] if secure or allow_insecure else [address for address in addresses if not is_local(address)]
    if exposed:
        risk = f"it would travel unencrypted to {', '.join(exposed)}, where anybody on the way can read it. Give tls,"
        raise InvalidInput([Violation("token", f"{risk} or allow_insecure_token=True where the network is trusted.")])
    return ((AUTHORIZATION, f"Bearer {token}"),)


def _read(name: str, pem: Pem | None) -> bytes | None:
    if pem is None:
        return None
    if isinstance(pem, str) and _BEGIN.decode() in pem:
        pem = pem.encode()
    what = "what was given" if isinstance(pem, bytes) else repr(str(pem))
    try:
        data = pem if isinstance(pem, bytes) else Path(pem).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        unread = f"{what} cannot be read: {reason}. Give the path of a PEM file."
        raise InvalidInput([Violation(f"tls.{name}", unread)]) from None
    if _BEGIN not in data:
        raise InvalidInput([Violation(f"tls.{name}", f"{what} is no PEM: it has no line of -----BEGIN.")])
    return data
