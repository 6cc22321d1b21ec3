"""``python -m sardonyx_monitor``: the same as the console script."""

from sardonyx_monitor.app import main

main()
