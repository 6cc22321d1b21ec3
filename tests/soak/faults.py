"""What goes wrong around the server: its registry, its workers, its monitor, its callers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from typing import TYPE_CHECKING, Final

import grpc

from soak.callers.bare import OPTIONS, given_by, infer_of
from soak.callers.course import PATIENCE_S, settle
from soak.models import LONG
from soak.rules import MONITOR_AWAY, QUEUE_FULL, WORKER_GONE
from soak.stage import WORKERS, Loss, is_alive

if TYPE_CHECKING:
    from soak.disturbance import Disturbance, Scene

#: Requests of a burst, and the rows of each: together several times what the queue holds.
_BURST: Final = 40
_BURST_ROWS: Final = 48
#: While it is slowed, the monitor runs for a fifth of the time.
_RUNS_S: Final = 0.1
_RESTS_S: Final = 0.4
#: Spans wait half a second for company, and a call takes its time on a busy machine.
SENT_AFTER_S: Final = 5.0
#: Once the monitor is back, a worker's next attempt may be 7.5 s away, and what it has collected takes some calls.
BACK_AFTER_S: Final = 20.0
#: Spans that wait in two workers when all is well: what comes within a second or two.
_BUFFERED: Final = 1000


class RegistryGone:
    """The registry's folder is away, as a mount that is lost: nothing changes for anybody."""

    name = "registry gone"
    meaning = "the registry's folder is away"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Take it away, and bring it back."""
        async with scene.registry:
            away = scene.stage.registry.with_name("registry-away")
            scene.stage.registry.rename(away)
            try:
                await scene.hold(3, 8)
            finally:
                away.rename(scene.stage.registry)


class RegistryEmpty:
    """The registry's folder is there and empty, as a mount that did not come up: nothing changes for anybody."""

    name = "registry empty"
    meaning = "the registry's folder is empty"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Put an empty folder in its place, and bring it back."""
        async with scene.registry:
            away = scene.stage.registry.with_name("registry-away")
            scene.stage.registry.rename(away)
            scene.stage.registry.mkdir()
            try:
                await scene.hold(3, 8)
            finally:
                shutil.rmtree(scene.stage.registry)
                away.rename(scene.stage.registry)


class WorkerKilled:
    """A worker dies at once. The eldest is spared, so that one lives as long as the soak and shows its memory."""

    name = "worker killed"
    meaning = "kill -9 of a worker"
    early = False
    number = signal.SIGKILL

    async def strike(self, scene: Scene) -> None:
        """End it, and wait until another one serves in its place."""
        # The other one needs the registry.
        async with scene.registry:
            await replace_worker(scene, self.number)
        await scene.hold(1, 2)


class WorkerEnded(WorkerKilled):
    """A worker is told to end: it drains, and another one takes its place."""

    name = "worker ended"
    meaning = "SIGTERM to a worker"
    early = False
    number = signal.SIGTERM


class MonitorStopped:
    """The monitor's process stands still: calls to it hang."""

    name = "monitor stopped"
    meaning = "SIGSTOP to the monitor, then SIGCONT"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Stop it, and let it go on."""
        with scene.windows.open(MONITOR_AWAY):
            scene.stage.monitor.process.send_signal(signal.SIGSTOP)
            try:
                await scene.hold(3, 8)
            finally:
                scene.stage.monitor.process.send_signal(signal.SIGCONT)
            await _spans_flow(scene)


class MonitorSlowed:
    """The monitor gets a fifth of the time."""

    name = "monitor slowed"
    meaning = "the monitor runs a fifth of the time"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Stop it and let it go on, again and again."""
        with scene.windows.open(MONITOR_AWAY):
            ends = time.monotonic() + scene.random.uniform(4, 8) * scene.pace
            while time.monotonic() < ends:
                scene.stage.monitor.process.send_signal(signal.SIGSTOP)
                try:
                    await asyncio.sleep(_RESTS_S)
                finally:
                    scene.stage.monitor.process.send_signal(signal.SIGCONT)
                await asyncio.sleep(_RUNS_S)
            await _spans_flow(scene)


