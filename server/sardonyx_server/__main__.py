"""``python -m sardonyx_server``: the same as the console script."""

from sardonyx_server.app import main

main()
