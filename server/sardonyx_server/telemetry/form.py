"""Messages that are equal but for some fields of a fixed length: written once, and filled in for many at a time."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from sardonyx.protobuf import delimited

Array = npt.NDArray[Any]


class Form:
    """Bytes with places in them, put together from its beginning to its end.

    Attributes:
        written: the bytes, whose places hold what they were made with.
    """

    def __init__(self) -> None:
        self.written = b""
        self._places: dict[str, tuple[Any, int]] = {}

    def add(self, written: bytes) -> None:
        """Append what is equal in all messages."""
        self.written += written

    def place(self, name: str, kind: Any, before: bytes, content: bytes = b"") -> None:
        """Append a place.

        Args:
            name: what fills it.
            kind: numpy's type of it.
            before: what stands in front of it, such as the keys of the field.
            content: what it holds where it is not filled, or not all of it.
        """
        self._places[name] = (kind, len(self.written) + len(before))
        self.written += before + (content or bytes(np.dtype(kind).itemsize))

    def within(self, tag: bytes) -> Form:
        """The form as a field of the message around it."""
        framed = Form()
        framed.written = delimited(tag, self.written)
        moved = len(framed.written) - len(self.written)
        framed._places = {name: (kind, offset + moved) for name, (kind, offset) in self._places.items()}
        return framed

    def copies(self, count: int) -> Array:
        """So many messages one after the other, their places as fields to be filled."""
        return np.frombuffer(bytearray(self.written) * count, dtype=self._dtype)

    @cached_property
    def _dtype(self) -> np.dtype[Any]:
        """A message with its places; nothing is appended any more."""
        return np.dtype(
            {
                "names": list(self._places),
                "formats": [kind for kind, _ in self._places.values()],
                "offsets": [offset for _, offset in self._places.values()],
                "itemsize": len(self.written),
            }
        )