class MonitorRestarted:
    """The monitor ends as its operator asks, and comes back."""

    name = "monitor restarted"
    meaning = "SIGTERM to the monitor, then another start"
    early = True

    async def strike(self, scene: Scene) -> None:
        """End it, and start it again."""
        with scene.windows.open(MONITOR_AWAY):
            await asyncio.to_thread(self._end, scene)
            try:
                await scene.hold(1, 4)
            finally:
                await asyncio.to_thread(scene.stage.start_monitor)
            await _spans_flow(scene)

    def _end(self, scene: Scene) -> None:
        assert scene.stage.monitor.stop() == 0, "".join(scene.stage.monitor.lines)


class MonitorKilled(MonitorRestarted):
    """The monitor dies at once: what it acknowledged it has."""

    name = "monitor killed"
    meaning = "kill -9 of the monitor, then another start"
    early = True

    def _end(self, scene: Scene) -> None:
        scene.stage.monitor.process.kill()
        scene.stage.monitor.stop()


class Burst:
    """One client sends more than the queue holds: what does not fit is refused, and the rest is answered."""

    name = "burst"
    meaning = f"{_BURST} requests of {_BURST_ROWS} rows at once"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Send them, several times over."""
        with scene.windows.open(QUEUE_FULL):
            async with grpc.aio.insecure_channel(scene.course.address, options=OPTIONS) as channel:
                for _ in range(3):
                    await self._send(scene, channel)

    async def _send(self, scene: Scene, channel: grpc.aio.Channel) -> None:
        infer = infer_of(channel)
        async with asyncio.TaskGroup() as group:
            for _ in range(_BURST):
                ask = scene.ledger.enter("burst", LONG, 0, _BURST_ROWS, patience_s=PATIENCE_S)
                group.create_task(settle(scene.course, ask, given_by(scene.course, infer, ask)))


FAULTS: Final[tuple[type[Disturbance], ...]] = (
    RegistryGone,
    RegistryEmpty,
    WorkerKilled,
    WorkerEnded,
    MonitorStopped,
    MonitorSlowed,
    MonitorRestarted,
    MonitorKilled,
    Burst,
)


async def replace_worker(scene: Scene, number: signal.Signals) -> None:
    """End the youngest worker by a signal, and wait until another one serves in its place."""
    with scene.windows.open(WORKER_GONE):
        victim, ready = scene.stage.workers()[-1], len(scene.models)
        if number == signal.SIGKILL:
            scene.stage.losses.append(_lost_since(scene))
        os.kill(victim, number)
        await scene.wait(lambda: not is_alive(victim), f"worker {victim} ends")
        await scene.wait(lambda: len(scene.stage.workers()) == WORKERS, "another worker is started")
        await scene.wait(lambda: scene.stage.ready_workers(ready) == WORKERS, "it has every model ready")


def _lost_since(scene: Scene) -> Loss:
    """What a worker that is killed now may not have sent: what came since the monitor was last there for it."""
    now, since = time.monotonic(), time.monotonic() - SENT_AFTER_S
    for began, ended in scene.windows.spans(MONITOR_AWAY):
        if ended + BACK_AFTER_S >= now:
            since = min(since, began - SENT_AFTER_S)
    return Loss(time.time() - (now - since), time.time())


async def _spans_flow(scene: Scene) -> None:
    """Wait until the workers have sent what waited for the monitor."""
    sent = await asyncio.to_thread(scene.stage.total, "sardonyx_spans_sent_total")
    await scene.wait(
        lambda: (
            scene.stage.total("sardonyx_spans_sent_total") > sent
            and scene.stage.total("sardonyx_spans_buffered") < _BUFFERED
        ),
        "the workers send spans again",
    )
