"""The one place where sardonyx's errors become gRPC statuses, and statuses become errors again.

Details follow google.rpc's error model (AIP-193): one ErrorInfo whose reason is the error's name in upper snake case
and whose domain is ``sardonyx``; BadRequest for InvalidInput; RetryInfo where trying again makes sense.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from sardonyx import errors

if TYPE_CHECKING:
    from google.protobuf import any_pb2
    from google.protobuf.message import Message

DOMAIN: Final = "sardonyx"
#: Where gRPC carries a google.rpc.Status (gRFC A1's rich error model).
DETAILS_KEY: Final = "grpc-status-details-bin"

CODES: Final[dict[type[errors.SardonyxError], grpc.StatusCode]] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.RuleBroken: grpc.StatusCode.FAILED_PRECONDITION,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}


#: Where a server says "later" and not when.
_RETRY_AFTER_S: Final = 1.0

# Trailers of more than 8 KiB may be refused on their way, and then the caller learns nothing of what was wrong. The
# message travels twice, once with up to three bytes for each of its own; details grow by a third in base64.
_MESSAGE_BYTES_MAX: Final = 1024
_TEXT_BYTES_MAX: Final = 240
_LIST_BYTES_MAX: Final = 1200

#: A field with the row that is at fault in it, as ``_bad_request`` writes it.
_FIELD_OF_ROW: Final = re.compile(r"(?P<field>.*)#(?P<row>[0-9]{1,18})", re.DOTALL)


class RpcStatus(NamedTuple):
    """What a gRPC handler aborts with: ``await context.abort(*status)``."""

    code: grpc.StatusCode
    message: str
    trailing_metadata: tuple[tuple[str, bytes], ...]


def to_rpc(error: errors.SardonyxError) -> RpcStatus:
    """The status that a server answers with.

    Raises:
        TypeError: the error is not one that crosses the wire; the caller answers with an InternalError instead.
    """
    code = code_of(error)
    message = _cut(error.message, _MESSAGE_BYTES_MAX)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in _details(error):
        status.details.add().Pack(detail)
    return RpcStatus(code, message, ((DETAILS_KEY, status.SerializeToString()),))


def code_of(error: errors.SardonyxError) -> grpc.StatusCode:
    """The status code of an error, by its nearest class in CODES."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    raise TypeError(f"{type(error).__name__} does not cross the wire. This is a bug.")


def crosses(error: errors.SardonyxError) -> bool:
    """Whether an error is an answer to a caller; what is none has no status."""
    return isinstance(error, tuple(CODES))


def from_rpc(code: grpc.StatusCode, message: str, trailing_metadata: Iterable[Any] = ()) -> errors.SardonyxError:
    """The error that a client raises for a status, of whatever server."""
    metadata = tuple(trailing_metadata)
    info, violations = _read_details(metadata)
    wait_s = retry_after_s(metadata)
    wait_s = _RETRY_AFTER_S if wait_s is None else wait_s
    make = _MAKERS.get(info.reason) if info.domain == DOMAIN else None
    try:
        error = make(dict(info.metadata), violations, wait_s) if make else _foreign(code, message, wait_s)
    except (KeyError, ValueError, RecursionError):
        # Another release, which names or writes its variables otherwise.
        error = _foreign(code, message, wait_s)
    # The server's own sentence, word for word: it may be of a later release than this client.
    error.args = (message,)
    return error


def _details(error: errors.SardonyxError) -> Iterable[Any]:
    yield error_details_pb2.ErrorInfo(reason=_reason(type(error)), domain=DOMAIN, metadata=_metadata(error))
    match error:
        case errors.InvalidInput(violations=violations):
            yield _bad_request(violations)
        case errors.Unavailable(retry_after_s=seconds) | errors.Overloaded(retry_after_s=seconds):
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromTimedelta(timedelta(seconds=seconds))
            yield retry
        case _:
            return


def _bad_request(violations: Sequence[errors.Violation]) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for position, violation in enumerate(violations):
        row = "" if violation.row is None else f"#{violation.row}"
        field = _cut(violation.field, _TEXT_BYTES_MAX) + row
        request.field_violations.add(field=field, description=_cut(violation.description, _TEXT_BYTES_MAX))
        if request.ByteSize() > _LIST_BYTES_MAX and position + 1 < len(violations):
            left = len(violations) - position - 1
            request.field_violations.add(field="request", description=f"{left} more. Mend these first.")
            break
    return request


