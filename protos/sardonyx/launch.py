"""The console scripts: each starts its program, or says which extra it needs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Final, NoReturn

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
    for package in _NEEDS[part]:
        if not _is_installed(package):
            _explain(part, package)
    importlib.import_module(f"sardonyx_{part}.app").main()


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        # Of a dotted name, the parent is missing.
        return False


def _explain(part: str, missing: str) -> NoReturn:
    print(  # noqa: T201 - the one line that this program can say
        f"sardonyx-{part} needs {missing}, which is not installed. Install it: pip install 'sardonyx[{part}]'",
        file=sys.stderr,
    )
    sys.exit(USAGE_ERROR)
