"""How properties are tested here."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A machine that is busy makes no property wrong: no example has a deadline, and none is drawn too slowly.
settings.register_profile("sardonyx", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("sardonyx")
