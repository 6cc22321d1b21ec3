"""The console scripts: each starts its program, or says which extra it needs, and is ended without a traceback."""

from __future__ import annotations

import importlib
import importlib.util
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

FAILED: Final = 1
USAGE_ERROR: Final = 2

#: What each program imports beyond the bare install, some of it only in its children or long after its start.
_NEEDS: Final = {
    "server": (
        "click",
        "grpc_health",
        "grpc_reflection",
        "obstore",
        "onnxruntime",
        "opentelemetry.sdk",
        "prometheus_client",
        "uvloop",
    ),
    "exporter": (
        "click",
        "grpc_tools",
        "joblib",
        "mypy_protobuf",
        "obstore",
        "onnx",
        "onnxruntime",
        "pandas",
        "pyarrow",
        "rich",
        "sklearn",
        "skl2onnx",
    ),
    "monitor": (
        "click",
        "duckdb",
        "grpc_health",
        "jinja2",
        "obstore",
        "opentelemetry.proto",
        "plotly",
        "starlette",
        "uvicorn",
    ),
}


def server() -> None:
    """``sardonyx-server``."""
    _launch("server")


def exporter() -> None:
    """``sardonyx-exporter``."""
    _launch("exporter")


def monitor() -> None:
    """``sardonyx-monitor``."""
    _launch("monitor")


def _launch(part: str) -> None:
    _open_standard_files()
    try:
        _program(part)()
    except OSError as error:
        if error.filename is not None or _takes_output():
            raise
        # What is left in Python's buffer would fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end(f"Error: Standard output cannot be written: {error.strerror}. Let it go elsewhere.", FAILED)


def _open_standard_files() -> None:
    """See to it that no other file is taken for input, output or errors where the caller has closed one of these.

    What libraries write to standard error would go into it, and libuv ends a process that closes it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one. Processes that are started from here have it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _program(part: str) -> Callable[[], None]:
    """What runs a program; a Ctrl-C while it is imported, which takes a second, ends it as one later does: quietly."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    for package in _NEEDS[part]:
        if not _is_installed(package):
            _end(
                f"sardonyx-{part} needs {package}, which is not installed. Install it: pip install 'sardonyx[{part}]'",
                USAGE_ERROR,
            )
    main: Callable[[], None] = importlib.import_module(f"sardonyx_{part}.app").main
    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return main


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        # Of a dotted name, the parent is missing.
        return False


def _takes_output() -> bool:
    """Whether standard output can be written: an error that names no file may be of that."""
    try:
        print(flush=True)  # noqa: T201 - an empty line before a traceback
    except OSError:
        return False
    return True


def _end(sentence: str, status: int) -> NoReturn:
    print(sentence, file=sys.stderr)  # noqa: T201 - the one line that this program can say
    sys.exit(status)
