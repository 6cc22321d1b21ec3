"""Why there was no answer from an address, in words for people: gRPC names causes in words of its own, and no cures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sardonyx.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx.client.security import Tls


class Unreachable(Unavailable):
    """There is no connection to a server, or none any more.

    Attributes:
        address: where the call went.
        details: what gRPC says of it.
        ended: whether there was a connection, so that the call may have reached a server.
    """

    def __init__(self, message: str, address: str, details: str, *, ended: bool) -> None:
        self.address = address
        self.details = details
        self.ended = ended
        super().__init__(message)


#: How gRPC's texts begin where there was no connection.
_NEVER: Final = re.compile(
    "failed to connect to all addresses|errors resolving|DNS resolution failed|empty address list"
)
#: How they say that there is none any more. Other texts are a server's own.
_CUT_OFF: Final = re.compile("Socket closed|Stream removed|Cancelling all calls|Connection reset|Broken pipe|GOAWAY")
#: Whoever listens ended the connection while it was made.
_TURNED_AWAY: Final = re.compile(r"Socket closed|Connection reset|Broken pipe|ALERT\w*_(CERT|CA)")

_PLAIN_TEXT: Final = (
    "what listens there does not speak TLS. Leave tls out, or have the server started with --tls-cert and --tls-key."
)
_EXPIRED: Final = "its certificate has expired. Have it renewed, and check this machine's clock."
_NOT_YET: Final = "its certificate is not valid yet. Check the clocks of this machine and of its issuer."
_STRANGER: Final = (
    "its certificate comes from no authority that this client trusts. Give the certificate of the authority that issued"
    " it: tls=Tls(ca='ca.pem')."
)
_OTHER_NAMES: Final = (
    "its certificate is for other names. Call it by a name or an address that its certificate has, or have one issued"
    " for what stands here."
)
_UNUSABLE: Final = (
    "what tls holds cannot be used. Each part is to be PEM with whole certificates, and the key is to be the"
    " certificate's own."
)
_NOBODY: Final = "nothing listens there. Check that the server runs, and its host and port."
_NOBODY_LAST: Final = (
    "nothing listens at {last}, the last of its addresses to be tried. Check that the server runs, and its host and"
    " port. What the others said gRPC keeps to itself: call one by its number, such as 127.0.0.1:{port}, to hear it."
)
_NO_SOCKET: Final = "there is no such socket. Check the path, and that the server runs."
_NO_HOST: Final = "its host is not found. Check how it is written, and this machine's name servers."
_NO_GRPC: Final = "what listens there is no gRPC server. Check the port: pages and metrics have ports of their own."
_NO_HTTP2: Final = "what listens there is no gRPC server, or speaks TLS. Check the port, or give tls=Tls(ca='ca.pem')."
_SILENT: Final = "nothing comes back from there. Check host and port, and firewalls and networks on the way."

#: Of the addresses that a name stands for, the one that gRPC's text is about.
_LAST: Final = re.compile(r"last error: \w+: ipv[46]:(\S+): ")

#: The first that is found in gRPC's text counts.
_CAUSES: Final = tuple(
    (re.compile(words), cause)
    for words, cause in (
        ("WRONG_VERSION_NUMBER", _PLAIN_TEXT),
        ("certificate has expired", _EXPIRED),
        ("not yet valid", _NOT_YET),
        ("CERTIFICATE_VERIFY_FAILED", _STRANGER),
        ("Hostname Verification|not in peer certificate", _OTHER_NAMES),
        ("security handshaker|empty address list", _UNUSABLE),
        ("[Cc]onnection refused", _NOBODY),
        ("No such file", _NO_SOCKET),
        ("resolving|resolution", _NO_HOST),
        ("http1|HTTP/1", _NO_GRPC),
        ("HTTP/2|SETTINGS frame as", _NO_HTTP2),
        ("timed out|[Tt]imeout|handshaker shutdown|[Nn]o route|unreachable", _SILENT),
    )
)


def explained(text: str, address: str, tls: Tls | None, silent: Sequence[str]) -> Unreachable | None:
    """The error for gRPC's text on a call that nobody answered; None where the text is a server's own.

    Args:
        text: gRPC's.
        address: where the call went.
        tls: how the client speaks TLS; None: it does not.
        silent: all addresses of the client that do not answer.
    """
    ended = _NEVER.search(text) is None
    if not ended:
        cause = f"{address} cannot be reached: {_cause(text, address, tls)}"
    elif _CUT_OFF.search(text):
        cause = (
            f"The connection to {address} ended before there was an answer. The server has gone away or restarts: try"
            " again, and look into its log where this happens often."
        )
    else:
        return None
    others = [each for each in silent if each != address]
    also = f" Nor is there an answer from {', '.join(others)}." if others else ""
    return Unreachable(f"{cause}{also}", address, text, ended=ended)


def _cause(text: str, address: str, tls: Tls | None) -> str:
    if _TURNED_AWAY.search(text):
        return f"it closes connections while they are made. {_turned_away(tls)}"
    for words, cause in _CAUSES:
        if words.search(text):
            return _nobody(text, address) if cause is _NOBODY else cause
    return f"{text.rpartition('last error: ')[2].rstrip('. ')}."


def _nobody(text: str, address: str) -> str:
    """Where nothing listens. A name such as localhost stands for several addresses, and another may be the server's."""
    last = _LAST.search(text)
    where = unquote(last[1]) if last else address
    return _NOBODY if where == address else _NOBODY_LAST.format(last=where, port=where.rpartition(":")[2])


def _turned_away(tls: Tls | None) -> str:
    if tls is None:
        return "It probably speaks TLS: then give tls=Tls(ca='ca.pem'). Otherwise check the port."
    if tls.cert is None:
        return "It probably asks for this client's certificate: give tls=Tls(ca='ca.pem', cert='me.pem', key='me.key')."
    return (
        "It probably does not accept the certificate in tls: it may have expired, or come from an authority that the"
        " server's --tls-client-ca does not have."
    )
