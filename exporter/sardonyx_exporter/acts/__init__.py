"""What decides who answers: events, and nothing else.

``live`` (promote, rollback), ``shares`` (canary, shadow) and ``retiring`` each read the routes, decide by their rules
and append; ``events`` is what they have in common.
"""

from sardonyx_exporter.acts.live import ActResult, promote, rollback
from sardonyx_exporter.acts.retiring import RetireResult, retire
from sardonyx_exporter.acts.shares import ShareResult, canary, shadow

__all__ = ["ActResult", "RetireResult", "ShareResult", "canary", "promote", "retire", "rollback", "shadow"]
