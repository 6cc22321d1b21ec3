"""Runs a module as ``python -m`` does, in a process that ends when its parent does, however that ends.

    python -m flights.child sardonyx_server --registry registry/

Standard input is a pipe whose other end the parent holds and never writes to. The system closes it even where the
parent was killed.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def end_with_parent() -> None:
    """Ask this process to end, as an operator would, once nobody holds the other end of standard input."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
