"""What is known of models' interfaces, so that a prediction is one call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sardonyx.client.answer import ModelInfo

#: How long an interface is believed without asking. It changes when somebody moves the default to another generation; a
#: request that no longer fits is refused by the server, and then the interface is asked for at once.
FRESH_S: Final = 60.0


class InterfaceCache:
    """Interfaces by model and version."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[ModelInfo, float]] = {}

    def get(self, model: str, version: str) -> ModelInfo | None:
        """What is known and not too old."""
        info, learned = self._known.get((model, version), (None, 0.0))
        return info if info is not None and time.monotonic() - learned < FRESH_S else None

    def put(self, model: str, version: str, info: ModelInfo) -> None:
        """Remember an interface."""
        self._known[model, version] = info, time.monotonic()
