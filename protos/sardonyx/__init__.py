"""The contract of sardonyx's three programs, and the client.

    from sardonyx import Client, Outcomes

Names are loaded when they are first used: a program that needs the registry alone does not import gRPC.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sardonyx.client import Answer, AsyncClient, AsyncOutcomes, Client, Outcomes, Tls
    from sardonyx.prediction_id import PredictionId

__version__ = "0.1.0"

__all__ = ["Answer", "AsyncClient", "AsyncOutcomes", "Client", "Outcomes", "PredictionId", "Tls", "__version__"]

_HOMES = {
    "Answer": "sardonyx.client",
    "AsyncClient": "sardonyx.client",
    "AsyncOutcomes": "sardonyx.client",
    "Client": "sardonyx.client",
    "Outcomes": "sardonyx.client",
    "PredictionId": "sardonyx.prediction_id",
    "Tls": "sardonyx.client",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sardonyx' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
