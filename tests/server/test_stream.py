"""ModelStreamInfer: Triton's stream over real sockets, with its own client and without."""

from __future__ import annotations

import asyncio
import queue
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient import grpc as triton

from sardonyx import status
from sardonyx.errors import ServerDraining
from sardonyx.oip import messages as oip
from sardonyx_server.doors.stream import ALL_BYTES_MAX, ANSWERED_BYTES_MAX, ASKED_BYTES_MAX, WINDOW, Streams
from sardonyx_server.drain import Drain
from server.scene import (
    ALONE,
    LONG,
    LOOKUP,
    PATIENCE_S,
    REGRESSOR,
    SLOW,
    answers,
    array_of,
    get_server,
    number_request,
    regressor_request,
    value_of,
    wait_until,
)
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from server.scene import Scene

#: How much a worker may grow for a stream that a client does not read, in bytes: answers that wait, and gRPC's buffers;
#: and for all of them, what glibc keeps for later.
GROWTH_MAX: Final = 24 * 1024 * 1024
KEPT_MAX: Final = 40 * 1024 * 1024


def stream(channel: grpc.Channel, requests: Iterable[oip.ModelInferRequest], timeout_s: float = PATIENCE_S) -> Any:
    """ModelStreamInfer by hand: an iterator of responses."""
    call = channel.stream_stream(
        f"/{oip.SERVICE}/ModelStreamInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelStreamInferResponse.FromString,
    )
    return call(iter(requests), timeout=timeout_s)


def named(request: oip.ModelInferRequest, name: str) -> oip.ModelInferRequest:
    """The request with an id."""
    request.id = name
    return request


