"""The parent process: keeps the workers running, and has no part in any request."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

from sardonyx.address import Address
from sardonyx_server import pipe, sharing
from sardonyx_server.log import LOG
from sardonyx_server.telemetry.metrics.totals import Totals
from sardonyx_server.telemetry.metrics.values import Values

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from sardonyx_server.config import Config

#: A worker that dies at once is started again after this long, and after twice as long each further time.
RESTART_DELAY_S: Final = 0.1
RESTART_DELAY_S_MAX: Final = 5.0
#: A worker that lived this long had not failed at its start: the delay begins anew.
HEALTHY_AFTER_S: Final = 10.0
#: Beyond the drain's own limit, before a worker that does not end is killed.
KILL_AFTER_S: Final = 2.0


class Supervisor:
    """Starts the workers, starts again those that die, and ends them all.

    The port is held by a socket that never listens: it reserves the number for the workers, who share it by
    SO_REUSEPORT. Each worker's standard input is a pipe from here: when it closes, for whatever reason, the worker
    drains and ends.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._totals = Totals()
        self._stopping = asyncio.Event()
        self._announced = False
        self._failed = False
        self._workers: set[Process] = set()
        #: Those whose port is open, by index.
        self._accepting: set[int] = set()

    def run(self) -> int:
        """Supervise until a signal ends it; the exit status: 0 when every worker ended well."""
        try:
            reservation = _reserve(self._config.address)
        except OSError as error:
            sys.stderr.write(
                f"Error: cannot listen on {self._config.address}: {error.strerror}. Choose another --listen.\n"
            )
            return 1
        with reservation, contextlib.ExitStack() as stack:
            if self._config.metrics_port and not self._answer_prometheus(stack):
                return 1
            port = reservation.getsockname()[1]
            asyncio.run(self._supervise(dataclasses.replace(self._config, port=port)))
        return 1 if self._failed else 0

    def _answer_prometheus(self, stack: contextlib.ExitStack) -> bool:
        """Serve the workers' metrics until the stack ends it; whether that can be."""
        # Only here: most servers do without.
        from sardonyx_server.telemetry.metrics import exposition

        address = Address(self._config.host, self._config.metrics_port)
        try:
            server = exposition.start(address.host, address.port, self._totals)
        except OSError as error:
            sys.stderr.write(
                f"Error: cannot serve metrics on {address}: {error.strerror}. Choose another --metrics-port.\n"
            )
            return False
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        LOG.info("metrics on http://%s/metrics", address)
        return True

    async def _supervise(self, config: Config) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        await asyncio.gather(*(self._keep_running(config, index) for index in range(config.workers)))

    def _stop(self) -> None:
        """End the workers; a second signal tells them that there is no time for a grace."""
        if self._stopping.is_set():
            for process in self._workers:
                _terminate(process)
        self._stopping.set()

    async def _keep_running(self, config: Config, index: int) -> None:
        delay_s = RESTART_DELAY_S
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            status = await self._run_worker(config, index)
            self._totals.end(index, restarts=not self._stopping.is_set())
            if self._stopping.is_set():
                self._failed |= status != 0
                return
            lived_s = asyncio.get_running_loop().time() - started
            delay_s = RESTART_DELAY_S if lived_s > HEALTHY_AFTER_S else min(delay_s * 2, RESTART_DELAY_S_MAX)
            LOG.error("worker %d ended with status %d; starting it again in %.1f s", index, status, delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _run_worker(self, config: Config, index: int) -> int:
        """Run one worker to its end."""
        config = dataclasses.replace(config, others_answer=bool(self._accepting))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sardonyx_server.worker", config.to_json()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=pipe.LINE_BYTES_MAX,
            env=sharing.environment(),
            # A Ctrl-C reaches the whole group of a terminal: the workers are to hear of it from here alone.
            start_new_session=True,
        )
        self._workers.add(process)
        listening = asyncio.create_task(self._listen(process, index, config.address))
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([ended, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            await self._end(process, ended)
        self._workers.discard(process)
        stopping.cancel()
        status = await ended
        # Before it listens for signals one ends it at once, and well: there is nothing to drain yet.
        await listening
        accepted = index in self._accepting
        self._accepting.discard(index)
        return status if accepted or status != -signal.SIGTERM else 0

    async def _end(self, process: Process, ended: asyncio.Task[int]) -> None:
        _terminate(process)
        done, _ = await asyncio.wait([ended], timeout=self._config.drain_timeout_s + KILL_AFTER_S)
        if not done:
            LOG.error("worker %d did not end in time; killing it", process.pid)
            process.kill()

    async def _listen(self, process: Process, index: int, address: Address) -> None:
        """Hear what a worker tells until it ends."""
        if process.stdout is None:
            return
        async for line in process.stdout:
            told = pipe.read(line)
            if pipe.ACCEPTING in told:
                self._accepting.add(index)
                self._announce(address)
                self._totals.take(index, Values())
            elif pipe.METRICS in told:
                self._totals.take(index, Values.of(told[pipe.METRICS]))

    def _announce(self, address: Address) -> None:
        """Say once that the port answers."""
        if not self._announced:
            self._announced = True
            sys.stdout.write(f"sardonyx-server listening on {address}\n")
            sys.stdout.flush()


def _terminate(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


def _reserve(address: Address) -> socket.socket:
    """Take the port without listening on it.

    Raises:
        OSError: the address is taken or does not exist.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # First without SO_REUSEPORT: with it, another server's port would be shared instead of refused.
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address.host, address.port))
    reservation = socket.socket(family, socket.SOCK_STREAM)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind((address.host, address.port))
    return reservation
