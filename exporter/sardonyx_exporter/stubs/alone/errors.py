"""The errors of calls: each is called as its gRPC status code, and is a ``grpc.RpcError`` too.

::

    CallFailed                  any call without an answer
    ├── InvalidArgument         the request does not fit the model, or is too large; ``violations`` says which field,
    │                           and which row
    ├── NotFound
    ├── Unimplemented           the server has no version of this interface
    ├── Unavailable             the server cannot be reached, or not now: try again after ``retry_after_s``
    ├── ResourceExhausted       the server has too much to do: try again after ``retry_after_s``
    ├── DeadlineExceeded        there was no answer within ``timeout_s``
    ├── Unauthenticated         the server asks who calls
    ├── PermissionDenied        the caller is known and may not do this
    ├── FailedPrecondition
    └── Internal                a bug in the server: the error id in the message leads to its log
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc import aio

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "CallFailed",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Violation",
]

#: Where gRPC carries a google.rpc.Status.
_DETAILS_KEY: Final = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request.

    Attributes:
        field: where, such as ``features.age`` or ``columns.age``.
        description: what was expected, what came, and what to do.
        row: the row of a batch, from 0; None where no single row is at fault.
    """

    field: str
    description: str
    row: int | None = None

    def __str__(self) -> str:
        """One line for a person."""
        place = self.field if self.row is None else f"{self.field}, row {self.row}"
        return f"{place}: {self.description}"


class CallFailed(aio.AioRpcError):
    """A call without an answer. Clients of asyncio and of threads raise the same.

    ``code()``, ``details()`` and ``trailing_metadata()`` are gRPC's own.

    Attributes:
        message: what was wrong and what to do, for a person.
        violations: all that is wrong with the request, where that is known.
        retry_after_s: how long the server asks to wait before another attempt; None where it does not.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        details: str | None = None,
        trailing_metadata: aio.Metadata | None = None,
    ) -> None:
        super().__init__(code, aio.Metadata(), trailing_metadata or aio.Metadata(), details or message, message)
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """The message."""
        return self.message

    def __repr__(self) -> str:
        """The kind and the message."""
        return f"{type(self).__name__}({self.message!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is copied, and sent to another process."""
        rest = (self.violations, self.retry_after_s, self.details(), self.trailing_metadata())
        return type(self), (self.code(), self.message, *rest)


class InvalidArgument(CallFailed):
    """The request does not fit the model; to send it again cannot help. ``violations`` says where."""

    @classmethod
    def of(cls, violations: Sequence[Violation]) -> InvalidArgument:
        """What is seen before anything is sent."""
        return cls(grpc.StatusCode.INVALID_ARGUMENT, " ".join(map(str, violations)), violations)


class NotFound(CallFailed):
    """What was asked for does not exist."""


class Unimplemented(CallFailed):
    """The server has no version of this interface."""


class Unavailable(CallFailed):
    """The server cannot be reached, or not now: the same call may succeed later."""


class ResourceExhausted(CallFailed):
    """The server has too much to do: the same call may succeed later."""


class DeadlineExceeded(CallFailed):
    """There was no answer in time."""


class Unauthenticated(CallFailed):
    """The server asks who calls, and was not told."""


class PermissionDenied(CallFailed):
    """The caller is known and may not do this."""


class FailedPrecondition(CallFailed):
    """A rule forbids it."""


class Internal(CallFailed):
    """A bug in the server."""