def memory_of(process_id: int) -> int:
    """What a process holds now, in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_tritons_client_streams(address: str, channel: grpc.Channel, scene: Scene) -> None:
    """Triton's own client opens a stream, sends many requests, and gets each one's answer under its id."""
    array = array_of(seed=9, rows=30)
    results: queue.Queue[tuple[Any, Any]] = queue.Queue()
    with triton.InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: results.put((result, error)))
        for row in range(len(array)):
            tensor = triton.InferInput("features", [1, 3], "FP64")
            tensor.set_data_from_numpy(array[row : row + 1])
            client.async_stream_infer(REGRESSOR, [tensor], request_id=f"row-{row}")
        found = [results.get(timeout=PATIENCE_S) for _ in range(len(array))]
        client.stop_stream()
    assert [error for _, error in found if error] == []
    assert [result.get_response().id for result, _ in found] == [f"row-{row}" for row in range(len(array))]
    values = np.concatenate([result.as_numpy("value") for result, _ in found])
    np.testing.assert_allclose(values, scene.regressor.predict(array), rtol=1e-9)


def test_one_bad_request_does_not_end_the_stream(channel: grpc.Channel) -> None:
    """What cannot be answered is said in its place, with its id and code; those around it are answered."""
    bad, wrong = number_request("lookdown", 1), regressor_request(np.array([[1.0, np.nan, 1.0]]))
    asked = [number_request(LOOKUP, 1), bad, wrong, number_request(LOOKUP, 1)]
    found = list(stream(channel, map(named, asked, "abcd")))
    assert [response.infer_response.id for response in found] == ["a", "b", "c", "d"]
    assert [bool(response.error_message) for response in found] == [False, True, True, False]
    assert "Did you mean 'lookup'" in found[1].error_message
    assert "row 0" in found[2].error_message
    codes = [response.infer_response.parameters["sardonyx_code"].string_param for response in found]
    assert codes == ["", "NOT_FOUND", "INVALID_ARGUMENT", ""]


def test_bytes_that_are_no_request_are_the_callers_mistake(channel: grpc.Channel) -> None:
    """Garbage in a stream is answered with a sentence, and the stream goes on."""
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(f"/{oip.SERVICE}/ModelStreamInfer")
    good = number_request(LOOKUP, 2).SerializeToString()
    messages = [oip.ModelStreamInferResponse.FromString(data) for data in call(iter([b"\xff\xff", good]), timeout=20)]
    assert "ModelInferRequest" in messages[0].error_message
    assert value_of(messages[1].infer_response) == [30.0]


def test_answers_keep_their_order_whatever_they_take(channel: grpc.Channel) -> None:
    """A slow request and quick ones behind it, of another model: answered in the order in which they were asked."""
    requests = [
        number_request(SLOW, 300),
        number_request(LOOKUP, 1),
        number_request(SLOW, 20),
        number_request(LOOKUP, 2),
    ]
    assert [value_of(response.infer_response)[0] for response in stream(channel, requests)] == [300, 20, 20, 30]


def test_requests_of_a_stream_share_runs(channel: grpc.Channel) -> None:
    """What one stream sends while a model is busy goes in one run: 60 requests take far fewer runs than 60."""
    requests = [number_request(SLOW, 60) for _ in range(60)]
    found = list(stream(channel, requests))
    assert [value_of(response.infer_response) for response in found] == [[60.0]] * 60


@pytest.mark.parametrize("count", [1, 8])
def test_a_client_that_does_not_read_cannot_fill_the_server(scene: Scene, count: int) -> None:
    """A caller sends and sends on its streams, and reads nothing: the server stops reading, and stays as it was."""
    fixed = ("--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    # Room in the queue for one request of each stream: none is to be refused.
    program = Program.start("sardonyx_server", *fixed, "--queue-rows-max", "200000")
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(address, options=options) as channel:
            wait_until(lambda: answers(channel, number_request(LOOKUP, 1)), "the model answers")
            request = regressor_request(np.zeros((20_000, 3)))
            list(stream(channel, [request] * 4))
            worker = get_server(channel).process_id
            before, sent, stop = memory_of(worker), [0] * count, threading.Event()

            def endless(place: int) -> Iterator[oip.ModelInferRequest]:
                while not stop.is_set():
                    sent[place] += 1
                    yield request

            streams = [stream(channel, endless(place), timeout_s=120) for place in range(count)]
            held = [0]

            def stands_still() -> bool:
                held[0], earlier = sum(sent), held[0]
                threading.Event().wait(1.0)
                return sum(sent) == earlier == held[0]

            wait_until(stands_still, "the server reads no more")
            assert memory_of(worker) - before < KEPT_MAX + count * GROWTH_MAX
            # It goes on where it stood as soon as the answers are read.
            for responses, asked in zip(streams, list(sent), strict=True):
                for _ in range(asked):
                    assert not next(responses).error_message
            stop.set()
            for responses in streams:
                responses.cancel()
    finally:
        assert program.stop() == 0, "".join(program.lines)


class Reader:
    """A caller's side of a stream, which reads answers when it likes.

    Attributes:
        read: the lengths of what it has read.
    """

    def __init__(self) -> None:
        self.read: list[int] = []
        self.reads = asyncio.Event()

    async def write(self, answered: bytes) -> None:
        """gRPC's: returns when there is room for more."""
        await self.reads.wait()
        self.read.append(len(answered))


@settings(deadline=None)
@given(
    sizes=st.lists(st.sampled_from([1, 300, 20_000, 70_000, 1_000_000]), min_size=1, max_size=200),
    growth=st.sampled_from([1, 10, 100]),
    count=st.sampled_from([1, 8]),
)
def test_what_is_held_is_bounded_in_bytes(sizes: list[int], growth: int, count: int) -> None:
    """Many streams that nobody reads, with answers much larger than requests: each holds a bounded number of bytes."""
    unread = ANSWERED_BYTES_MAX + growth * max(ASKED_BYTES_MAX, *sizes)

    async def scenario() -> None:
        held: list[list[int]] = [[] for _ in range(count)]
        streams, readers = Streams(Drain()), [Reader() for _ in range(count)]

        async def asked() -> AsyncIterator[bytes]:
            for size in sizes:
                yield bytes(size)

        def answering(place: int) -> Any:
            async def answer(data: bytes) -> bytes:
                await asyncio.sleep(0)
                held[place].append(growth * len(data))
                assert len(held[place]) <= WINDOW or readers[place].reads.is_set()
                return cast("bytes", range(growth * len(data)))  # as long, and without its memory

            return answer

        piped = [
            asyncio.create_task(streams.pipe(asked(), cast("Any", reader), answering(place)))
            for place, reader in enumerate(readers)
        ]
        for _ in range(3 * len(sizes)):
            await asyncio.sleep(0)
        assert all(sum(each) <= unread for each in held)
        assert streams.answered_bytes == sum(map(sum, held)) <= ALL_BYTES_MAX + count * unread
        for reader in readers:
            reader.reads.set()
        await asyncio.wait_for(asyncio.gather(*piped), PATIENCE_S)
        assert all(reader.read == [growth * size for size in sizes] for reader in readers)
        assert streams.answered_bytes == 0

    asyncio.run(scenario())


