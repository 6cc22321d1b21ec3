"""What a caller gives, looked at where it is given: what is of another kind would fail in the depths of gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any, Final

from sardonyx.errors import InvalidInput, Violation

if TYPE_CHECKING:
    from types import UnionType

_WHOLE_MAX: Final = (1 << 31) - 1


def check_kind(name: str, value: object, kind: type | UnionType, form: str) -> None:
    """Refuse what is of another kind.

    Args:
        name: the argument.
        value: what was given.
        kind: its types.
        form: what is expected, in words.

    Raises:
        InvalidInput: it is of none of them.
    """
    if not isinstance(value, kind):
        raise _unexpected(name, form, value)


def whole(name: str, value: Any, form: str) -> int:
    """A whole number of any type; True is none.

    Raises:
        InvalidInput: it is none, or larger than what is sent in 32 bits.
    """
    try:
        if not isinstance(value, bool) and abs(index(value)) <= _WHOLE_MAX:
            return index(value)
    except TypeError:
        pass
    raise _unexpected(name, form, value)


def pairs(name: str, entries: Any) -> list[tuple[Any, Any]]:
    """The entries of a mapping, or of a sequence of pairs.

    Raises:
        InvalidInput: it is neither.
    """
    found = []
    try:
        for entry in entries.items() if isinstance(entries, Mapping) else entries:
            key, value = entry
            if isinstance(entry, str):
                # Two letters are no pair.
                break
            found.append((key, value))
        else:
            return found
    except (TypeError, ValueError):
        pass
    # Without what was given: it may hold a token.
    expected = f"expected a dict, or pairs such as [('tenant', 'a')], got another {type(entries).__name__}."
    raise InvalidInput([Violation(name, expected)])


def _unexpected(name: str, form: str, value: object) -> InvalidInput:
    return InvalidInput([Violation(name, f"expected {form}, got {value!r:.100}.")])
