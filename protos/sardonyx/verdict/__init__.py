"""What a new version's interface means to those who call the old one: retrain, compatible or breaking.

``wire`` has the rules of bytes and JSON, ``semantic`` those of meaning, and ``judging`` the verdict of both. A reason
names its rule, what changed, and what that means for a caller.
"""

from sardonyx.verdict.judging import Kind, Verdict, judge, judge_former
from sardonyx.verdict.reason import Reason

__all__ = ["Kind", "Reason", "Verdict", "judge", "judge_former"]
