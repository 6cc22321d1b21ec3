"""``python -m sardonyx_exporter``: the same as the console script."""

from sardonyx.launch import exporter

exporter()
