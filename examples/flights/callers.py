"""The services that ask: one as it always did, by sardonyx's client; the other by the stub of v2 that it compiled."""

from __future__ import annotations

import importlib
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from flights.processes import Child
from flights.train import MODEL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from flights.data import Flight
    from flights.replay import Ask
    from sardonyx import AsyncClient

#: Who calls: as they always did, and with the weather.
OLD_CALLER: Final = "gate-display"
NEW_CALLER: Final = "rebooking"


def ask_v1(client: AsyncClient) -> Ask:
    """By the Open Inference Protocol, for the interface that its code was written for."""

    async def ask(flight: Flight) -> int:
        answer = await client.predict(MODEL, flight.features, version="v1", prediction_id=flight.id)
        return answer.version

    return ask


async def compile_v2(folder: Path, address: str) -> Path:
    """Write the stub of v2 as the running server describes it; where it is."""
    stubs = folder / "stubs"
    arguments = ("stubs", MODEL, "--major", "v2", "--server", address, "-o", stubs)
    with Child("sardonyx_exporter", *arguments, logs=folder) as child:
        await child.finish()
    return stubs


@asynccontextmanager
async def asking_v2(stubs: Path, address: str) -> AsyncIterator[Ask]:
    """By the typed service, whose client lies where it was written; ``pip install`` of that folder does the same."""
    sys.path.append(str(stubs))
    package = importlib.import_module("flight_delay.v2")
    async with package.AsyncFlightDelayClient(address, caller=NEW_CALLER) as client:

        async def ask(flight: Flight) -> int:
            response = await client.predict(**flight.features, prediction_id=flight.id)
            return int(response.model_version)

        yield ask