def _cut(text: str, bytes_max: int) -> str:
    """The text's beginning, where all of it is too long to travel."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= bytes_max else encoded[:bytes_max].decode(errors="ignore") + " …"


def _listed(texts: Sequence[str]) -> str:
    """A list in JSON, as much of it as can travel."""
    kept: list[str] = []
    for text in texts:
        if len(json.dumps([*kept, text])) > _LIST_BYTES_MAX:
            break
        kept.append(text)
    return json.dumps(kept)


def _texts(written: str) -> list[str]:
    """A list that ``_listed`` wrote; raises ValueError where it is none."""
    texts = json.loads(written)
    if not isinstance(texts, list) or not all(isinstance(each, str) for each in texts):
        raise ValueError(written)
    return texts


def _reason(kind: type[errors.SardonyxError]) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()


def _metadata(error: errors.SardonyxError) -> dict[str, str]:
    """Every variable of the message, as AIP-193 asks: keys in lowerCamelCase."""
    match error:
        case errors.ModelNotFound(model=model, nearest=names):
            return {"model": _cut(model, _TEXT_BYTES_MAX), "nearest": _listed(names)}
        case errors.VersionNotFound(model=model, version=version, nearest=names):
            return {"model": model, "version": _cut(version, _TEXT_BYTES_MAX), "nearest": _listed(names)}
        case errors.RouteNotFound(model=model, route=route, nearest=names):
            return {"model": model, "route": _cut(route, _TEXT_BYTES_MAX), "nearest": _listed(names)}
        case errors.VersionNotReady(model=model, version=number, state=state):
            return {"model": model, "version": str(number), "state": state}
        case errors.RuleBroken(differences=differences):
            return {"differences": _listed(differences)}
        case errors.InternalError(error_id=error_id):
            return {"errorId": error_id}
        case _:
            return {}


_Maker = Callable[[dict[str, str], Sequence[errors.Violation], float], errors.SardonyxError]

_MAKERS: Final[dict[str, _Maker]] = {
    "INVALID_INPUT": lambda _info, violations, _retry: errors.InvalidInput(violations),
    "MODEL_NOT_FOUND": lambda info, _violations, _retry: errors.ModelNotFound(info["model"], _texts(info["nearest"])),
    "VERSION_NOT_FOUND": lambda info, _violations, _retry: errors.VersionNotFound(
        info["model"], info["version"], _texts(info["nearest"])
    ),
    "ROUTE_NOT_FOUND": lambda info, _violations, _retry: errors.RouteNotFound(
        info["model"], info["route"], _texts(info["nearest"])
    ),
    "INTERFACE_RETIRED": lambda info, _violations, _retry: errors.InterfaceRetired(
        info["model"], info["route"], _texts(info["nearest"])
    ),
    "VERSION_NOT_READY": lambda info, _violations, retry: errors.VersionNotReady(
        info["model"], int(info["version"]), info["state"], retry
    ),
    "SERVER_DRAINING": lambda _info, _violations, retry: errors.ServerDraining(retry),
    "UNAVAILABLE": lambda _info, _violations, retry: errors.Unavailable("", retry),
    "OVERLOADED": lambda _info, _violations, retry: errors.Overloaded("", retry),
    "DEADLINE_EXCEEDED": lambda _info, _violations, _retry: errors.DeadlineExceeded(),
    "UNAUTHENTICATED": lambda _info, _violations, _retry: errors.Unauthenticated(),
    "PERMISSION_DENIED": lambda _info, _violations, _retry: errors.PermissionDenied(),
    "RULE_BROKEN": lambda info, _violations, _retry: errors.RuleBroken("", _texts(info["differences"])),
    "INTERNAL_ERROR": lambda info, _violations, _retry: errors.InternalError(info["errorId"]),
}


def retry_after_s(trailing_metadata: Iterable[Any]) -> float | None:
    """How long a status asks to wait, in seconds, by its RetryInfo; None where it has none."""
    for packed in _packed_details(trailing_metadata):
        retry = error_details_pb2.RetryInfo()
        if _unpack(packed, retry):
            # A timedelta would not hold every delay that can be written.
            return retry.retry_delay.ToMicroseconds() / 1e6
    return None


def has_details(trailing_metadata: Iterable[Any]) -> bool:
    """Whether a server of ours decided on a status, rather than gRPC by itself."""
    return any(key == DETAILS_KEY for key, _ in trailing_metadata)


def _read_details(
    trailing_metadata: Iterable[Any],
) -> tuple[error_details_pb2.ErrorInfo, list[errors.Violation]]:
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in _packed_details(trailing_metadata):
        for detail in (info, request):
            # Fills the message whose type it is, and says False for the other.
            _unpack(packed, detail)
    return info, [_violation(violation) for violation in request.field_violations]


def _packed_details(trailing_metadata: Iterable[Any]) -> Sequence[any_pb2.Any]:
    for key, value in trailing_metadata:
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value).details
            except DecodeError:
                return ()
    return ()


def _unpack(packed: any_pb2.Any, detail: Message) -> bool:
    """Fill a message from a detail; False, and an empty message, where it is of another type or cannot be read."""
    try:
        return packed.Unpack(detail)
    except DecodeError:
        detail.Clear()
        return False


def _violation(violation: error_details_pb2.BadRequest.FieldViolation) -> errors.Violation:
    named = _FIELD_OF_ROW.fullmatch(violation.field)
    if named:
        return errors.Violation(named["field"], violation.description, int(named["row"]))
    return errors.Violation(violation.field, violation.description)


def _foreign(code: grpc.StatusCode, message: str, wait_s: float) -> errors.SardonyxError:
    """The error for a status of a server that is not sardonyx, or of gRPC itself."""
    match code:
        case grpc.StatusCode.INVALID_ARGUMENT | grpc.StatusCode.OUT_OF_RANGE:
            return errors.InvalidInput([errors.Violation("request", message)])
        case grpc.StatusCode.NOT_FOUND:
            return errors.NotFound(message)
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            # Nobody but the server cancels here: gRPC does so to calls that reach it while it closes.
            return errors.Unavailable(message, wait_s)
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return errors.Overloaded(message, wait_s)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return errors.DeadlineExceeded(message)
        case grpc.StatusCode.UNAUTHENTICATED:
            return errors.Unauthenticated(message)
        case grpc.StatusCode.PERMISSION_DENIED:
            return errors.PermissionDenied(message)
        case grpc.StatusCode.FAILED_PRECONDITION:
            return errors.RuleBroken(message)
        case _:
            return errors.SardonyxError(f"{code.name}: {message}")
