"""MLServer, with the ONNX session in a custom runtime of its own process: the fastest of its settings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contenders.environment import environment
from contenders.process import PROGRAMS, Contender, free_port, start, wait_until_answered

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path


def start_mlserver(stack: ExitStack, folder: Path, graph: Path, request: bytes) -> Contender:
    """Start it with one graph.

    Args:
        stack: ends it.
        folder: an empty place for its files.
        graph: the ONNX file.
        request: what it must answer before it counts as started.

    Raises:
        NotHere: it cannot be installed, or does not start.
    """
    home = environment("mlserver")
    contender = Contender("MLServer", free_port())
    settings = {
        "host": "127.0.0.1",
        "grpc_port": contender.port,
        "http_port": free_port(),
        "metrics_port": free_port(),
        "debug": False,
        # Without a pool of processes behind the server's: a pool costs each request two more wake-ups.
        "parallel_workers": 0,
    }
    model = {"name": "bench", "implementation": "mlserver_runtime.OnnxRuntime", "parameters": {"uri": str(graph)}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    command = [str(home / "bin" / "mlserver"), "start", str(folder)]
    process = start(stack, command, log=folder / "log", environment={"PYTHONPATH": str(PROGRAMS)})
    wait_until_answered(contender, process, request)
    return contender
