"""The blocking client."""

from __future__ import annotations

import time
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import grpc

from sardonyx.client import calls, wire
from sardonyx.client.answer import Answer
from sardonyx.client.cache import ELSEWHERE_S, InterfaceCache
from sardonyx.client.caller import Caller, Prediction, Question, Request, Response, closed
from sardonyx.client.outcomes import OutcomeReport, batches, check
from sardonyx.client.retry import Retry
from sardonyx.errors import InvalidInput, NotFound, SardonyxError
from sardonyx.oip import messages as oip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from sardonyx.client.answer import ModelInfo, Reply
    from sardonyx.client.balancer import Link
    from sardonyx.client.caller import Metadata
    from sardonyx.client.calls import GivenMetadata, Method
    from sardonyx.client.outcomes import Value
    from sardonyx.client.request import Writer
    from sardonyx.client.retry import Deadline
    from sardonyx.client.security import Tls
    from sardonyx.prediction_id import PredictionId


class _SyncCaller(Caller[grpc.Channel]):
    """Makes unary calls, and makes them again where that is safe."""

    def close(self) -> None:
        """Close the connections, for good; safe to repeat. Calls on their way end with Unavailable."""
        with self._opening:
            self._closed = True
        while self._channels:
            self._channels.popitem()[1].close()

    def _open(self, address: str, options: Sequence[tuple[str, Any]], tls: Tls | None) -> grpc.Channel:
        if tls is None:
            return grpc.insecure_channel(address, options=options)
        return grpc.secure_channel(address, tls.credentials(), options=options)

    def _call(
        self,
        method: Method[Request, Response],
        request: Request,
        deadline: Deadline,
        metadata: Metadata | None = None,
    ) -> Response:
        question = Question(method, request, deadline, self._metadata(metadata))
        retry = Retry(deadline, self._budget)
        while True:
            try:
                return self._ask(question)
            except SardonyxError as error:
                wait_s = self._wait_s(retry, question, error)
            except ValueError:
                if not self._closed:
                    raise
                # How gRPC says that the channel was closed, by another thread, before the call was on its way.
                raise closed() from None
            time.sleep(wait_s)

    def _ask(self, question: Question[Request, Response]) -> Response:
        if self._hedge_after_s is not None:
            return self._ask_twice(question, self._hedge_after_s)
        link = self._balancer.pick(question.tried)
        try:
            response = self._stub(link, question.method)(question.request, **question.options)
        except grpc.RpcError as raised:
            raise self._error(question, link, raised) from None
        self._balancer.answered(link)
        return response

    def _ask_twice(self, question: Question[Request, Response], after_s: float) -> Response:
        """Ask, and ask elsewhere where there is no answer yet; the first answer counts."""
        ended: SimpleQueue[Any] = SimpleQueue()
        asked: dict[Any, Link] = {}
        self._begin(question, self._balancer.pick(question.tried), asked, ended)
        try:
            call = self._first(question, asked, ended, after_s)
            while True:
                link = asked.pop(call)
                try:
                    response: Response = call.result()
                except grpc.RpcError as raised:
                    error = self._error(question, link, raised)
                else:
                    self._balancer.answered(link)
                    return response
                if not asked:
                    raise error
                call = ended.get()
        finally:
            for late in asked:
                late.cancel()

    def _first(
        self, question: Question[Any, Any], asked: dict[Any, Link], ended: SimpleQueue[Any], after_s: float
    ) -> Any:
        """The call that ends first."""
        try:
            return ended.get(timeout=after_s)
        except Empty:
            if self._budget.spend():
                (link,) = asked.values()
                self._begin(question, self._balancer.pick(question.tried, beside=link), asked, ended)
            return ended.get()

    def _begin(self, question: Question[Any, Any], link: Link, asked: dict[Any, Link], ended: SimpleQueue[Any]) -> None:
        call = self._stub(link, question.method).future(question.request, **question.options)
        asked[call] = link
        call.add_done_callback(ended.put)

    def _stub(self, link: Link, method: Method[Request, Response]) -> grpc.UnaryUnaryMultiCallable[Request, Response]:
        return self._channel(link).unary_unary(method.path, method.write, method.read)


