"""What a call says beside its message, read once: who calls, in which trace, and what it asks for.

Who calls is said by its token, where the server asks for tokens. Elsewhere it is the first name in its user agent: a
caller of any language gives its channel one, once, and a call pays nothing for it. Nobody vouches for that name. Who
gives none goes by the name of its library, such as ``grpc-node-js``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx.names import CALLER_NAME
from sardonyx_server.telemetry.record import TraceParent, read_parent

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Calls of one routing key are answered by one version as long as a canary's share stays as it is.
ROUTING_KEY: Final = "routing-key"
#: A call with ``x-server-timing: 1`` is told in the trailer ``server-timing`` where its time went.
SERVER_TIMING: Final = "x-server-timing"
#: User agents that are remembered: a fleet has as many as it has kinds of programs.
AGENTS_MAX: Final = 1024

_USER_AGENT: Final = "user-agent"
_READ: Final = frozenset({"authorization", "traceparent", ROUTING_KEY, SERVER_TIMING})


class Call(NamedTuple):
    """One call's metadata.

    Attributes:
        metadata: all of it; empty where it says nothing beside who calls.
        parent: the caller's span, if it sent one.
        routing_key: what a canary's share goes by; empty: the prediction id.
        wants_timing: whether the caller wants to know where its time went.
        caller: the name that the caller gives itself, or its library's; empty where there is none.
        streamed: whether it carries many requests.
    """

    metadata: Iterable[tuple[str, str | bytes]] = ()
    parent: TraceParent | None = None
    routing_key: str = ""
    wants_timing: bool = False
    caller: str = ""
    streamed: bool = False


#: A call of nobody, which says nothing.
PLAIN: Final = Call()


def read_call(metadata: Iterable[tuple[str, str | bytes]] | None) -> Call:
    """What a call's metadata says; where it says only who calls, as most do, that costs one look at each key."""
    agent: str | bytes = ""
    for key, value in metadata or ():
        if key in _READ:
            return _read(metadata or ())
        if key == _USER_AGENT:
            agent = value
    return _plain(agent) if agent else PLAIN


def _read(metadata: Iterable[tuple[str, str | bytes]]) -> Call:
    named = dict(metadata)
    return Call(
        metadata,
        read_parent(metadata) if "traceparent" in named else None,
        str(named.get(ROUTING_KEY, "")),
        str(named.get(SERVER_TIMING, "")) == "1",
        _plain(named.get(_USER_AGENT, "")).caller,
    )


@lru_cache(maxsize=AGENTS_MAX)
def _plain(agent: str | bytes) -> Call:
    """A call that says only who calls: ``checkout/1.2 grpc-go/1.79.0`` is of ``checkout``."""
    name = str(agent).split(" ", 1)[0].split("/", 1)[0]
    return Call(caller=name) if CALLER_NAME.fullmatch(name) else PLAIN
