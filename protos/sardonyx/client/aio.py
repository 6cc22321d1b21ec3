"""The asyncio client: as ``sync``, with ``await``; and its predictions share requests."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING, Any

import grpc

from sardonyx.client import calls, wire
from sardonyx.client.answer import Answer
from sardonyx.client.cache import ELSEWHERE_S, InterfaceCache
from sardonyx.client.caller import Caller, Prediction, Question, Request, Response, closed
from sardonyx.client.coalescing import CALL_BYTES_MAX, CALL_ROWS_MAX, TIMEOUT_S_MIN, Coalescer
from sardonyx.client.outcomes import OutcomeReport, batches, check
from sardonyx.client.retry import Retry
from sardonyx.errors import InvalidInput, NotFound, SardonyxError, Violation
from sardonyx.oip import messages as oip

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Sequence
    from datetime import datetime
    from types import TracebackType

    from sardonyx.client.answer import ModelInfo, Reply
    from sardonyx.client.balancer import Link
    from sardonyx.client.caller import Metadata
    from sardonyx.client.calls import GivenMetadata, Method
    from sardonyx.client.outcomes import Value
    from sardonyx.client.request import Part, Writer
    from sardonyx.client.retry import Deadline
    from sardonyx.client.security import Tls
    from sardonyx.prediction_id import PredictionId


class _AsyncCaller(Caller[grpc.aio.Channel]):
    """Makes unary calls, and makes them again where that is safe."""

    #: Whose it is, from its first call on.
    _loop: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        """Close the connections, for good; safe to repeat. Calls on their way end with Unavailable."""
        self._closed = True
        while self._channels:
            await self._channels.popitem()[1].close()

    def _open(self, address: str, options: Sequence[tuple[str, Any]], tls: Tls | None) -> grpc.aio.Channel:
        if tls is None:
            return grpc.aio.insecure_channel(address, options=options)
        return grpc.aio.secure_channel(address, tls.credentials(), options=options)

    async def _call(
        self,
        method: Method[Request, Response],
        request: Request,
        deadline: Deadline,
        metadata: Metadata | None = None,
    ) -> Response:
        self._check_loop()
        question = Question(method, request, deadline, self._metadata(metadata))
        retry = Retry(deadline, self._budget)
        while True:
            try:
                if self._hedge_after_s is None:
                    return await self._ask(question, self._balancer.pick(question.tried))
                return await self._ask_twice(question, self._hedge_after_s)
            except SardonyxError as error:
                wait_s = self._wait_s(retry, question, error)
            await asyncio.sleep(wait_s)

    def _check_loop(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            other = "it made its first call in another event loop. Make one in each, such as in each asyncio.run()."
            raise InvalidInput([Violation("client", other)])

    async def _ask(self, question: Question[Request, Response], link: Link) -> Response:
        method = question.method
        ask = self._channel(link).unary_unary(method.path, method.write, method.read)
        try:
            response = await ask(question.request, **question.options)
        except grpc.RpcError as raised:
            raise self._error(question, link, raised) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            # gRPC cancels what is on its way over a channel that closes; nobody cancelled the caller.
            raise closed() from None
        self._balancer.answered(link)
        return response

    async def _ask_twice(self, question: Question[Request, Response], after_s: float) -> Response:
        """Ask, and ask elsewhere where there is no answer yet; the first answer counts."""
        link = self._balancer.pick(question.tried)
        asked = {asyncio.create_task(self._ask(question, link))}
        try:
            done, _ = await asyncio.wait(asked, timeout=after_s)
            if not done and self._budget.spend():
                other = self._balancer.pick(question.tried, beside=link)
                asked.add(asyncio.create_task(self._ask(question, other)))
            while True:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                answered = [task for task in done if task.exception() is None]
                if answered or not asked:
                    return (answered or list(done))[0].result()
        finally:
            for late in asked:
                late.cancel()


class AsyncClient(_AsyncCaller):
    """Asks sardonyx-servers, or any servers of the Open Inference Protocol v2, for predictions.

    Connects at the first call. Belongs to one event loop, where any number of tasks may use it: the predictions that
    they wait for at the same time share requests to a sardonyx-server, which nobody notices but by the speed.
    ``__init__`` tells the arguments.
    """

    async def close(self) -> None:
        """Close the connections, for good; safe to repeat. Calls on their way end with Unavailable."""
        self._coalescer.close()
        await super().close()

    async def predict(
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
            metadata: gRPC metadata, such as a traceparent: a dict, or pairs. Calls that differ in more than that share
                no request.
            routing_key: calls of equal keys meet the same version while a canary has a share of the calls, such as all
                calls of one customer; by default, all that share a request do. Calls of different keys share none.

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
            writer = known or await self._learn(model, selector, ask.deadline, ask.metadata)
            return await self._predict(writer, data, ask)
        except InvalidInput:
            # Refused by an interface that was learned some time ago: another generation may be live by now.
            if known is None:
                raise
            learned = await self._learn(model, selector, ask.deadline, ask.metadata)
            if learned is known:
                raise
        except RuntimeError:
            # How asyncio says that what is shared here belongs to another loop, where that has calls under way.
            self._check_loop()
            raise
        return await self._predict(learned, data, ask)

    async def describe(
        self, model: str, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> ModelInfo:
        """The interface of the version that a call would reach; raises as ``predict`` does."""
        return (await self._learn(model, wire.selector(version), self._deadline(timeout_s))).info

    async def ready(
        self, model: str | None = None, *, version: str | int | None = None, timeout_s: float | None = None
    ) -> bool:
        """Whether the server is ready, or one model in it; False where it cannot be reached.

        Raises:
            InvalidInput, AccessDenied: an argument is wrong, or the token: to wait would not help.
        """
        deadline = self._deadline(timeout_s)
        try:
            if model is None:
                return (await self._call(calls.SERVER_READY, oip.ServerReadyRequest(), deadline)).ready
            request = calls.ready_request(model, wire.selector(version))
            return (await self._call(calls.MODEL_READY, request, deadline)).ready
        except SardonyxError as error:
            return calls.unready(error)

    @cached_property
    def _cache(self) -> InterfaceCache:
        return InterfaceCache()

    @cached_property
    def _coalescer(self) -> Coalescer:
        return Coalescer(self._infer)

    async def _learn(self, model: str, selector: str, deadline: Deadline, metadata: Metadata | None = None) -> Writer:
        request = calls.metadata_request(model, selector)
        response = await self._call(calls.MODEL_METADATA, request, deadline, metadata)
        return self._cache.put(model, selector, wire.read_metadata(response))

    def _predict(self, writer: Writer, data: Any, ask: Prediction) -> Awaitable[Answer]:
        """The answer, once it is awaited; data that does not fit raises at once."""
        row = writer.row(data)
        part = writer.part(data) if row is None else None
        is_small = part is None or (part.rows <= CALL_ROWS_MAX and part.size <= CALL_BYTES_MAX)
        if is_small and writer.shares and ask.deadline.timeout_s >= TIMEOUT_S_MIN:
            return self._coalescer.ask(writer, ask, row, part)
        return self._predict_alone(writer, part or writer.part(data), ask)

    async def _predict_alone(self, writer: Writer, part: Part, ask: Prediction) -> Answer:
        request = writer.request([part], ask.id, ask.parameters)
        reply = await self._infer(writer, request, ask.deadline, ask.metadata)
        return Answer(reply, ask.id, 0, reply.rows)

    async def _infer(self, writer: Writer, request: bytes, deadline: Deadline, metadata: Metadata) -> Reply:
        """What a request is answered with, and the classes of the version that answered."""
        reply = wire.read_reply(await self._call(calls.MODEL_INFER, request, deadline, metadata), writer.info)
        if reply.interface_major == writer.major:
            return reply
        # The request fits another generation too, which became the default since this one was learned.
        named = await self._exactly(writer.info.name, str(reply.version), deadline, metadata)
        return reply._replace(classes=named.info.classes)

    async def _exactly(self, model: str, version: str, deadline: Deadline, metadata: Metadata) -> Writer:
        """What is known of a version that has answered, or is to be learned of it while the caller waits."""
        while True:
            try:
                return self._cache.get(model, version) or await self._learn(model, version, deadline, metadata)
            except NotFound:
                if deadline.left_s <= ELSEWHERE_S:
                    raise
                await asyncio.sleep(ELSEWHERE_S)

    async def __aenter__(self) -> AsyncClient:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()


class AsyncOutcomes(_AsyncCaller):
    """Reports to sardonyx-monitor what really happened.

    The address is that of the monitor's OTLP port; ``__init__`` tells the arguments.
    """

    async def report(
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
        await self.report_many([OutcomeReport.of(prediction_id, row, value, observed_at, source, revision)])

    async def report_many(
        self, reports: Iterable[OutcomeReport | tuple[str | PredictionId, Value]], *, timeout_s: float | None = None
    ) -> int:
        """Report many outcomes, in as few calls as possible; how many are stored, now or before.

        Raises:
            InvalidInput: some were not taken, and are listed; the others of their call and of those before are stored.
            SardonyxError: the monitor could not be reached.
        """
        stored = 0
        for batch in batches(reports):
            stored += check(await self._call(calls.REPORT_OUTCOMES, batch, self._deadline(timeout_s)), batch.outcomes)
        return stored

    async def __aenter__(self) -> AsyncOutcomes:
        """The reporter itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        await self.close()