def test_a_drain_ends_the_stream_after_what_was_asked(scene: Scene) -> None:
    """SIGTERM: what a stream has asked is answered, then it ends with UNAVAILABLE, and the server ends well."""
    program = Program.start("sardonyx_server", "--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    address = program.wait_for(r"listening on (\S+:\d+)")[1]
    waiting: queue.Queue[oip.ModelInferRequest | None] = queue.Queue()
    left: list[oip.ModelInferRequest] = []

    def requests() -> Iterator[oip.ModelInferRequest]:
        for request in iter(waiting.get, None):
            yield request
            # gRPC comes back for the next one when this one has left.
            left.append(request)

    with grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, number_request(SLOW, 1)), "the model answers")
        responses = stream(channel, requests())
        waiting.put(number_request(SLOW, 1))
        assert value_of(next(responses).infer_response) == [1.0]
        waiting.put(number_request(SLOW, LONG))
        ending: list[int] = []
        ender = threading.Thread(target=lambda: ending.append(program.stop()))
        # The request is under way before the end begins: it holds the version.
        wait_until(lambda: len(left) == 2, "it has left")
        wait_until(lambda: get_server(channel).process_id > 0, "the worker speaks")
        ender.start()
        assert value_of(next(responses).infer_response) == [float(LONG)]
        with pytest.raises(grpc.RpcError) as raised:
            next(responses)
        waiting.put(None)
        ender.join(PATIENCE_S)
    error: Any = raised.value
    assert isinstance(status.from_rpc(error.code(), error.details(), error.trailing_metadata()), ServerDraining)
    assert ending == [0]


@pytest.mark.parametrize("turns", [-1, 0, 1, 2, 5])
async def test_a_drain_ends_a_stream_that_just_begins(turns: int) -> None:
    """Whenever a stream comes, before the drain or after, it ends with UNAVAILABLE although its caller says nothing."""
    drain = Drain()
    streams = Streams(drain)

    async def answer(data: bytes) -> bytes:
        return data

    async def pipe(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if turns < 0:
            drain.begin()
        piping = asyncio.create_task(streams.pipe(requests, context, answer))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not drain.begun:
            drain.begin()
        await piping

    server = grpc.aio.server()
    handlers: dict[str, Any] = {"Pipe": grpc.stream_stream_rpc_method_handler(pipe)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("any", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.stream_stream("/any/Pipe")(timeout=PATIENCE_S).read()
    await server.stop(0)
    error: Any = raised.value
    assert isinstance(status.from_rpc(error.code(), error.details(), error.trailing_metadata()), ServerDraining)


def test_a_caller_that_leaves_a_stream_is_no_error(scene: Scene) -> None:
    """Streams that are cancelled while answers wait to be written leave no traceback in the log."""
    program = Program.start("sardonyx_server", "--registry", str(scene.registry), "--listen", "127.0.0.1:0", *ALONE)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        with grpc.insecure_channel(address, options=options) as channel:
            wait_until(lambda: answers(channel, number_request(LOOKUP, 1)), "the model answers")
            for _ in range(4):
                responses = stream(channel, [regressor_request(np.zeros((20_000, 3)))] * 40)
                next(responses)
                responses.cancel()
            wait_until(lambda: answers(channel, number_request(LOOKUP, 1)), "others are answered")
    finally:
        assert program.stop() == 0, "".join(program.lines)
    assert "Traceback" not in "".join(program.lines)
