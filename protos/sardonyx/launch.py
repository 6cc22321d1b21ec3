"""The console scripts: each starts its program, or says which extra it needs."""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

USAGE_ERROR = 2


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
    try:
        app = importlib.import_module(f"sardonyx_{part}.app")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("sardonyx"):
            raise
        _explain(part, error.name or "a package")
    app.main()


def _explain(part: str, missing: str) -> NoReturn:
    print(  # noqa: T201 - the one line that this program can say
        f"sardonyx-{part} needs {missing}, which is not installed. Install it: pip install 'sardonyx[{part}]'",
        file=sys.stderr,
    )
    sys.exit(USAGE_ERROR)
