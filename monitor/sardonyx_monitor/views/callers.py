"""Who calls which interface of a model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from sardonyx.durations import parse_duration
from sardonyx.errors import InvalidInput, ModelNotFound, Violation
from sardonyx_monitor.views import shapes
from sardonyx_monitor.views.traffic import REFUSALS, counted

if TYPE_CHECKING:
    from sardonyx_monitor.catalog import Model, Snapshot
    from sardonyx_monitor.store.reader import Query

#: Of each interface. Without tokens, callers name themselves as they like.
CALLERS_MAX: Final = 50
_S: Final = 10**9
#: From 1970 to 2262: what the store can hold.
_EVER: Final = {"since_ns": 0, "until_ns": (1 << 63) - 1}


def read_interfaces(query: Query, name: str, model: Model, since_ns: int, until_ns: int) -> list[shapes.InterfaceView]:
    """Every interface that is served or was called in that time, the newest first, with who called it."""
    by_major: dict[int, list[shapes.CallerView]] = {}
    for caller in read_callers(query, name, since_ns, until_ns):
        by_major.setdefault(caller.major, []).append(caller)
    routes = model.routes
    return [
        shapes.InterfaceView(
            major=major,
            live=routes.majors[major].live if major in routes.majors else 0,
            default=major == routes.default_major,
            retired=major in routes.retired_majors,
            callers=by_major.get(major, []),
        )
        for major in sorted(routes.majors.keys() | by_major.keys(), reverse=True)
    ]


def read_callers(query: Query, name: str, since_ns: int, until_ns: int) -> list[shapes.CallerView]:
    """Who called a model, by interface, the newest interface first, and in it the busiest caller."""
    parameters = {
        "model": name,
        "since_ns": since_ns,
        "until_ns": until_ns,
        "refusals": REFUSALS,
        "limit": CALLERS_MAX,
    }
    return [
        shapes.CallerView(
            major=row["major"],
            caller=row["caller"],
            version=row["version"],
            requests=counted(row["requests"]),
            failed=counted(row["failed"]),
            refused=counted(row["refused"]),
            last_ns=row["last_ns"],
        )
        for row in query.rows("callers", parameters)
    ]


def read_page(query: Query, snapshot: Snapshot, name: str, span_ns: int) -> shapes.CallersPage:
    """Who called a model in a span of time before now, and whether the monitor was there for all of it.

    Raises:
        ModelNotFound: neither the registry nor the store knows it.
    """
    until_ns = time.time_ns()
    since_ns = until_ns - span_ns
    first = query.row("first_request", {"since_ns": 0}, of_model=False)["first_ns"]
    callers = read_callers(query, name, since_ns, until_ns)
    if not callers:
        require_known(query, snapshot, name)
    return shapes.CallersPage(
        name=name,
        since_ns=since_ns,
        until_ns=until_ns,
        watched_since_ns=first,
        whole=first is not None and first <= since_ns,
        callers=callers,
    )


def require_known(query: Query, snapshot: Snapshot, name: str) -> None:
    """Tell a model that nobody asked in some span of time from one that there is not.

    Raises:
        ModelNotFound: the registry does not have it, and no version of it ever answered.
    """
    answered = name in snapshot.models or query.rows("routes", _EVER | {"model": name}, of_model=True)
    if not answered:
        raise ModelNotFound(name, snapshot.models)


def span_of(text: str) -> int:
    """A span of time as an address names it, such as ``7d``, in nanoseconds.

    Raises:
        InvalidInput: it is none.
    """
    try:
        return parse_duration(text) * _S
    except ValueError as error:
        raise InvalidInput([Violation("within", str(error))]) from None
