"""What a handler raises becomes a status, through a real server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from sardonyx import errors
from sardonyx.guard import reading, reading_one, reading_stream
from sardonyx.oip.messages import ServerLiveRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOG = logging.getLogger(__name__)
SERVICE = "test.Guarded"
CALL_TIMEOUT_S = 20
#: No answer to a caller: by the registry, by a part's own, by a bug.
NO_ANSWERS = [errors.RegistryMissing("secret"), errors.SardonyxError("secret"), RuntimeError("secret")]


def _failing(error: Exception) -> ServerLiveRequest:
    raise error


def _handlers(error: Exception) -> grpc.GenericRpcHandler:
    """A method of each kind; all fail."""

    async def one(_request: ServerLiveRequest, _context: Any) -> ServerLiveRequest:
        return _failing(error)

    async def many(_request: ServerLiveRequest, _context: Any) -> AsyncIterator[ServerLiveRequest]:
        yield _failing(error)

    async def piped(requests: AsyncIterator[ServerLiveRequest], _context: Any) -> AsyncIterator[ServerLiveRequest]:
        async for _ in requests:
            yield _failing(error)

    return grpc.method_handlers_generic_handler(
        SERVICE,
        {
            "one": grpc.unary_unary_rpc_method_handler(reading(one, ServerLiveRequest, LOG)),
            "many": grpc.unary_stream_rpc_method_handler(reading_one(many, ServerLiveRequest, LOG)),
            "piped": grpc.stream_stream_rpc_method_handler(reading_stream(piped, ServerLiveRequest, LOG)),
        },
    )


async def _refused(error: Exception, method: str) -> grpc.aio.AioRpcError:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(error),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await _asked(channel, method)
            return raised.value
    finally:
        await server.stop(grace=None)


async def _asked(channel: Any, method: str) -> object:
    path = f"/{SERVICE}/{method}"
    match method:
        case "one":
            return await channel.unary_unary(path)(b"", timeout=CALL_TIMEOUT_S)
        case "many":
            return await channel.unary_stream(path)(b"", timeout=CALL_TIMEOUT_S).read()
        case _:
            return await channel.stream_stream(path)(iter([b""]), timeout=CALL_TIMEOUT_S).read()


@pytest.mark.parametrize("method", ["one", "many", "piped"])
@pytest.mark.parametrize("error", NO_ANSWERS, ids=lambda error: type(error).__name__)
def test_what_is_no_answer_is_internal(error: Exception, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """An error that does not cross the wire is INTERNAL with an id that the log has too, and says nothing of itself."""
    refused = asyncio.run(_refused(error, method))
    assert refused.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (refused.details() or "")
    (record,) = [record for record in caplog.records if record.name == __name__]
    assert (refused.details() or "").endswith(f"{record.getMessage().removeprefix('error ')}.")


@pytest.mark.parametrize("method", ["one", "many", "piped"])
def test_an_answer_is_told(method: str, caplog: pytest.LogCaptureFixture) -> None:
    """An error for callers has its own code and message, and is nothing for the log."""
    refused = asyncio.run(_refused(errors.Overloaded("The queue is full."), method))
    assert (refused.code(), refused.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "The queue is full.")
    assert [record for record in caplog.records if record.name == __name__] == []
