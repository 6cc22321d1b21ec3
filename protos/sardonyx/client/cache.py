"""What is known of models' interfaces, so that a prediction is one call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sardonyx.client.request import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sardonyx.client.answer import ModelInfo

#: How long an interface is believed without asking. It changes when somebody moves the default to another generation; a
#: request that no longer fits is refused by the server, and then the interface is asked for at once.
FRESH_S: Final = 60.0


#: Then one call asks, and all others believe it for so long yet: hundreds under way would ask at once otherwise.
STALE_S: Final = 1.0

#: A version that one worker answered by others may not have yet: so long until the next of them is asked for it.
ELSEWHERE_S: Final = 0.02


class InterfaceCache:
    """Interfaces by model and version, each with what writes requests to it.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._known: dict[tuple[str, str], tuple[Writer, float]] = {}
        self._clock = clock

    def get(self, model: str, version: str) -> Writer | None:
        """What is known and not too old; None: ask."""
        try:
            known = self._known.get((model, version))
        except TypeError:
            # No name is like that; whoever asks will say so.
            return None
        if known is None:
            return None
        writer, until = known
        now = self._clock()
        if now < until:
            return writer
        self._known[model, version] = writer, now + STALE_S
        return None

    def put(self, model: str, version: str, info: ModelInfo) -> Writer:
        """Remember an interface; an equal one keeps its writer."""
        known = self._known.get((model, version))
        writer = known[0] if known is not None and known[0].info == info else Writer(info, version)
        self._known[model, version] = writer, self._clock() + FRESH_S
        return writer
