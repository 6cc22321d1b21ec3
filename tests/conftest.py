"""What all tests share."""

from __future__ import annotations

import signal

# Who runs the tests in the background, or under nohup, has these ignored, and so would every program that they start.
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
