"""How much may be under way at once: a permit is taken before work begins."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sardonyx.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Four of the largest messages. Decoded, a message takes about ten times its size: 14 attributes a span, 600 bytes as
#: OTLP, are 6 kB of rows.
BYTES_MAX: Final = 128 * 1024 * 1024
#: The largest message that is read: gRPC's usual 4 MiB is what collectors batch by, and some batch by more.
MESSAGE_BYTES_MAX: Final = 32 * 1024 * 1024
RETRY_AFTER_S: Final = 0.5


class Admission:
    """A budget of bytes, from arrival until they are stored. For one event loop."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._left = bytes_max

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator[None]:
        """Hold so many bytes of the budget.

        Raises:
            Unavailable: there is no room now. The same call may succeed later.
        """
        if size_bytes > self._left:
            raise Unavailable("The monitor is busy with other calls. Send this one again later.", RETRY_AFTER_S)
        self._left -= size_bytes
        try:
            yield
        finally:
            self._left += size_bytes
