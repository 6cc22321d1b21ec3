"""A system that has no thread left for a worker: what needed one goes on as soon as there is one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from sardonyx import telemetry
from sardonyx.errors import Overloaded
from sardonyx.registry import Log, Registry
from sardonyx_server import memory, pipe
from sardonyx_server.app import _configured, serve
from sardonyx_server.batcher import Batcher, Limits, RowQueue
from sardonyx_server.life.manager import Manager
from sardonyx_server.life.model import Wish
from sardonyx_server.life.session import Runtime
from sardonyx_server.life.states import State
from sardonyx_server.life.watcher import Watcher
from sardonyx_server.served import Served
from sardonyx_server.telemetry import sender as sender_module
from sardonyx_server.telemetry.metrics import names
from sardonyx_server.telemetry.metrics.values import Values
from server.loaded import BOUNDS
from server.scene import (
    ALONE,
    LOOKUP,
    PATIENCE_S,
    infer,
    is_ready,
    lookup_graph,
    number_request,
    publish_by_hand,
    wait_until,
)
from server.sink import Sink, attribute, free_port, running
from server.test_batcher import LONG, SESSIONS, feed_of, gated
from server.test_sender import numbers, record_of, sending
from server.test_silent_registry import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sardonyx_server.life.loader import Loaded
    from server.scene import Scene

#: Nobody has room for such a stack.
TOO_LARGE: Final = 1 << 47


@contextmanager
def no_threads() -> Iterator[None]:
    """Within it, no thread can be started."""
    before = threading.stack_size(TOO_LARGE)
    try:
        yield
    finally:
        threading.stack_size(before)


async def test_the_registry_is_followed_again(tmp_path: Path) -> None:
    """A reading that has no thread is reported, and the next ones take place."""
    watcher = Watcher(Registry(str(tmp_path)), 0.01, lambda _wishes, _unread: None)
    with no_threads():
        watching = asyncio.create_task(watcher.run())
        await until(lambda: "can't start new thread" in watcher.error, "it is said")
        assert watcher.last_read is None
    await until(lambda: watcher.last_read is not None, "it is read")
    assert not watcher.error
    watching.cancel()
    await asyncio.wait([watching])


async def test_a_version_is_loaded_after_all(tmp_path: Path) -> None:
    """A load that has no thread failed, so nobody waits for it, and it is tried again."""
    registry = tmp_path / "registry"
    publish_by_hand(registry, LOOKUP, lookup_graph(), golden={0: 10.0, 2: 30.0})
    queue = RowQueue(BOUNDS.rows_max)

    def serving(loaded: Loaded, released: Callable[[], None]) -> Served:
        batcher = Batcher(loaded.session, loaded.cost, queue, Limits())
        return Served(loaded.manifest, loaded.typed, batcher, BOUNDS, released)

    manager = Manager(Registry(str(registry)), serving, Runtime(), lambda _model: None, load_timeout_s=60)
    with no_threads():
        manager.wish({LOOKUP: Wish(default_major=1, live={1: 1}, log=Log())}, ())
        version = manager.models[LOOKUP].versions[1]
        await until(lambda: version.state is State.FAILED, "it failed")
        assert manager.settled
    await until(lambda: version.state is State.READY, "it is ready")
    await manager.stop()
    queue.close()


async def test_a_run_is_refused_and_no_more() -> None:
    """Its caller is told to call again later, nothing is run for nobody then, and who calls later is answered."""
    gate, runs, queue = asyncio.Event(), list[int](), RowQueue(BOUNDS.rows_max)
    batcher = Batcher(gated(SESSIONS[0], gate, runs), LONG, queue, Limits(runs_max=2))
    busy = asyncio.create_task(batcher.run(feed_of([1]), 1, None))
    await until(lambda: bool(runs), "a thread is busy")
    with no_threads(), pytest.raises(Overloaded, match="no thread"):
        await batcher.run(feed_of([2, 3]), 2, None)
    gate.set()
    await busy
    ran = await batcher.run(feed_of([4]), 1, None)
    assert ran.outputs[0].tolist() == [4.0]
    assert (runs, queue.rows) == ([1, 1], 0)
    queue.close()


async def test_memory_is_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that has no thread is not the last one."""
    monkeypatch.setattr(memory, "INTERVAL_S", 0.01)
    looked = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Keeper(memory.Keeper):
        def look(self) -> None:
            super().look()
            loop.call_soon_threadsafe(looked.set)

    with no_threads():
        keeping = asyncio.create_task(Keeper().run())
        await asyncio.sleep(0.05)
        assert not looked.is_set()
    await until(looked.is_set, "it is looked at")
    keeping.cancel()
    await asyncio.wait([keeping])


def test_spans_are_sent_without_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of a moment in which no thread can be started arrive, and so do all that follow."""
    monkeypatch.setattr(sender_module, "DELAY_S", 0.02)
    collector = Sink()
    with running(collector) as endpoint, sending(endpoint) as sender:
        sender.take([record_of(0)], 0)
        wait_until(lambda: sender.sent == 1, "the first is sent")
        with no_threads():
            sender.take([record_of(1)], 0)
            wait_until(lambda: sender.sent == 2, "the second is sent")
        sender.take([record_of(2)], 0)
        wait_until(lambda: sender.sent == 3, "so is the next")
        assert (collector.ids, sender.dropped, sender.error) == (numbers(3), 0, "")


#: A worker whose system has no thread left from a signal on.
EXHAUSTED: Final = f"""
import signal, threading
from sardonyx_server import worker
signal.signal(signal.SIGUSR1, lambda *_: threading.stack_size({TOO_LARGE}))
worker.main()
"""


def test_a_worker_ends_well(scene: Scene) -> None:
    """Its last spans and counts are told, and its status is 0, without a traceback."""
    collector, port = Sink(), free_port()
    fixed = ["--registry", str(scene.registry), "--listen", f"127.0.0.1:{port}", *ALONE]
    with running(collector) as endpoint, grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        arguments = [*fixed, "--metrics-port", str(free_port()), "--otlp-endpoint", f"http://{endpoint}"]
        config = _configured(**serve.make_context("serve", arguments).params)
        with subprocess.Popen(
            [sys.executable, "-c", EXHAUSTED, config.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as worker:
            try:
                grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
                wait_until(lambda: is_ready(channel), "every model answers")
                worker.send_signal(signal.SIGUSR1)
                infer(channel, number_request(LOOKUP, 1))
                worker.terminate()
                told, said = worker.communicate(timeout=PATIENCE_S)
            finally:
                worker.kill()
    assert (worker.returncode, b"Traceback" in said) == (0, False), said.decode()
    assert [attribute(span, telemetry.MODEL_NAME).string_value for span in collector.spans] == [LOOKUP]
    counted = [
        Values.of(pipe.read(line)[pipe.METRICS]) for line in told.splitlines() if pipe.METRICS in pipe.read(line)
    ]
    assert sum(sum(values.numbers.get(names.REQUESTS.name, {}).values()) for values in counted) == 1
