"""What the monitor itself did not take since it started: shown, so that nobody takes its numbers for complete."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sardonyx.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(slots=True)
class Losses:
    """Counters with one writer, the event loop.

    Attributes:
        spans_stored: spans acknowledged, those that came again included.
        spans_rejected: spans that could not be kept.
        spans_rejected_reason: the last reason.
        predictions_malformed: spans kept whose words about a prediction could not be read.
        outcomes_stored: outcomes acknowledged, those that came again included.
        outcomes_rejected: outcomes that could not be kept.
        calls_refused: calls turned away because too much was under way.
        calls_unreadable: calls whose bytes are no message of their kind.
        calls_failed: calls that a bug or a broken store made fail; the log says why.
    """

    spans_stored: int = 0
    spans_rejected: int = 0
    spans_rejected_reason: str = ""
    predictions_malformed: int = 0
    outcomes_stored: int = 0
    outcomes_rejected: int = 0
    calls_refused: int = 0
    calls_unreadable: int = 0
    calls_failed: int = 0

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count a call that does not come to its end."""
        try:
            yield
        except Unavailable:
            self.calls_refused += 1
            raise
        except InvalidInput:
            self.calls_unreadable += 1
            raise
        except Exception:
            self.calls_failed += 1
            raise
