"""How properties are tested here."""

from __future__ import annotations

from hypothesis import settings

# A machine that is busy makes no property wrong: no example has a deadline.
settings.register_profile("sardonyx", deadline=None)
settings.load_profile("sardonyx")
