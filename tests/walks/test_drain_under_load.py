"""A server leaves while callers are busy with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest

from sardonyx.oip import messages as oip
from sardonyx_exporter import promote
from server.scene import REGRESSOR, array_of, export_regressor, regressor_request, wait_until
from support.programs import Program

if TYPE_CHECKING:
    from pathlib import Path

CALLERS = 24
CONNECTIONS = 4
PAUSE_S = 0.02
PATH = f"/{oip.SERVICE}/ModelInfer"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one live model."""
    registry = tmp_path_factory.mktemp("drain") / "registry"
    promote(REGRESSOR, export_regressor(registry, REGRESSOR, seed=1), registry=str(registry))
    return registry


async def test_busy_callers_are_answered_or_refused_and_never_cut_off(registry: Path) -> None:
    """After SIGTERM every call under load is answered or UNAVAILABLE, whichever moment it comes in; the status is 0."""
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", "--workers", "2")
    address = program.wait_for(r"listening on (\S+:\d+)")[1]
    request = regressor_request(array_of(1, rows=1)).SerializeToString()
    codes: Counter[str] = Counter()
    stop = asyncio.Event()
    channels = [
        grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CONNECTIONS)
    ]

    async def call(channel: grpc.aio.Channel) -> None:
        infer: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PATH)
        while not stop.is_set():
            try:
                await infer(request, timeout=30, wait_for_ready=not codes["OK"])
            except grpc.aio.AioRpcError as error:
                codes[error.code().name] += 1
                await asyncio.sleep(PAUSE_S)
            else:
                codes["OK"] += 1

    callers = [asyncio.create_task(call(channels[number % CONNECTIONS])) for number in range(CALLERS)]
    try:
        await asyncio.to_thread(wait_until, lambda: codes["OK"] > 10 * CALLERS, "callers are busy")
        codes.clear()
        assert await asyncio.to_thread(program.stop) == 0, "".join(program.lines)
    finally:
        stop.set()
        await asyncio.gather(*callers)
        for channel in channels:
            await channel.close()
        program.stop()
    assert codes["OK"] > 0
    assert codes["UNAVAILABLE"] > 0
    assert set(codes) <= {"OK", "UNAVAILABLE"}
