"""The Python client: predictions from sardonyx-server, outcomes to sardonyx-monitor.

``sync`` and ``aio`` carry messages, and share everything else:

- what is sent: ``data`` (what a caller has, as columns), ``request`` (columns as bytes), ``cache`` (interfaces);
- what comes back: ``wire`` (messages as answers), ``answer``, ``outcomes``;
- where it goes: ``caller`` (options), ``target`` (addresses), ``balancer`` (whose turn it is), ``security`` (TLS,
  tokens), ``unreached`` (why nobody answered);
- when it goes again: ``retry`` (where that is safe), ``budget`` (how often).

In ``aio``, calls that are under way together share requests: ``coalescing`` gathers them, ``flight`` carries them, and
``apart`` says which were to blame when a request is refused.
"""

from sardonyx.client.aio import AsyncClient, AsyncOutcomes
from sardonyx.client.answer import Answer, ModelInfo, TensorInfo
from sardonyx.client.outcomes import OutcomeReport
from sardonyx.client.security import Tls
from sardonyx.client.sync import Client, Outcomes
from sardonyx.client.unreached import Unreachable

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncOutcomes",
    "Client",
    "ModelInfo",
    "OutcomeReport",
    "Outcomes",
    "TensorInfo",
    "Tls",
    "Unreachable",
]
