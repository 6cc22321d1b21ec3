"""What all tests share."""

from __future__ import annotations

import os
import signal

# Who runs the tests in the background, or under nohup, has these ignored, and so would every program that they start.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    """How many tests run at once, where nobody says: they wait for programs for a third of their time."""
    return (os.cpu_count() or 1) + 1
