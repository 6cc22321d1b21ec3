"""The Python client: predictions from sardonyx-server, outcomes to sardonyx-monitor.

``data`` (what a caller has, as columns), ``wire`` (columns as messages, messages as answers) and ``retry`` (when to ask
again) are shared by both transports; ``sync`` and ``aio`` only carry messages.
"""

from sardonyx.client.aio import AsyncClient, AsyncOutcomes
from sardonyx.client.answer import Answer, ModelInfo, TensorInfo
from sardonyx.client.outcomes import OutcomeReport
from sardonyx.client.sync import Client, Outcomes

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncOutcomes",
    "Client",
    "ModelInfo",
    "OutcomeReport",
    "Outcomes",
    "TensorInfo",
]
