"""What goes wrong in a call becomes its status: around every handler of every service of ours."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from sardonyx import status
from sardonyx.errors import InternalError, InvalidInput, SardonyxError, Violation

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncIterator, Awaitable, Callable

    Context = grpc.aio.ServicerContext[Any, Any]

Request = TypeVar("Request")
Response = TypeVar("Response")
M = TypeVar("M", bound=Message)


def guarded(
    handler: Callable[[Request, Context], Awaitable[Response]], log: logging.Logger
) -> Callable[[Request, Context], Awaitable[Response | None]]:
    """A handler that answers every error with its status; applied once, where the handlers are registered.

    An interceptor would do the same at the price of another coroutine for each call.

    Args:
        handler: answers a request.
        log: where the cause of an InternalError goes.
    """

    async def answer(request: Request, context: Context) -> Response | None:
        try:
            return await handler(request, context)
        except SardonyxError as error:
            await refuse(context, _answer_of(error, log))
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the caller must learn that it failed, and nothing of how
            await refuse(context, to_internal(error, log))
        return None

    return answer


def reading(
    handler: Callable[[M, Context], Awaitable[Message]], kind: type[M], log: logging.Logger
) -> Callable[[bytes, Context], Awaitable[bytes | None]]:
    """A guarded handler of bytes from one of messages.

    gRPC itself would answer bytes that are no message with UNKNOWN, as if the server were at fault.
    """

    async def answer(data: bytes, context: Context) -> bytes:
        return (await handler(parse(data, kind), context)).SerializeToString()

    return guarded(answer, log)


def reading_one(
    handler: Callable[[M, Context], AsyncIterator[Message]], kind: type[M], log: logging.Logger
) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
    """``reading`` for a call that is answered by a stream."""

    async def answer(data: bytes, context: Context) -> AsyncIterator[bytes]:
        async def responses() -> AsyncIterator[Message]:
            async for response in handler(parse(data, kind), context):
                yield response

        async for written in _written(responses(), context, log):
            yield written

    return answer


def reading_stream(
    handler: Callable[[AsyncIterator[M], Context], AsyncIterator[Message]], kind: type[M], log: logging.Logger
) -> Callable[[AsyncIterator[bytes], Context], AsyncIterator[bytes]]:
    """``reading`` for a stream that is answered by a stream."""

    async def answer(stream: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async def requests() -> AsyncIterator[M]:
            async for data in stream:
                yield parse(data, kind)

        async for written in _written(handler(requests(), context), context, log):
            yield written

    return answer


async def _written(responses: AsyncIterator[Message], context: Context, log: logging.Logger) -> AsyncIterator[bytes]:
    """The bytes of some responses, and at their end the status of what went wrong."""
    try:
        async for response in responses:
            yield response.SerializeToString()
    except SardonyxError as error:
        await refuse(context, _answer_of(error, log))
    except Exception as error:  # the caller must learn that it failed, and nothing of how
        await refuse(context, to_internal(error, log))


async def refuse(context: Context, error: SardonyxError) -> None:
    """End a call with an error's status. What its handler returns after that is not sent.

    gRPC keeps with a call what ``abort`` raises, and so the frames that it passed through, which hold the call and what
    was asked: a cycle that only the garbage collector would end, with megabytes in it where a large request is refused.
    """
    error.__traceback__ = None
    try:
        await context.abort(*status.to_rpc(error))
    except grpc.aio.AbortError as aborted:
        # gRPC raises it again when the handler returns.
        aborted.__traceback__ = aborted.__context__ = None


def parse(data: bytes, kind: type[M]) -> M:
    """A message from its bytes.

    Raises:
        InvalidInput: they are none.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        expected = f"these bytes are no {kind.DESCRIPTOR.full_name}. Compile the protocol's .proto."
        raise InvalidInput([Violation("request", expected)]) from None


def _answer_of(error: SardonyxError, log: logging.Logger) -> SardonyxError:
    """What a caller hears of an error: where that is none for callers, such as the registry's, that it is internal."""
    return error if status.crosses(error) else to_internal(error, log)


def to_internal(error: Exception, log: logging.Logger) -> InternalError:
    """Log an unexpected error under a fresh id, and wrap the id for the caller."""
    error_id = secrets.token_hex(6)
    log.error("error %s", error_id, exc_info=error)
    return InternalError(error_id)
