"""The programs under test: a server with its workers, and the monitor that is its collector."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from support.programs import Program

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKERS: Final = 2
#: Small, so that a burst can fill it.
QUEUE_ROWS_MAX: Final = 512
POLL_INTERVAL_S: Final = 0.2
#: Metrics come from the workers twice a second.
_SCRAPE_TIMEOUT_S: Final = 5.0

_SAMPLE: Final = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


class Sample(NamedTuple):
    """One value of Prometheus's text format."""

    name: str
    labels: Mapping[str, str]
    value: float


class Loss(NamedTuple):
    """A worker was killed: spans of what was answered from ``since`` to ``until`` may be lost, seconds since 1970."""

    since: float
    until: float


class Stage:
    """Starts what is tried, and ends it whatever happens to it meanwhile.

    Args:
        folder: where the registry and the monitor's store are.

    Attributes:
        address: of the server.
        otlp: of the monitor.
        losses: what workers that were killed may have taken with them.
    """

    def __init__(self, folder: Path) -> None:
        self.registry = folder / "registry"
        self.data = folder / "monitor"
        self.address = self.otlp = ""
        self.losses: list[Loss] = []
        self._metrics_port = _free_port()
        self._server: Program | None = None
        self._monitor: Program | None = None
        # A fault may be starting the monitor in a thread while everything is being ended.
        self._lock = threading.Lock()
        self._ended = False

    @property
    def server(self) -> Program:
        """The server, once started."""
        assert self._server is not None
        return self._server

    @property
    def monitor(self) -> Program:
        """The monitor, once started."""
        assert self._monitor is not None
        return self._monitor

    def start(self) -> None:
        """Start both."""
        self.start_monitor()
        self._server = Program.start(
            "sardonyx_server",
            *("--registry", str(self.registry), "--listen", "127.0.0.1:0", "--workers", str(WORKERS)),
            *("--otlp-endpoint", f"http://{self.otlp}", "--metrics-port", str(self._metrics_port)),
            *("--poll-interval-s", str(POLL_INTERVAL_S), "--queue-rows-max", str(QUEUE_ROWS_MAX)),
            *("--drain-grace-s", "0"),
        )
        self.address = self._server.wait_for(r"listening on (\S+:\d+)")[1]

    def start_monitor(self) -> None:
        """Start the monitor, after the first time where it was before; not once everything has ended."""
        with self._lock:
            if self._ended:
                return
            self._monitor = Program.start(
                "sardonyx_monitor",
                *("--registry", str(self.registry), "--data", str(self.data)),
                *("--otlp", self.otlp or "127.0.0.1:0", "--web", "127.0.0.1:0"),
            )
        self.otlp = self._monitor.wait_for(r"otlp on (\S+:\d+)")[1]

    def stop(self) -> list[str]:
        """End both as an operator would; what was wrong with that."""
        with self._lock:
            self._ended = True
        flaws = []
        for name, program in (("server", self._server), ("monitor", self._monitor)):
            if program is None:
                continue
            with contextlib.suppress(ProcessLookupError):
                program.process.send_signal(signal.SIGCONT)
            if status := program.stop():
                flaws.append(f"the {name} ended with status {status}: {''.join(program.lines[-5:])}")
        return flaws

    def workers(self) -> list[int]:
        """The process ids of the server's workers, the eldest first."""
        return sorted(_children(self.server.process.pid), key=_start_time)

    def processes(self) -> list[tuple[str, int]]:
        """Everything that runs, by what it is."""
        found = [("supervisor", self.server.process.pid), ("monitor", self.monitor.process.pid)]
        return found + [("worker", pid) for pid in self.workers()]

    def metrics(self) -> list[Sample]:
        """What Prometheus would read; empty where there is nothing to read."""
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=_SCRAPE_TIMEOUT_S) as response:
                lines = response.read().decode().splitlines()
        except OSError:
            return []
        matches = (_SAMPLE.match(line) for line in lines)
        return [Sample(match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])) for match in matches if match]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's values whose labels are these."""
        return sum(
            sample.value
            for sample in self.metrics()
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )

    def ready_workers(self, models: int) -> int:
        """Workers that have so many models ready."""
        ready: Counter[str] = Counter()
        for worker, model in {
            (sample.labels["worker"], sample.labels["model"])
            for sample in self.metrics()
            if sample.name == "sardonyx_version_state" and sample.labels["state"] == "ready" and sample.value
        }:
            del model
            ready[worker] += 1
        return sum(count >= models for count in ready.values())


def is_alive(pid: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        return _stat(pid)[0] != "Z"
    except OSError:
        return False


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, ppid = _stat(int(entry.name))[:2]
                if int(ppid) == parent and state != "Z":
                    found.append(int(entry.name))
    return found


def _start_time(pid: int) -> int:
    try:
        return int(_stat(pid)[19])
    except OSError:
        return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may hold anything."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
