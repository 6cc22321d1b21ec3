"""One thing that differs between two interfaces, and what it means for those who call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that differs.

    Attributes:
        rule: the rule's name; buf's own for a rule of the wire.
        change: what changed, as the beginning of a sentence.
        meaning: what it means for a caller, a sentence.
        breaking: whether it alone makes the change breaking.
    """

    rule: str
    change: str
    meaning: str
    breaking: bool

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.change} ({self.rule}). {self.meaning}"
