"""``python -m sardonyx_server``: the same as the console script."""

from sardonyx.launch import server

server()
