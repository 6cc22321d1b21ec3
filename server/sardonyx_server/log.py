"""Log lines: text for people or JSON for machines, on standard error."""

from __future__ import annotations

import json
import logging
import time
from typing import Final

LOG: Final = logging.getLogger("sardonyx.server")


class _JsonLines(logging.Formatter):
    """One JSON object a line; tracebacks are in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up_logging(*, json_lines: bool) -> None:
    """Write this process's log lines to standard error."""
    handler = logging.StreamHandler()
    text = logging.Formatter("%(asctime)s %(levelname)-7s [%(process)d] %(message)s")
    handler.setFormatter(_JsonLines() if json_lines else text)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