class Client(_SyncCaller):
    """Asks sardonyx-servers, or any servers of the Open Inference Protocol v2, for predictions.

    Connects at the first call. May be used by several threads. ``__init__`` tells the arguments.
    """

    def predict(
        self,
        model: str,
        data: Any,
        *,
        version: str | int | None = None,
        prediction_id: str | None = None,
        timeout_s: float | None = None,
        metadata: GivenMetadata | None = None,
        routing_key: str | None = None,
    ) -> Answer:
        """Predict some rows.

        Args:
            model: the model's name.
            data: DataFrame; list of dicts; dict of columns or of scalars (one row); array for models without columns.
            version: None: what is live. ``3``: exactly version 3. ``"v2"``: what is live for interface 2.
            prediction_id: the request's id, which outcomes are reported under; by default, a random one.
            timeout_s: how long this call may take; by default, as the client.
            metadata: gRPC metadata, such as a traceparent: a dict, or pairs.
            routing_key: calls of equal keys meet the same version while a canary has a share of the calls, such as all
                calls of one customer; by default, each call is on its own.

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
        ask = Prediction(calls.request_id(prediction_id), self._deadline(timeout_s), routing_key, metadata)
        known = self._cache.get(model, selector)
        try:
            # One time for all of it: a first call asks for the interface too.
            writer = known or self._learn(model, selector, ask.deadline, ask.metadata)
            return self._predict(writer, data, ask)
        except InvalidInput:
            # Refused by an interface that was learned some time ago: another generation may be live by now.
            if known is None:
                raise
            learned = self._learn(model, selector, ask.deadline, ask.metadata)
            if learned is known:
                raise
        return self._predict(learned, data, ask)

    def describe(self, model: str, *, version: str | int | None = None, timeout_s: float | None = None) -> ModelInfo:
        """The interface of the version that a call would reach; raises as ``predict`` does."""
        return self._learn(model, wire.selector(version), self._deadline(timeout_s)).info

    def ready(
        self, model: str | None = None, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> bool:
        """Whether the server is ready, or one model in it; False where it cannot be reached.

        Raises:
            InvalidInput, AccessDenied: an argument is wrong, or the token: to wait would not help.
        """
        deadline = self._deadline(timeout_s)
        try:
            if model is None:
                return self._call(calls.SERVER_READY, oip.ServerReadyRequest(), deadline).ready
            request = calls.ready_request(model, wire.selector(version))
            return self._call(calls.MODEL_READY, request, deadline).ready
        except SardonyxError as error:
            return calls.unready(error)

    @cached_property
    def _cache(self) -> InterfaceCache:
        return InterfaceCache()

    def _learn(self, model: str, selector: str, deadline: Deadline, metadata: Metadata | None = None) -> Writer:
        request = calls.metadata_request(model, selector)
        response = self._call(calls.MODEL_METADATA, request, deadline, metadata)
        return self._cache.put(model, selector, wire.read_metadata(response))

    def _predict(self, writer: Writer, data: Any, ask: Prediction) -> Answer:
        request = writer.request([writer.part(data)], ask.id, ask.parameters)
        reply = self._infer(writer, request, ask.deadline, ask.metadata)
        return Answer(reply, ask.id, 0, reply.rows)

    def _infer(self, writer: Writer, request: bytes, deadline: Deadline, metadata: Metadata) -> Reply:
        """What a request is answered with, and the classes of the version that answered."""
        reply = wire.read_reply(self._call(calls.MODEL_INFER, request, deadline, metadata), writer.info)
        if reply.interface_major == writer.major:
            return reply
        # The request fits another generation too, which became the default since this one was learned.
        named = self._exactly(writer.info.name, str(reply.version), deadline, metadata)
        return reply._replace(classes=named.info.classes)

    def _exactly(self, model: str, version: str, deadline: Deadline, metadata: Metadata) -> Writer:
        """What is known of a version that has answered, or is to be learned of it while the caller waits."""
        while True:
            try:
                return self._cache.get(model, version) or self._learn(model, version, deadline, metadata)
            except NotFound:
                if deadline.left_s <= ELSEWHERE_S:
                    raise
                time.sleep(ELSEWHERE_S)

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()


class Outcomes(_SyncCaller):
    """Reports to sardonyx-monitor what really happened.

    The address is that of the monitor's OTLP port; ``__init__`` tells the arguments.
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
            check(self._call(calls.REPORT_OUTCOMES, batch, self._deadline(timeout_s)), batch.outcomes)
            for batch in batches(reports)
        )

    def __enter__(self) -> Outcomes:
        """The reporter itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()
