"""What a call says beside its message, read once: who calls, in which trace, and what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sardonyx_server.telemetry.record import TraceParent, read_parent

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Calls of one routing key are answered by one version as long as a canary's share stays as it is.
ROUTING_KEY: Final = "routing-key"
#: A call with ``x-server-timing: 1`` is told in the trailer ``server-timing`` where its time went.
SERVER_TIMING: Final = "x-server-timing"

_READ: Final = frozenset({"authorization", "traceparent", ROUTING_KEY, SERVER_TIMING})


class Call(NamedTuple):
    """One call's metadata.

    Attributes:
        metadata: all of it; empty where it says nothing that is read here.
        parent: the caller's span, if it sent one.
        routing_key: what a canary's share goes by; empty: the prediction id.
        wants_timing: whether the caller wants to know where its time went.
    """

    metadata: Iterable[tuple[str, str | bytes]] = ()
    parent: TraceParent | None = None
    routing_key: str = ""
    wants_timing: bool = False


#: Most calls say nothing.
PLAIN: Final = Call()


def read_call(metadata: Iterable[tuple[str, str | bytes]] | None) -> Call:
    """What a call's metadata says; PLAIN where it says nothing, which costs one look at each key."""
    for key, _ in metadata or ():
        if key in _READ:
            return _read(metadata or ())
    return PLAIN


def _read(metadata: Iterable[tuple[str, str | bytes]]) -> Call:
    named = dict(metadata)
    return Call(
        metadata,
        read_parent(metadata) if "traceparent" in named else None,
        str(named.get(ROUTING_KEY, "")),
        str(named.get(SERVER_TIMING, "")) == "1",
    )
