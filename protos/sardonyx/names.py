"""What a model and who calls it may be called."""

from __future__ import annotations

import re

from sardonyx.errors import InvalidInput, Violation

#: Google AIP-122's grammar for resource ids: safe in paths, URLs, DNS labels and, dashes mapped, in proto packages.
MODEL_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")

NAME_LENGTH_MAX = 63

#: Safe in logs, tables and a gRPC channel's user agent.
CALLER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")


def check_model_name(name: str) -> str:
    """Return the name if it is one.

    Raises:
        InvalidInput: it is not; the message says what a name looks like.
    """
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        rule = "a model's name has 1 to 63 lower-case letters, digits and dashes and starts with a letter"
        raise InvalidInput([Violation("model", f"{name!r} is no model name: {rule}. Try 'flight-delay'.")])
    return name


def check_caller_name(name: str) -> str:
    """Return the name if it is one of a caller.

    Raises:
        InvalidInput: it is not; the message says what a name looks like.
    """
    if not isinstance(name, str) or not CALLER_NAME.fullmatch(name):
        rule = "a caller's name has up to 63 letters, digits and ._@- after the first, which is a letter or digit"
        raise InvalidInput([Violation("caller", f"{name!r} is no caller's name: {rule}. Try 'checkout'.")])
    return name
