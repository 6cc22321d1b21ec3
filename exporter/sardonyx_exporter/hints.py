"""Commands that a message tells its reader to give next: they can be pasted as they stand."""

from __future__ import annotations

import shlex


def command(*words: object, registry: str) -> str:
    """A command of the exporter, with the registry as it was given."""
    return f"`{shlex.join(['sardonyx-exporter', *map(str, words), '--registry', registry])}`"
