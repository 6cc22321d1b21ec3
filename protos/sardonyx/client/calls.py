"""The calls that both transports make: paths, messages, errors."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar

import grpc

from sardonyx import status
from sardonyx.client.retry import late
from sardonyx.errors import InvalidInput, Violation
from sardonyx.monitor.v1 import outcome_service_pb2 as outcomes_pb
from sardonyx.oip import messages as oip
from sardonyx.prediction_id import ID_LENGTH_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from sardonyx.errors import SardonyxError

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")

#: gRPC's default of 4 MiB is about 17,000 rows of 30 doubles.
OPTIONS: Final = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A server that went away is noticed although nothing is sent.
    ("grpc.keepalive_time_ms", 30_000),
)


class Method(NamedTuple, Generic[Request, Response]):
    """A unary call: its path, and how its messages are written and read."""

    path: str
    write: Callable[[Request], bytes]
    read: Callable[[bytes], Response]


def _method(service: str, name: str, request: type[Any], response: type[Any]) -> Method[Any, Any]:
    return Method(f"/{service}/{name}", request.SerializeToString, response.FromString)


MODEL_INFER: Final[Method[oip.ModelInferRequest, oip.ModelInferResponse]] = _method(
    oip.SERVICE, "ModelInfer", oip.ModelInferRequest, oip.ModelInferResponse
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


def error_of(error: grpc.RpcError, timeout_s: float) -> SardonyxError:
    """The error that a caller gets for what gRPC raised."""
    code, message = error.code(), error.details() or ""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED and not _has_details(error):
        return late(timeout_s)
    return status.from_rpc(code, message, error.trailing_metadata() or ())


def request_id(prediction_id: str | None) -> str:
    """The caller's id, or a new one: made here, so that a repeated call keeps it.

    Raises:
        InvalidInput: it is no text, or too long to be kept.
    """
    if prediction_id is None:
        return uuid.uuid4().hex
    if not isinstance(prediction_id, str) or not 0 < len(prediction_id) <= ID_LENGTH_MAX:
        expected = f"expected text of 1 to {ID_LENGTH_MAX} characters, got {prediction_id!r:.100}."
        raise InvalidInput([Violation("prediction_id", expected)])
    return prediction_id


def _has_details(error: grpc.RpcError) -> bool:
    return any(entry.key == status.DETAILS_KEY for entry in error.trailing_metadata() or ())
