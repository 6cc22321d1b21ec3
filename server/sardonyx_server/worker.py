"""One worker process: its wiring, its start and its end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import grpc
import uvloop
from grpc_health.v1 import health_pb2

from sardonyx.errors import RegistryError
from sardonyx.guard import reading, reading_one
from sardonyx.oip import messages as oip
from sardonyx.registry import Registry
from sardonyx.serving.v1 import model_service_pb2 as pb
from sardonyx_server import apart, drain, pipe, sharing
from sardonyx_server.access.access import Access
from sardonyx_server.access.files import AccessFileError
from sardonyx_server.access.gate import gated
from sardonyx_server.batcher import Batcher, Limits, RowQueue
from sardonyx_server.bounds import Bounds
from sardonyx_server.config import Config, default_workers
from sardonyx_server.doors import health, models, reflection
from sardonyx_server.doors.health import OVERALL, HealthDoor
from sardonyx_server.doors.infer import InferDoor
from sardonyx_server.doors.models import ModelsDoor
from sardonyx_server.doors.oip import OipDoor
from sardonyx_server.doors.typed import TypedDoor
from sardonyx_server.drain import Drain
from sardonyx_server.life.manager import Manager
from sardonyx_server.life.session import Runtime
from sardonyx_server.life.watcher import Watcher
from sardonyx_server.log import LOG, set_up_logging
from sardonyx_server.memory import Keeper
from sardonyx_server.port import Port
from sardonyx_server.prediction import Predictor
from sardonyx_server.routing import resolve
from sardonyx_server.served import Served
from sardonyx_server.shadow import Shadow
from sardonyx_server.telemetry.metrics.reporter import Reporter
from sardonyx_server.telemetry.pipeline import Pipeline
from sardonyx_server.typed.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from google.protobuf.message import Message

    from sardonyx_server.life.loader import Loaded
    from sardonyx_server.life.model import Wish

#: The services that every server has.
STATIC_SERVICES: Final = (oip.SERVICE, models.SERVICE, health.SERVICE)
#: How long a worker that takes another's place keeps its port closed: callers are better off with the other workers,
#: until those of a version that does not come to an end would have to do without this one for long.
SETTLED_WITHIN_S: Final = 30.0
#: How long the last refusals have to reach their callers.
STOP_GRACE_S: Final = 0.5
#: Of the time for a drain, what is kept for sending the last spans.
FLUSH_SHARE: Final = 0.2


class Worker:
    """Everything of one process, put together without I/O; ``run`` acts."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._drain = Drain()
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        registry = Registry(config.registry)
        self._queue = RowQueue(config.queue_rows_max)
        self._limits = Limits(config.batch_rows_max, config.batch_delay_ms / 1000, _runs_max(config.workers))
        self._bounds = Bounds(config.queue_rows_max, config.text_bytes_max)
        runtime = Runtime(config.onnx_threads, config.providers)
        self._access = Access(config.token_file) if config.token_file else None
        self._health = HealthDoor()
        self._changes: asyncio.Queue[str] = asyncio.Queue()
        self._services = Services()
        self._manager = Manager(registry, self._serving, runtime, self._changed, config.load_timeout_s)
        self._manager.models.discreet = self._access is not None
        self._telemetry = Pipeline(config, self._manager.models)
        self._shadow = Shadow(self._manager.models, self._queue, self._telemetry.recorder)
        self._watcher = Watcher(registry, config.poll_interval_s, self._wished, config.models)
        self._reporter = self._made_reporter()
        self._port = Port(config, gated(self._handlers(), self._access, self._services, self._telemetry.recorder))

    async def run(self) -> None:
        """Serve until told to stop, then drain."""
        self._listen_for_the_end()
        self._telemetry.start()
        # gRPC's threads exist since its servers do; those that load versions come later, and are not meant.
        sharing.let_the_loop_finish()
        # What exists now stays: to look through all of it took the garbage collector 10 ms, every few seconds.
        gc.freeze()
        if not self._config.others_answer:
            await self._port.open()
        tasks = [asyncio.create_task(self._watcher.run()), asyncio.create_task(self._keep_health())]
        for name in self._config.models:
            # Who asks for a model by name is to be told that it does not serve yet, and not that it is unknown.
            self._changes.put_nowait(name)
        if self._config.others_answer:
            await self._until_settled(SETTLED_WITHIN_S)
            await self._port.open()
        self._shadow.start()
        tasks.append(asyncio.create_task(Keeper().run()))
        pipe.tell(pipe.ACCEPTING)
        if self._reporter:
            tasks.append(asyncio.create_task(self._reporter.run()))
        await self._stop.wait()
        await self._end(tasks)

    async def _until_settled(self, timeout_s: float) -> None:
        """Wait until there is something to answer with, and health says so; not beyond the end of this worker."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._stop.is_set():
            if self._manager.settled:
                break
            await asyncio.sleep(0.01)
        await self._changes.join()

    async def _end(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        """Say NOT_SERVING, then refuse, then finish what runs, then send what is known of it."""
        started = time.monotonic()
        LOG.info("draining")
        await self._health.close()
        await self._pause(min(self._config.drain_grace_s, self._config.drain_timeout_s / 2))
        self._drain.begin()
        # Callers alone are worth waiting for.
        await self._shadow.stop()
        flush_s = self._config.drain_timeout_s * FLUSH_SHARE
        left_s = max(0.0, self._config.drain_timeout_s - (time.monotonic() - started) - flush_s)
        await asyncio.gather(self._finish_calls(left_s), asyncio.sleep(drain.HOLD_S))
        stopping = self._port.close(STOP_GRACE_S)
        # One turn of the loop: the connections are told to close before the last refusals are written.
        await asyncio.sleep(0)
        self._drain.close()
        await stopping
        await self._manager.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._queue.close()
        self._telemetry.settle()
        # Not in threads, which the system may have none of: nobody waits for the loop any more.
        self._telemetry.stop(flush_s)
        if self._reporter:
            self._reporter.report_last()
        LOG.info("drained after %.1f s", time.monotonic() - started)
        self._ignore_signals()

    def _made_reporter(self) -> Reporter | None:
        """What tells the supervisor the metrics; none where nobody asks for them."""
        telemetry = self._telemetry
        if telemetry.metrics is None:
            return None
        return Reporter(telemetry.metrics, self._manager, self._watcher, self._queue, self._shadow, telemetry.sender)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless there is no time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _finish_calls(self, timeout_s: float) -> None:
        """Wait until no request holds a version, while new ones are refused; connections stay open for the refusals."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not self._hurry.is_set():
            if not self._manager.in_flight:
                return
            await asyncio.sleep(0.01)

    async def _keep_health(self) -> None:
        """Bring health to what the manager has, at each change."""
        while True:
            name = await self._changes.get()
            if name != OVERALL:
                await self._health.set(name, serving=self._answers(name))
            await self._health.set(OVERALL, serving=self._manager.settled)
            self._changes.task_done()

    def _wished(self, wishes: Mapping[str, Wish], unread: Collection[str]) -> None:
        self._manager.wish(wishes, unread)
        for name in unread:
            # It is known to be there, and answers nobody.
            self._changes.put_nowait(name)
        # Where there is no model none changes: the server has all that is wished for, and is ready.
        self._changes.put_nowait(OVERALL)

    def _changed(self, name: str) -> None:
        """A model may have other versions that answer than before."""
        self._services.refresh(self._manager.models[name])
        self._changes.put_nowait(name)

    def _answers(self, name: str) -> bool:
        try:
            resolve(self._manager.models, name, "")
        except Exception:  # whatever the reason: a call without a version would not be answered
            return False
        return True

    def _serving(self, loaded: Loaded, released: Callable[[], None]) -> Served:
        """A version behind the worker's queue."""
        batcher = Batcher(loaded.session, loaded.cost, self._queue, self._limits)
        return Served(loaded.manifest, loaded.typed, batcher, self._bounds, released)

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        """Every service on the port."""
        predictor = Predictor(self._manager.models, self._access, self._telemetry.recorder, self._shadow, self._drain)
        door = ModelsDoor(
            self._manager, self._watcher, self._shadow, self._telemetry.sender, self._config.registry, self._drain
        )
        handlers = [
            InferDoor(predictor, self._drain),
            TypedDoor(self._services, predictor),
            OipDoor(self._manager, self._access, self._drain).handler(),
            grpc.method_handlers_generic_handler(models.SERVICE, _model_service(door)),
            grpc.method_handlers_generic_handler(health.SERVICE, _health_service(self._health)),
        ]
        if self._config.reflection:
            handlers.extend(reflection.handlers(STATIC_SERVICES, self._services))
        return handlers

    def _listen_for_the_end(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(pipe.HURRY, self._end_soon)
        # The supervisor never writes: a readable standard input is a closed one.
        loop.add_reader(sys.stdin.fileno(), self._orphaned)

    def _ignore_signals(self) -> None:
        """A repeated signal must not make a bad end of a good one while the interpreter goes down."""
        for number in (signal.SIGTERM, pipe.HURRY):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)

    def _end_soon(self) -> None:
        self._hurry.set()
        self._stop.set()

    def _orphaned(self) -> None:
        if not os.read(sys.stdin.fileno(), 1):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._stop.set()


