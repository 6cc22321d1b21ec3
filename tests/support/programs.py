"""Real programs for tests: started on a free port, ended by their process id."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0


@dataclass(slots=True)
class Program:
    """A running program.

    Attributes:
        process: the process.
        lines: what it printed so far.
    """

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _grown: threading.Condition = field(default_factory=threading.Condition)
    _read_all: bool = False
    _reader: threading.Thread | None = None

    @classmethod
    def start(cls, module: str, *arguments: str) -> Program:
        """Start ``python -m module`` and begin to read what it prints."""
        return cls.of([sys.executable, "-m", module, *arguments])

    @classmethod
    def of(cls, command: Sequence[str]) -> Program:
        """Start a command and begin to read what it prints."""
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # A Ctrl-C reaches a terminal's whole group: programs are to hear of it from whoever started them.
            start_new_session=True,
        )
        program = cls(process)
        program._reader = threading.Thread(target=program._read, daemon=True)
        program._reader.start()
        return program

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match of a pattern in what the program prints; fails the test where it ends before."""

        def found() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        with self._grown:
            # One that has ended may have said more than was read of it.
            self._grown.wait_for(lambda: found() or self._read_all, timeout=START_TIMEOUT_S)
        match = found()
        assert match, f"no line matches {pattern!r} in:\n{''.join(self.lines)}"
        return match

    def stop(self) -> int:
        """End it as an operator would; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        assert self._reader is not None
        self._reader.join(timeout=STOP_TIMEOUT_S)
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._grown:
                    self.lines.append(line)
                    self._grown.notify_all()
        with self._grown:
            self._read_all = True
            self._grown.notify_all()


@contextlib.contextmanager
def running_server(registry: Path, *arguments: str) -> Iterator[str]:
    """A sardonyx-server on a free port; its address, once it accepts connections."""
    program = Program.start("sardonyx_server", "--registry", str(registry), "--listen", "127.0.0.1:0", *arguments)
    try:
        address = program.wait_for(r"listening on (\S+:\d+)")[1]
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=START_TIMEOUT_S)
        yield address
    finally:
        assert program.stop() == 0, "".join(program.lines)


@contextlib.contextmanager
def running_monitor(registry: Path, data: Path) -> Iterator[tuple[str, str]]:
    """A sardonyx-monitor on free ports; its OTLP address and its page's address."""
    ports = ("--otlp", "127.0.0.1:0", "--web", "127.0.0.1:0")
    program = Program.start("sardonyx_monitor", "--registry", str(registry), "--data", str(data), *ports)
    try:
        otlp = program.wait_for(r"otlp on (\S+:\d+)")[1]
        page = program.wait_for(r"(http://\S+)")[1]
        yield otlp, page
    finally:
        assert program.stop() == 0, "".join(program.lines)