_KINDS: Final[dict[grpc.StatusCode, type[CallFailed]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.INTERNAL: Internal,
}


def explained(error: grpc.RpcError, address: str, service: str, timeout_s: float | None) -> CallFailed:
    """The error for what gRPC raised.

    Args:
        error: of either of gRPC's APIs.
        address: where the call went.
        service: which was called.
        timeout_s: how long it was given.
    """
    code, details = error.code(), error.details() or ""
    trailing: Sequence[Any] = tuple(error.trailing_metadata() or ())
    message = details
    violations, retry_after_s = _read(trailing)
    # gRPC's own words, and not the server's.
    is_grpcs = not any(key == _DETAILS_KEY for key, _ in trailing)
    if code is grpc.StatusCode.UNAVAILABLE:
        message = _unavailable(details, address)
    elif is_grpcs and code is grpc.StatusCode.RESOURCE_EXHAUSTED and (violation := _too_large(details)):
        code, message, violations = grpc.StatusCode.INVALID_ARGUMENT, str(violation), [violation]
    elif is_grpcs:
        message = _in_words(code, details, address, service, timeout_s)
    kind = _KINDS.get(code, CallFailed)
    return kind(code, message, violations, retry_after_s, details, aio.Metadata(*trailing))


def closed() -> CallFailed:
    """What a call gets that the client was closed under."""
    cure = "Keep it open until all calls are answered, or make another"
    return CallFailed(grpc.StatusCode.CANCELLED, f"This client was closed before there was an answer. {cure}.")


# ------------------------------------------------------------------------------------------------------------ in words

_NEVER: Final = re.compile(
    "failed to connect to all addresses|errors resolving|DNS resolution failed|empty address list"
)
_CUT_OFF: Final = re.compile("Socket closed|Stream removed|Cancelling all calls|Connection reset|Broken pipe|GOAWAY")
#: The first that is found in gRPC's text counts.
_CAUSES: Final = {
    "WRONG_VERSION_NUMBER": "what listens there does not speak TLS. Leave credentials out, or check the port.",
    "certificate has expired": "its certificate has expired. Have it renewed, and check this machine's clock.",
    "CERTIFICATE_VERIFY_FAILED": (
        "its certificate comes from no authority that the credentials name. Give the authority's certificate to"
        " grpc.ssl_channel_credentials."
    ),
    "Hostname Verification|not in peer certificate": (
        "its certificate is for other names. Call it by a name or an address that its certificate has."
    ),
    r"Socket closed|[Cc]onnection reset|Broken pipe|ALERT\w*_(CERT|CA)": (
        "it closes connections while they are made. It may speak TLS, or ask for a certificate of yours: then give"
        " credentials=grpc.ssl_channel_credentials(…). Otherwise check the port."
    ),
    "security handshaker|empty address list": (
        "the credentials cannot be used. Each part is to be PEM with whole certificates."
    ),
    "[Cc]onnection refused": (
        "nothing listens there. Check that the server runs, and its host and port. Of a name, such as localhost, this"
        " is about one address: call a number, such as 127.0.0.1, to hear of another."
    ),
    "No such file": "there is no such socket. Check the path, and that the server runs.",
    "resolving|resolution": "its host is not found. Check how it is written, and this machine's name servers.",
    "http1|HTTP/1": "what listens there is no gRPC server. Check the port.",
    "HTTP/2|SETTINGS frame as": (
        "what listens there is no gRPC server, or speaks TLS. Check the port, or give"
        " credentials=grpc.ssl_channel_credentials(…)."
    ),
    "timed out|[Tt]imeout|handshaker shutdown|[Nn]o route|unreachable": (
        "nothing comes back from there. Check host and port, and firewalls and networks on the way."
    ),
}

#: By gRPC's words for what it refuses by its size: where, and what to do. Answers are refused by the own channel.
_SIZES: Final = (
    (
        "CLIENT: Received message larger than max",
        "response",
        "Ask for fewer rows at a time, or give the channel grpc.max_receive_message_length.",
    ),
    ("larger than max", "request", "Send fewer rows at a time."),
    ("metadata size exceeds", "metadata", "Send less of it."),
)


def _unavailable(details: str, address: str) -> str:
    if _NEVER.search(details):
        last = f"{details.rpartition('last error: ')[2].rstrip('. ')}."
        cause = next((cause for words, cause in _CAUSES.items() if re.search(words, details)), last)
        return f"{address} cannot be reached: {cause}"
    if _CUT_OFF.search(details):
        return f"The connection to {address} ended before there was an answer. The server may restart: try again."
    return details


def _too_large(details: str) -> Violation | None:
    """What gRPC refused by its size: it does so with the code of a busy server, but waiting makes nothing smaller."""
    for words, field, cure in _SIZES:
        if words in details:
            return Violation(field, f"{details.rstrip('. ')}. {cure}")
    return None


def _in_words(code: grpc.StatusCode, details: str, address: str, service: str, timeout_s: float | None) -> str:
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"{address} does not serve {service}: no version of it is live there, or the port is of another program."
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout_s is not None:
        return f"There was no answer from {address} within {timeout_s:g} s. Check it, or give it longer with timeout_s."
    return details or f"{address} answered {code.name} and said nothing more."


# --------------------------------------------------------------------------------------------------------- the details


def _read(trailing: Iterable[tuple[str, Any]]) -> tuple[list[Violation], float | None]:
    """What a google.rpc.Status among the trailers says; it is read here, so that the package needs no other for it."""
    violations: list[Violation] = []
    retry_after_s = None
    try:
        for packed in (each for key, value in trailing if key == _DETAILS_KEY for each in _parts(value, 3)):
            kind, data = b"".join(_parts(packed, 1)), b"".join(_parts(packed, 2))
            if kind.endswith(b"/google.rpc.BadRequest"):
                violations += map(_violation, _parts(data, 1))
            elif kind.endswith(b"/google.rpc.RetryInfo"):
                delay = dict(_fields(b"".join(_parts(data, 1))))
                retry_after_s = float(delay.get(1, 0)) + float(delay.get(2, 0)) / 1e9
    except (IndexError, OverflowError, TypeError, ValueError):
        # Not a status: the code and the message say enough.
        return [], None
    return violations, retry_after_s


def _violation(data: bytes) -> Violation:
    field, description = (b"".join(_parts(data, number)).decode(errors="replace") for number in (1, 2))
    name, mark, row = field.rpartition("#")
    return Violation(name, description, int(row)) if mark and row.isdecimal() else Violation(field, description)


def _parts(message: bytes, number: int) -> Iterator[bytes]:
    """The texts and messages of a field."""
    return (value for found, value in _fields(message) if found == number and isinstance(value, bytes))


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """A message's fields by their numbers, as protobuf writes them; raises ValueError or IndexError for other bytes."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 0:
            value, position = _varint(message, position)
            yield tag >> 3, value
        elif tag & 7 == 2:
            length, position = _varint(message, position)
            yield tag >> 3, message[position : position + length]
            position += length
        else:
            raise ValueError(f"no wire type of a status: {tag & 7}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
