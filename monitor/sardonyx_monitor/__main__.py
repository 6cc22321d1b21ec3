"""``python -m sardonyx_monitor``: the same as the console script."""

from sardonyx.launch import monitor

monitor()
