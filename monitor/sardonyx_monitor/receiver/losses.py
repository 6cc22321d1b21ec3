"""What the monitor itself did not take since it started: shown, so that nobody takes its numbers for complete."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    spans_stored: int = 0
    spans_rejected: int = 0
    spans_rejected_reason: str = ""
    predictions_malformed: int = 0
    outcomes_stored: int = 0
    outcomes_rejected: int = 0
    calls_refused: int = 0
