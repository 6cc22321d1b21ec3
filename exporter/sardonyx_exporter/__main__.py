"""``python -m sardonyx_exporter``: the same as the console script."""

from sardonyx_exporter.app import main

main()
