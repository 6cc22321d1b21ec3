"""Triton's C++ server with the ONNX session in its Python backend, coalescing requests as Triton does."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from typing import TYPE_CHECKING, Final

from contenders.environment import environment
from contenders.process import PROGRAMS, Contender, NotHere, free_port, start, wait_until_answered

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

_VERSION: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

#: With max_batch_size 0 the same server answered 3,480 requests/s on one processor instead of 13,900.
_CONFIG: Final = """
name: "bench"
backend: "python"
max_batch_size: 1024
dynamic_batching {{ }}
input [{{ name: "features", data_type: TYPE_FP64, dims: [{columns}] }}]
output [
  {{ name: "label", data_type: TYPE_INT64, dims: [1], reshape: {{ shape: [] }} }},
  {{ name: "probabilities", data_type: TYPE_FP64, dims: [2] }}
]
instance_group [{{ count: 1, kind: KIND_CPU }}]
parameters [{{ key: "graph", value: {{ string_value: "{graph}" }} }}]
"""


def start_triton(stack: ExitStack, folder: Path, graph: Path, columns: int, request: bytes) -> Contender:
    """Start it with one graph.

    Args:
        stack: ends it.
        folder: an empty place for its files.
        graph: the ONNX file.
        columns: how many numbers a row has.
        request: what it must answer before it counts as started.

    Raises:
        NotHere: it cannot be installed, or does not start.
    """
    home = environment("triton")
    packages = home / "lib" / f"python{_VERSION}" / "site-packages"
    contender = Contender("Triton", free_port())
    _lay_out(folder, packages / "pytriton" / "tritonserver", _CONFIG.format(columns=columns, graph=graph))
    command = [
        str(packages / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        *(f"--model-repository={folder / 'models'}", f"--backend-directory={folder / 'backends'}"),
        *("--grpc-address=127.0.0.1", f"--grpc-port={contender.port}", "--allow-http=false", "--allow-metrics=false"),
    ]
    libraries = (str(sysconfig.get_config_var("LIBDIR")), str(packages / "nvidia_pytriton.libs"))
    variables = {"LD_LIBRARY_PATH": ":".join(libraries), "PATH": f"{home / 'bin'}:{os.environ['PATH']}"}
    process = start(stack, command, log=folder / "log", environment=variables)
    wait_until_answered(contender, process, request)
    return contender


def _lay_out(folder: Path, server: Path, config: str) -> None:
    """The repository of models, and the Python backend with the stub of this interpreter's version beside it.

    Raises:
        NotHere: the package has no such stub.
    """
    stub = server / "python_backend_stubs" / _VERSION / "triton_python_backend_stub"
    if not stub.exists():
        raise NotHere(f"nvidia-pytriton has no Python backend for Python {_VERSION}")
    shutil.copytree(server / "backends" / "python", folder / "backends" / "python")
    shutil.copy(stub, folder / "backends" / "python")
    model = folder / "models" / "bench"
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(config)
    shutil.copy(PROGRAMS / "triton_model.py", model / "1" / "model.py")
