"""Interface generations come and go under load, by the exporter's own acts, and no caller notices."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from sardonyx import AsyncClient
from sardonyx.registry.v1 import interface_pb2 as pb
from sardonyx.typed import typed_service
from sardonyx_exporter import promote, retire_major
from server.summed import interface_of, publish_sum, total
from server.test_supervisor import children_of
from soak.memory import BOUNDS, slope_per_minute
from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sardonyx.registry.v1.manifest_pb2 import Manifest

NAME: Final = "sums"
MAJORS: Final = 10
VERSIONS_EACH: Final = 5
#: Callers of each kind.
CALLERS: Final = 2
#: As long as this the allocator's arenas and the caches grow: of so many versions the memory is not judged.
WARM_UP_VERSIONS: Final = 15
PATIENCE_S: Final = 30.0


class Generation:
    """An interface generation as its callers know it.

    Args:
        major: its number.
        manifest: a version's of it.
    """

    def __init__(self, major: int, manifest: Manifest) -> None:
        self.major = major
        self.typed = typed_service(manifest)
        self.columns = {each.name: [3, 4] for each in manifest.interface.inputs}
        self.worth = [total(manifest.interface, dict.fromkeys(self.columns, value)) for value in (3, 4)]


class Load:
    """Callers who never stop, each of whom looks at every answer.

    Args:
        address: the server's.
        old: the generation of half of them.
    """

    def __init__(self, address: str, old: Generation) -> None:
        self._address = address
        self._old = old
        self.newest = old
        self.counts: Counter[str] = Counter()
        self._busy: Counter[int] = Counter()
        self._stop = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        """Start them."""
        self._channel = grpc.aio.insecure_channel(self._address)
        self._client = AsyncClient(self._address)
        kinds: Sequence[Callable[[Generation], Awaitable[None]]] = (self._one, self._many, self._tensors)
        for kind in kinds:
            for generation in ((lambda: self._old), (lambda: self.newest)):
                self._callers += [asyncio.create_task(self._call(kind, generation)) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let each have its last answer."""
        self._stop.set()
        try:
            await asyncio.gather(*self._callers)
        finally:
            await self._client.close()
            await self._channel.close()

    async def move(self, generation: Generation) -> None:
        """Call another newest generation; until nobody waits for the one before."""
        before, self.newest = self.newest, generation
        if before is not self._old:
            await until(lambda: not self._busy[before.major], self)

    def check(self) -> None:
        """No call has failed."""
        for caller in self._callers:
            if caller.done():
                caller.result()

    async def _call(self, kind: Callable[[Generation], Awaitable[None]], which: Callable[[], Generation]) -> None:
        while not self._stop.is_set():
            generation = which()
            self._busy[generation.major] += 1
            await kind(generation)
            self._busy[generation.major] -= 1
            self.counts[f"{kind.__name__} {'old' if generation is self._old else 'new'}"] += 1

    async def _one(self, generation: Generation) -> None:
        typed = generation.typed
        request = typed.predict_request(features={name: values[0] for name, values in generation.columns.items()})
        answer = typed.predict_response.FromString(await self._ask(typed, "Predict", request))
        assert answer.prediction.value == generation.worth[0]

    async def _many(self, generation: Generation) -> None:
        typed = generation.typed
        request = typed.batch_request(columns=generation.columns)
        answer = typed.batch_response.FromString(await self._ask(typed, "PredictBatch", request))
        assert list(answer.predictions.value) == generation.worth

    async def _tensors(self, generation: Generation) -> None:
        columns = {name: np.array(values) for name, values in generation.columns.items()}
        answer = await self._client.predict(NAME, columns, version=f"v{generation.major}")
        assert answer.values is not None
        assert answer.values.ravel().tolist() == generation.worth

    async def _ask(self, typed: Any, method: str, request: Any) -> bytes:
        call: Any = self._channel.unary_unary(f"/{typed.name}/{method}")
        answer: bytes = await call(request.SerializeToString(), timeout=PATIENCE_S)
        return answer


