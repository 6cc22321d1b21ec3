"""Where every part of the monitor says what goes on."""

from __future__ import annotations

import logging
from typing import Final

LOG: Final = logging.getLogger("sardonyx.monitor")


def set_up_logging() -> None:
    """Write this process's log lines to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s [%(process)d] %(message)s", force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
