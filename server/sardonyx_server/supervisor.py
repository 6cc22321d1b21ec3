"""The parent process: keeps the workers running, and has no part in any request."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import os
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

    The port is held by a socket that does not listen: it reserves the number for the workers, who share it by
    SO_REUSEPORT, and refuses it to every other server. Each worker's standard input is a pipe from here: when it
    closes, for whatever reason, the worker drains and ends.
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
        for number in _signals():
            loop.add_signal_handler(number, self._stop)
        await asyncio.gather(*(self._keep_running(config, index) for index in range(config.workers)))

    def _stop(self) -> None:
        """End the workers; a second signal tells them that there is no time for a grace."""
        if self._stopping.is_set():
            for process in self._workers:
                _send(process, pipe.HURRY)
        self._stopping.set()

    async def _keep_running(self, config: Config, index: int) -> None:
        delay_s = RESTART_DELAY_S
        while not self._stopping.is_set():
            started = asyncio.get_running_loop().time()
            try:
                process = await self._start(config)
            except (OSError, RuntimeError) as error:
                # The system has no process, thread, file or memory left for it: soon, perhaps, it has.
                fate = f"cannot be started ({error})"
            else:
                status = await self._run_worker(process, index, config.address)
                self._totals.end(index, restarts=not self._stopping.is_set())
                self._failed |= self._stopping.is_set() and status != 0
                fate = f"ended with status {status}"
            if self._stopping.is_set():
                return
            lived_s = asyncio.get_running_loop().time() - started
            delay_s = RESTART_DELAY_S if lived_s > HEALTHY_AFTER_S else min(delay_s * 2, RESTART_DELAY_S_MAX)
            LOG.error("worker %d %s; starting it again in %.1f s", index, fate, delay_s)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)

    async def _start(self, config: Config) -> Process:
        """Start a worker.

        Raises:
            OSError, RuntimeError: the system cannot.
        """
        config = dataclasses.replace(config, others_answer=bool(self._accepting))
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sardonyx_server.worker", config.to_json()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=pipe.LINE_BYTES_MAX,
            env=sharing.environment(),
            # A Ctrl-C reaches the whole group of a terminal: the workers are to hear of it from here alone.
            start_new_session=True,
        )

    async def _run_worker(self, process: Process, index: int, address: Address) -> int:
        """Run a worker that was started to its end; its exit status."""
        self._workers.add(process)
        listening = asyncio.create_task(self._listen(process, index, address))
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
        _send(process, signal.SIGTERM)
        done, _ = await asyncio.wait([ended], timeout=self._config.drain_timeout_s + KILL_AFTER_S)
        if not done:
            LOG.error("worker %d did not end in time; killing it", process.pid)
            _send(process, signal.SIGKILL)

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
        """Say once that the port answers, on standard output; where that cannot be written, in the log."""
        if self._announced:
            return
        self._announced = True
        output = sys.__stdout__
        try:
            if output is None:
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            # Past Python's buffer: what cannot be written would make a bad end of a good one at exit.
            os.write(output.fileno(), f"sardonyx-server listening on {address}\n".encode())
        except OSError as error:
            LOG.warning("listening on %s; standard output cannot be told so: %s", address, error.strerror)


def _send(process: Process, number: signal.Signals) -> None:
    # It may have ended since.
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _signals() -> list[signal.Signals]:
    """What ends a server: a terminal that is closed too, unless nohup has said that it does not."""
    ends = [signal.SIGTERM, signal.SIGINT]
    return ends if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*ends, signal.SIGHUP]


def _reserve(address: Address) -> socket.socket:
    """Take the port: while this socket is open its workers may listen there, and no other server.

    The kernel would let servers of one user share a port. Three things together prevent it, without a file that would
    have to be written, shared and removed. Who reserves asks without SO_REUSEPORT, which anyone's listening socket
    refuses. Of those who ask at one moment only one can listen, and does until it has its reservation. And a
    reservation without SO_REUSEADDR refuses whoever asks so, whether or not a worker listens.

    Raises:
        OSError: the address is taken or does not exist.
    """
    with _bound(address) as asking:
        asking.listen()
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reservation = _bound(Address(address.host, asking.getsockname()[1]), socket.SO_REUSEPORT)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return reservation


def _bound(address: Address, *options: int) -> socket.socket:
    """A socket at an address where a former server's last connections may still be known to the kernel.

    Raises:
        OSError: the address is taken or does not exist.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    return bound