async def until(condition: Callable[[], bool], load: Load | None = None) -> None:
    """Wait for what must come; a failed call ends it."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            if load is not None:
                load.check()
            await asyncio.sleep(0.01)


def services(address: str) -> set[str]:
    """The model's services, as reflection lists them."""
    with grpc.insecure_channel(address) as channel:
        listed = ProtoReflectionDescriptorDatabase(channel).get_services()
    return {name for name in listed if name.startswith(f"{NAME}.")}


def version_of(address: str, generation: Generation) -> int:
    """The version that answers a generation's callers now; 0: none."""
    typed = generation.typed
    request = typed.predict_request(features={name: values[0] for name, values in generation.columns.items()})
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(f"/{typed.name}/Predict")
        try:
            answer = typed.predict_response.FromString(call(request.SerializeToString(), timeout=PATIENCE_S))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                raise
            return 0
    return int(answer.model_version)


def worker_of(program: Program) -> int:
    """The one worker's process."""
    (worker,) = children_of(program.process.pid)
    return worker


def resident_mib(pid: int) -> float:
    """What a process takes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (kib,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return kib / 1024


def publish(registry: Path, *inputs: str) -> Manifest:
    """A version with such inputs, all of them required."""
    tensors = [pb.Input(name=name, datatype=pb.DATATYPE_INT64) for name in inputs]
    return publish_sum(registry, NAME, interface_of(tensors))


def make_live(registry: Path, version: int) -> None:
    """For its generation, to which calls without a version go from now on."""
    promote(NAME, version, registry=str(registry), default_major=True)


async def test_fifty_versions_of_ten_generations_come_and_go_under_load(tmp_path: Path) -> None:
    """No call fails, of v1 or of the newest generation, typed or not; services come and go; memory is flat."""
    registry = tmp_path / "registry"
    old = Generation(1, publish(registry, "number"))
    promote(NAME, 1, registry=str(registry))
    program = Program.start(
        *("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", "--workers", "1"),
        *("--poll-interval-s", "0.05", "--drain-grace-s", "0"),
    )
    memory: list[float] = []
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        await until(lambda: version_of(address, old) == 1)
        worker = worker_of(program)
        async with Load(address, old) as load:
            for major in range(2, MAJORS + 2):
                for number in range(VERSIONS_EACH):
                    manifest = await asyncio.to_thread(publish, registry, f"number_{major}", "more")
                    assert manifest.interface_major == major
                    await asyncio.to_thread(make_live, registry, manifest.version)
                    generation = Generation(major, manifest) if number == 0 else load.newest
                    await until_answered(address, generation, manifest.version, load)
                    if number == 0:
                        await load.move(generation)
                        await drop(address, registry, major - 1, load)
                    memory.append(resident_mib(worker))
            await load.move(old)
            await asyncio.to_thread(make_live, registry, 1)
            await drop(address, registry, MAJORS + 1, load)
            assert await asyncio.to_thread(services, address) == {"sums.v1.SumsService"}
            assert worker_of(program) == worker, "the worker was another one"
    finally:
        assert program.stop() == 0, "".join(program.lines)
    assert manifest.version == MAJORS * VERSIONS_EACH + 1
    assert len(load.counts) == 6
    assert min(load.counts.values()) > manifest.version, load.counts
    judged = memory[WARM_UP_VERSIONS:]
    # A version a minute, so that the slope is one of versions.
    kib_per_version = 1024 * slope_per_minute([60.0 * number for number in range(len(judged))], judged)
    assert kib_per_version <= BOUNDS["worker"].kib_per_version, memory


async def until_answered(address: str, generation: Generation, version: int, load: Load) -> None:
    """Wait until a version answers its generation."""
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(version_of, address, generation) != version:
            load.check()
            await asyncio.sleep(0.02)


async def drop(address: str, registry: Path, major: int, load: Load) -> None:
    """End a generation that nobody calls; v1 stays."""
    listed = await asyncio.to_thread(services, address)
    assert f"sums.v{major}.SumsService" in listed
    if major == 1:
        return
    await asyncio.to_thread(lambda: retire_major(NAME, major, registry=str(registry), force=True, reason="a newer one"))
    async with asyncio.timeout(PATIENCE_S):
        while f"sums.v{major}.SumsService" in await asyncio.to_thread(services, address):
            load.check()
            await asyncio.sleep(0.02)
