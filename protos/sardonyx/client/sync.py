"""The blocking client."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from sardonyx.client import calls, wire
from sardonyx.client.cache import InterfaceCache
from sardonyx.client.data import columns_of
from sardonyx.client.outcomes import OutcomeReport, batches, check
from sardonyx.client.retry import Retry
from sardonyx.errors import InvalidInput, SardonyxError
from sardonyx.oip import messages as oip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from google.protobuf.message import Message

    from sardonyx.client.answer import Answer, ModelInfo
    from sardonyx.client.calls import Method
    from sardonyx.client.outcomes import Value
    from sardonyx.prediction_id import PredictionId

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")


class _Caller:
    """A connection that makes unary calls, and makes them again where that is safe."""

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._channel: grpc.Channel | None = None

    def close(self) -> None:
        """Close the connection; safe to repeat."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _call(
        self,
        method: Method[Request, Response],
        request: Request,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> Response:
        retry = Retry(self._timeout_s if timeout_s is None else timeout_s)
        if self._channel is None:
            self._channel = grpc.insecure_channel(self._address, options=calls.OPTIONS)
        call = self._channel.unary_unary(method.path, method.write, method.read)
        while True:
            try:
                return call(request, timeout=retry.left_s, metadata=tuple(metadata) if metadata else None)
            except grpc.RpcError as raised:
                error = calls.error_of(raised, retry.timeout_s)
            time.sleep(retry.wait_s(error))


class Client(_Caller):
    """Asks a sardonyx-server, or any server of the Open Inference Protocol v2, for predictions.

    Connects at the first call. May be used by several threads.

    Args:
        address: ``host:port``.
        timeout_s: how long a call may take in all, its repetitions included.
    """

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        super().__init__(address, timeout_s=timeout_s)
        self._cache = InterfaceCache()

    def predict(
        self,
        model: str,
        data: Any,
        *,
        version: str | int | None = None,
        prediction_id: str | None = None,
        timeout_s: float | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
    ) -> Answer:
        """Predict some rows.

        Args:
            model: the model's name.
            data: DataFrame; list of dicts; dict of columns or of scalars (one row); array for models without columns.
            version: None: what is live. ``3``: exactly version 3. ``"v2"``: what is live for interface 2.
            prediction_id: the request's id, which outcomes are reported under; by default, a random one.
            timeout_s: how long this call may take; by default, as the client.
            metadata: gRPC metadata, such as a traceparent.

        Returns:
            The answer, with the version that gave it.

        Raises:
            InvalidInput: the data does not fit the model's interface.
            NotFound: there is no such model, version or route.
            Unavailable, Overloaded: the server could not take the call, however often it was repeated.
            DeadlineExceeded: there was no answer in time.
            SardonyxError: any other failure.
        """
        selector = wire.selector(version)
        request_id = calls.request_id(prediction_id)
        # One time for all of it: a first call asks for the interface too.
        retry = Retry(self._timeout_s if timeout_s is None else timeout_s)
        known = self._cache.get(model, selector)
        try:
            info = known or self.describe(model, version=selector, timeout_s=retry.left_s)
            return self._predict(info, selector, data, request_id, retry.left_s, metadata)
        except InvalidInput:
            if known is None:
                raise
        # Refused by an interface that was learned some time ago: another generation may be live by now.
        info = self.describe(model, version=selector, timeout_s=retry.left_s)
        return self._predict(info, selector, data, request_id, retry.left_s, metadata)

    def describe(self, model: str, *, version: str | int | None = None, timeout_s: float | None = None) -> ModelInfo:
        """The interface of the version that a call would reach; raises as ``predict`` does."""
        request = oip.ModelMetadataRequest(name=model, version=wire.selector(version))
        info = wire.read_metadata(self._call(calls.MODEL_METADATA, request, timeout_s))
        self._cache.put(model, wire.selector(version), info)
        return info

    def ready(
        self, model: str | None = None, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> bool:
        """Whether the server is ready, or one model in it; False where it cannot be reached."""
        try:
            if model is None:
                return self._call(calls.SERVER_READY, oip.ServerReadyRequest(), timeout_s).ready
            request = oip.ModelReadyRequest(name=model, version=wire.selector(version))
            return self._call(calls.MODEL_READY, request, timeout_s).ready
        except SardonyxError:
            return False

    def _predict(
        self,
        info: ModelInfo,
        selector: str,
        data: Any,
        request_id: str,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]] | None,
    ) -> Answer:
        request = wire.infer_request(info, selector, columns_of(data, info), request_id)
        return wire.read_answer(self._call(calls.MODEL_INFER, request, timeout_s, metadata), info)

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()


class Outcomes(_Caller):
    """Reports to sardonyx-monitor what really happened.

    Args:
        address: ``host:port`` of the monitor's OTLP port.
        timeout_s: how long a call may take in all, its repetitions included.
    """

    def report(
        self,
        prediction_id: str | PredictionId,
        value: Value,
        *,
        row: int | None = None,
        observed_at: datetime | None = None,
        source: str = "",
        revision: int = 0,
    ) -> None:
        """Report one outcome; it is durable when this returns. See OutcomeReport for the arguments.

        Args:
            prediction_id: the request's id, or an entry of ``Answer.prediction_ids``.
            value: what turned out to be true.
            row: the row within the request, where the id does not say it.
            observed_at: when it became known.
            source: who says so.
            revision: raise it to correct an earlier report.

        Raises:
            InvalidInput: the monitor does not take it; the message says why.
            SardonyxError: the monitor could not be reached.
        """
        self.report_many([OutcomeReport.of(prediction_id, row, value, observed_at, source, revision)])

    def report_many(
        self, reports: Iterable[OutcomeReport | tuple[str | PredictionId, Value]], *, timeout_s: float | None = None
    ) -> int:
        """Report many outcomes, in as few calls as possible; how many are stored, now or before.

        Raises:
            InvalidInput: some were not taken, and are listed; the others of their call and of those before are stored.
            SardonyxError: the monitor could not be reached.
        """
        return sum(
            check(self._call(calls.REPORT_OUTCOMES, batch, timeout_s), batch.outcomes) for batch in batches(reports)
        )

    def __enter__(self) -> Outcomes:
        """The reporter itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()
