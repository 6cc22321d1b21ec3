"""Who is at work."""

from __future__ import annotations

import getpass
import os


def current_user() -> str:
    """The name of whoever is logged in; in a container without an entry for the user, its number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
