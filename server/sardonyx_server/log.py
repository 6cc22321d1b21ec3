"""Log lines: text for people or JSON for machines, on standard error."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG: Final = logging.getLogger("sardonyx.server")


class _JsonLines(logging.Formatter):
    """One JSON object a line; tracebacks are in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _utc(record),
            "level": record.levelname.lower(),
            "process": record.process,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Lines(logging.Formatter):
    """A line for people. Fields follow the message as ``name=value``, in JSON: a caller's text stays one line."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        return _utc(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        fields = "".join(f" {name}={json.dumps(value)}" for name, value in _fields(record).items())
        return super().formatMessage(record) + fields


def _utc(record: logging.LogRecord) -> str:
    """When it was written: UTC, ISO 8601."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """What a line says beside its message: given to the logger as ``extra={"fields": {…}}``."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a line of gRPC's is for this server's operator.

    An answer that nobody takes is none: its caller's deadline ended while it was sent, or the caller went away. gRPC
    writes an error with a traceback for each, so that whoever calls could fill the log.
    """
    raised = record.exc_info[0] if record.exc_info else None
    return raised is None or raised.__name__ != "ExecuteBatchError"


def set_up_logging(*, json_lines: bool) -> None:
    """Write this process's log lines to standard error."""
    handler = logging.StreamHandler()
    text = _Lines("%(asctime)s %(levelname)-7s [%(process)d] %(message)s")
    handler.setFormatter(_JsonLines() if json_lines else text)
    # Of libraries, too: otherwise they are written as they come.
    logging.captureWarnings(capture=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_ours)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
