"""The calls that both transports make: paths, messages, errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import grpc

from sardonyx import status
from sardonyx.client.arguments import check_kind, pairs
from sardonyx.client.retry import late
from sardonyx.errors import AccessDenied, InvalidInput, SardonyxError, ServerDraining, Unavailable, Violation
from sardonyx.monitor.v1 import outcome_service_pb2 as outcomes_pb
from sardonyx.oip import messages as oip
from sardonyx.prediction_id import ID_LENGTH_MAX, RandomIds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    #: Metadata as callers give it.
    GivenMetadata = Mapping[str, str | bytes] | Sequence[tuple[str, str | bytes]]

#: How gRPC refuses a message by its size, in C and in Go, with the code of a server that is short of something: but
#: such a message will not become smaller by waiting.
_TOO_LARGE: Final = "larger than max"
_TOO_LONG: Final = "metadata size exceeds"
#: Whose address is which.
_WHERE: Final = "Ask sardonyx-server for predictions, and report outcomes to sardonyx-monitor: check the address."

_RANDOM_IDS: Final = RandomIds()

#: What a value of metadata may be.
_VALUES: Final = "text or bytes, and bytes alone under a key that ends in -bin"
#: What a key of metadata may be.
_KEY: Final = re.compile(r"[0-9a-z_.-]+")

Request = TypeVar("Request")
Response = TypeVar("Response")


class Method(NamedTuple, Generic[Request, Response]):
    """A unary call: its path, and how its messages are written (None: they are bytes) and read."""

    path: str
    write: Callable[[Request], bytes] | None
    read: Callable[[bytes], Response]


def _method(service: str, name: str, request: type[Any], response: type[Any]) -> Method[Any, Any]:
    return Method(f"/{service}/{name}", request.SerializeToString, response.FromString)


MODEL_INFER: Final[Method[bytes, oip.ModelInferResponse]] = Method(
    f"/{oip.SERVICE}/ModelInfer", None, oip.ModelInferResponse.FromString
)
MODEL_METADATA: Final[Method[oip.ModelMetadataRequest, oip.ModelMetadataResponse]] = _method(
    oip.SERVICE, "ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse
)
MODEL_READY: Final[Method[oip.ModelReadyRequest, oip.ModelReadyResponse]] = _method(
    oip.SERVICE, "ModelReady", oip.ModelReadyRequest, oip.ModelReadyResponse
)
SERVER_READY: Final[Method[oip.ServerReadyRequest, oip.ServerReadyResponse]] = _method(
    oip.SERVICE, "ServerReady", oip.ServerReadyRequest, oip.ServerReadyResponse
)
REPORT_OUTCOMES: Final[Method[outcomes_pb.ReportOutcomesRequest, outcomes_pb.ReportOutcomesResponse]] = _method(
    outcomes_pb.DESCRIPTOR.services_by_name["OutcomeService"].full_name,
    "ReportOutcomes",
    outcomes_pb.ReportOutcomesRequest,
    outcomes_pb.ReportOutcomesResponse,
)


def error_of(error: grpc.RpcError, timeout_s: float, address: str, silent: Sequence[str]) -> SardonyxError:
    """The error that a caller gets for what gRPC raised.

    Args:
        error: gRPC's.
        timeout_s: how long the caller waited.
        address: where the call went.
        silent: addresses that have not answered yet.
    """
    code, message, trailers = error.code(), error.details() or "", error.trailing_metadata() or ()
    if not status.has_details(trailers):
        match code:
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return late(timeout_s, silent)
            case grpc.StatusCode.RESOURCE_EXHAUSTED if _TOO_LARGE in message:
                return InvalidInput([Violation("request", f"{message}. Send fewer rows at a time.")])
            case grpc.StatusCode.RESOURCE_EXHAUSTED if _TOO_LONG in message:
                return InvalidInput([Violation("metadata", f"{message}. Send less of it.")])
            case grpc.StatusCode.UNIMPLEMENTED:
                return SardonyxError(f"{address} does not take this call: {message.rstrip('.!')}. {_WHERE}")
    return status.from_rpc(code, message, trailers)


def metadata_request(model: str, selector: str) -> oip.ModelMetadataRequest:
    """Asks for a model's interface.

    Raises:
        InvalidInput: the model's name or the version is no text that can travel.
    """
    return oip.ModelMetadataRequest(name=_checked_model(model), version=checked_text("version", selector))


def ready_request(model: str, selector: str) -> oip.ModelReadyRequest:
    """Asks whether a model is ready; raises as ``metadata_request`` does."""
    return oip.ModelReadyRequest(name=_checked_model(model), version=checked_text("version", selector))


def unready(error: SardonyxError) -> bool:
    """False, which is what an error says of whether something is ready.

    Raises:
        InvalidInput, AccessDenied: the error itself: it is no matter of waiting.
    """
    if isinstance(error, InvalidInput | AccessDenied):
        raise error
    return False


def unreachable(raised: grpc.RpcError, error: SardonyxError) -> bool:
    """Whether nobody answered, or somebody who is going away: the next call has better chances elsewhere."""
    if isinstance(error, ServerDraining):
        return True
    return isinstance(error, Unavailable) and not status.has_details(raised.trailing_metadata() or ())


def request_id(prediction_id: str | None) -> str:
    """The caller's id, or a new one: made here, so that a repeated call keeps it.

    Raises:
        InvalidInput: it is no text, or too long to be kept.
    """
    if prediction_id is None:
        return _RANDOM_IDS.next()
    if not isinstance(prediction_id, str) or not 0 < len(prediction_id) <= ID_LENGTH_MAX:
        expected = f"expected text of 1 to {ID_LENGTH_MAX} characters, got {prediction_id!r:.100}."
        raise InvalidInput([Violation("prediction_id", expected)])
    return checked_text("prediction_id", prediction_id)


def checked_metadata(metadata: GivenMetadata) -> tuple[tuple[str, str | bytes], ...]:
    """Metadata that gRPC sends.

    Raises:
        InvalidInput: it is of another form, or a key or a value has characters that HTTP/2 does not carry.
    """
    entries = tuple(pairs("metadata", metadata))
    for key, value in entries:
        if not (isinstance(key, str) and _KEY.fullmatch(key)):
            raise InvalidInput([Violation("metadata", f"{key!r:.100} is no key. Write it in a-z, 0-9 and _-.")])
        if not isinstance(value, bytes if key.endswith("-bin") else str | bytes):
            raise InvalidInput([Violation(f"metadata[{key}]", f"expected {_VALUES}, got {type(value).__name__}.")])
        plain = value if isinstance(value, str) else value.decode("latin-1")
        if not key.endswith("-bin") and not (plain.isascii() and plain.isprintable()):
            unsendable = "its value is no printable ASCII. Encode it, or give bytes under a key that ends in -bin."
            raise InvalidInput([Violation(f"metadata[{key}]", unsendable)])
    return entries


def checked_text(field: str, text: str) -> str:
    """Text that can travel.

    Raises:
        InvalidInput: it is no text, or has half a character.
    """
    if isinstance(text, str):
        try:
            # ASCII, which most is, is known at once.
            return text if text.isascii() else text.encode().decode()
        except UnicodeEncodeError:
            pass
    raise InvalidInput([Violation(field, f"{text!r:.100} is no text that UTF-8 can hold. Give another.")])


def _checked_model(model: str) -> str:
    check_kind("model", model, str, "the model's name as text")
    if not model:
        raise InvalidInput([Violation("model", "it is empty. Give the model's name.")])
    return checked_text("model", model)
