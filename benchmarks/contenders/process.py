"""Processes of a benchmark: each on a processor of its own choosing, and ended with the benchmark."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc

from load import PATH, frame
from sardonyx.oip import messages as oip

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
PROGRAMS: Final = ROOT / "benchmarks" / "programs"
#: Triton needs a few seconds, everything else less.
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 40.0
OUTPUT_TIMEOUT_S: Final = 120.0

#: Servers and load have a processor each, where the machine has two.
SERVER_CPU: Final = min(os.sched_getaffinity(0))
LOAD_CPU: Final = max(os.sched_getaffinity(0))


class NotHere(Exception):
    """A contender cannot run on this machine; the text says why."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under load.

    Attributes:
        name: how tables call it.
        port: where it listens.
    """

    name: str
    port: int

    @property
    def address(self) -> str:
        """For clients."""
        return f"127.0.0.1:{self.port}"


def python(*arguments: str) -> list[str]:
    """The command line of this interpreter."""
    return [sys.executable, *arguments]


def start(
    stack: contextlib.ExitStack,
    command: Sequence[str],
    *,
    cpu: int = SERVER_CPU,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process on one processor; the stack ends it.

    Args:
        stack: ends the process when it closes.
        command: the command line.
        cpu: the processor that it may use.
        log: where its output goes; by default nowhere.
        environment: what is added to the environment.
    """
    output = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), *command],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        # Linux shares processors between sessions first (sched_autogroup): each contender is one, as a service is.
        start_new_session=True,
        env={**os.environ, **(environment or {})},
    )
    stack.callback(_end, process)
    return process


def output_of(command: Sequence[str], *, cpu: int, environment: Mapping[str, str] | None = None) -> str:
    """What a program prints that ends by itself, on one processor."""
    done = subprocess.run(
        ["taskset", "-c", str(cpu), *command],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=OUTPUT_TIMEOUT_S,
        env={**os.environ, **(environment or {})},
    )
    return done.stdout


def wait_until_answered(contender: Contender, process: subprocess.Popen[bytes], request: bytes) -> None:
    """Wait until a server answers a request.

    Raises:
        NotHere: it ended, or never did.
    """
    deadline = time.monotonic() + READY_TIMEOUT_S
    with grpc.insecure_channel(contender.address) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PATH)
        while True:
            try:
                call(request, timeout=1.0)
            except grpc.RpcError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NotHere(f"{contender.name} does not answer: {error.details()}") from None
                time.sleep(0.05)
            else:
                return


def answer_of(address: str, request: bytes) -> oip.ModelInferResponse:
    """One answer; raises grpc.RpcError where the server refuses."""
    return oip.ModelInferResponse.FromString(_answer(address, request))


def answer_bytes(address: str, request: bytes, path: str = PATH) -> int:
    """The length of an answer's gRPC frame."""
    return len(frame(_answer(address, request, path)))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answer(address: str, request: bytes, path: str = PATH) -> bytes:
    with grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(path)
        return call(request, timeout=30, wait_for_ready=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
