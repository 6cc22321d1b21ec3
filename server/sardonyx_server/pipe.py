"""What a worker tells its supervisor, one JSON object a line on its standard output; and what it hears from there."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Any, Final

#: To a worker that is to end without a grace. Not a second SIGTERM: who ends all processes of a server at once, as
#: systemd does, means one, and a worker has that from both.
HURRY: Final = signal.SIGINT
#: The port answers.
ACCEPTING: Final = "accepting"
#: Values of metrics: what was counted since the last such line, and gauges.
METRICS: Final = "metrics"
#: A line holds the metrics of every version: about 2 kB each.
LINE_BYTES_MAX: Final = 64 * 1024 * 1024


def tell(kind: str, content: Any = None) -> None:
    """Write a line; waits for the supervisor to make room.

    Where the supervisor is gone nobody is told: the worker hears of that from its standard input.
    """
    line = json.dumps({kind: content}).encode() + b"\n"
    # Past Python's buffer: one that cannot be written would make a bad end of a good one at exit.
    with contextlib.suppress(BrokenPipeError):
        while line:
            line = line[os.write(sys.stdout.fileno(), line) :]


def read(line: bytes) -> dict[str, Any]:
    """The line of a worker; empty where it is none, such as what a library printed."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
