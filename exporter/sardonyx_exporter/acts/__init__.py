"""What decides who answers: events, and nothing else.

``live`` (promote, rollback), ``shares`` (canary, shadow) and ``retiring`` each read the routes, decide by their rules
and append; ``events`` is what they have in common.
"""

from sardonyx_exporter.acts.live import ActResult, promote, rollback
from sardonyx_exporter.acts.retiring import UNUSED_FOR, RetireMajorResult, RetireResult, retire, retire_major
from sardonyx_exporter.acts.shares import ShareResult, canary, shadow

__all__ = [
    "UNUSED_FOR",
    "ActResult",
    "RetireMajorResult",
    "RetireResult",
    "ShareResult",
    "canary",
    "promote",
    "retire",
    "retire_major",
    "rollback",
    "shadow",
]