def _runs_max(workers: int) -> int:
    """Runs of one version at once in one worker: the machine's processors, shared by the workers."""
    return max(1, default_workers() // workers)


def _model_service(door: ModelsDoor) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    methods: dict[str, tuple[Any, type[Message]]] = {
        "ListModels": (door.list_models, pb.ListModelsRequest),
        "GetModel": (door.get_model, pb.GetModelRequest),
        "GetServer": (door.get_server, pb.GetServerRequest),
    }
    return {
        name: grpc.unary_unary_rpc_method_handler(reading(method, request, LOG))
        for name, (method, request) in methods.items()
    }


def _health_service(door: HealthDoor) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    request = health_pb2.HealthCheckRequest
    return {
        "Check": grpc.unary_unary_rpc_method_handler(reading(door.Check, request, LOG)),
        "Watch": grpc.unary_stream_rpc_method_handler(reading_one(door.Watch, request, LOG)),
    }


async def serve(config: Config) -> None:
    """Run a worker; made inside the loop, since gRPC's server belongs to one."""
    await Worker(config).run()


def main() -> None:
    """The entry of a worker process: its configuration is its one argument."""
    config = Config.from_json(sys.argv[1])
    set_up_logging(json_lines=config.json_logs)
    try:
        uvloop.run(serve(config))
    except (AccessFileError, RegistryError) as error:
        # All was good when the server started: this worker was started again since.
        LOG.error("%s", error)
        apart.leave(1)
    apart.leave(0)


if __name__ == "__main__":
    main()
