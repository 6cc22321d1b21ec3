"""One process with many concurrent callers of one row each; prints how many predictions it got a second.

python benchmarks/programs/callers.py sardonyx|tritonclient ADDRESS SECONDS
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

# The models live two folders up, where the benchmark itself starts.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import COLUMNS, SMALL, rows_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import numpy as np
    import numpy.typing as npt

    Row = npt.NDArray[np.float64]

CALLERS: Final = 64
WARM_UP_S: Final = 0.5
ROWS: Final = rows_of(1024)


async def ask_by_sardonyx(address: str, seconds: float) -> float:
    """AsyncClient.predict."""
    from sardonyx import AsyncClient

    async with AsyncClient(address) as client:

        async def predict(row: Row) -> None:
            answer = await client.predict(SMALL, row)
            assert answer.probabilities is not None
            assert len(answer.probabilities) == 1

        return await count(predict, seconds)


async def ask_by_tritonclient(address: str, seconds: float) -> float:
    """tritonclient.grpc.aio, as its examples call it."""
    from tritonclient.grpc import InferInput
    from tritonclient.grpc.aio import InferenceServerClient

    async with InferenceServerClient(address) as client:

        async def predict(row: Row) -> None:
            tensor = InferInput("features", [1, COLUMNS], "FP64")
            tensor.set_data_from_numpy(row)
            answer = await client.infer(SMALL, [tensor])
            assert len(answer.as_numpy("probabilities")) == 1

        return await count(predict, seconds)


async def count(predict: Callable[[Row], Awaitable[None]], seconds: float) -> float:
    """Predictions a second of all callers together, after a warm-up."""
    answered = 0
    stop = False

    async def call(first: int) -> None:
        nonlocal answered
        number = first
        while not stop:
            row = number % len(ROWS)
            await predict(ROWS[row : row + 1])
            answered += 1
            number += CALLERS

    callers = [asyncio.create_task(call(first)) for first in range(CALLERS)]
    await asyncio.sleep(WARM_UP_S)
    before, started = answered, time.perf_counter()
    await asyncio.sleep(seconds)
    pace = (answered - before) / (time.perf_counter() - started)
    stop = True
    await asyncio.gather(*callers)
    return pace


def main() -> None:
    """Ask, and print."""
    client, address, seconds = sys.argv[1:]
    ask = {"sardonyx": ask_by_sardonyx, "tritonclient": ask_by_tritonclient}[client]
    print(uvloop.run(ask(address, float(seconds))))


if __name__ == "__main__":
    main()
