"""The servers that are measured, each a process of its own, all with the same ONNX session."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sardonyx.registry import Registry
from sardonyx_exporter import export, promote

if TYPE_CHECKING:
    from contextlib import ExitStack

HERE = Path(__file__).parent
READY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under load.

    Attributes:
        name: how the table calls it.
        port: where it listens.
    """

    name: str
    port: int


def start_all(stack: ExitStack, columns: int) -> list[Contender]:
    """Start the bare server and sardonyx-server without and with telemetry; the stack ends them."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    registry = folder / "registry"
    model = _export_model(registry, columns)
    bare, sink, silent, traced = (_free_port() for _ in range(4))
    server_cpu = min(os.sched_getaffinity(0))
    load_cpu = max(os.sched_getaffinity(0))
    _start(stack, load_cpu, str(HERE / "sink.py"), str(sink))
    _start(stack, server_cpu, str(HERE / "bare_server.py"), str(model), str(bare))
    serve = ("-m", "sardonyx_server", "--registry", str(registry), "--workers", "1")
    _start(stack, server_cpu, *serve, "--listen", f"127.0.0.1:{silent}")
    _start(stack, server_cpu, *serve, "--listen", f"127.0.0.1:{traced}", "--otlp-endpoint", f"http://127.0.0.1:{sink}")
    contenders = [
        Contender("bare", bare),
        Contender("sardonyx, telemetry off", silent),
        Contender("sardonyx, telemetry on", traced),
    ]
    for contender in contenders:
        with grpc.insecure_channel(f"127.0.0.1:{contender.port}") as channel:
            grpc.channel_ready_future(channel).result(timeout=READY_TIMEOUT_S)
    return contenders


def _export_model(registry: Path, columns: int) -> Path:
    """A small model, so that what surrounds it is what is measured; returns its ONNX file."""
    features, target = load_breast_cancer(return_X_y=True)
    train, hold_out, train_target, hold_out_target = train_test_split(features[:, :columns], target, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(train, train_target)
    export(pipeline, name="bench", holdout=(hold_out, hold_out_target), registry=str(registry))
    promote("bench", 1, registry=str(registry))
    reader = Registry(str(registry))
    path = registry.parent / "model.onnx"
    path.write_bytes(reader.blob(reader.manifest("bench", 1).artifact))
    return path


def _start(stack: ExitStack, cpu: int, *arguments: str) -> None:
    process = subprocess.Popen(
        ["taskset", "-c", str(cpu), sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    stack.callback(process.wait, timeout=30)
    stack.callback(process.terminate)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
