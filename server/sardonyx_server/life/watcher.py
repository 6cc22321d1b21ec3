"""Reads the registry again and again, and says what is wished for."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx.errors import RegistryError, SardonyxError
from sardonyx.registry.routes import Routes, fold
from sardonyx_server.life.model import Wish
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sardonyx.registry import Registry

#: How far back a worker looks for a version that loads.
STAND_INS_MAX: Final = 3
_DURATIONS: Final = re.compile(r"\d+(\.\d+)?\s?(ns|µs|ms|s)\b")


class Watcher:
    """Polls a registry in a thread.

    A reading is cheap: a listing of models, and for each a listing of the events behind the last one seen. A registry
    that cannot be read, or that has become shorter, changes nothing but ``error``.

    Args:
        registry: the registry.
        interval_s: how long to wait between two readings.
        wished: given the whole wish after each reading that changed something, and after the first.
        only: the models to look at; none: all that there are. One that the registry does not hold may come yet.
    """

    def __init__(
        self,
        registry: Registry,
        interval_s: float,
        wished: Callable[[Mapping[str, Wish]], None],
        only: Collection[str] = (),
    ) -> None:
        self.error = ""
        self.last_read: datetime | None = None
        self._registry = registry
        self._interval_s = interval_s
        self._wished = wished
        self._only = frozenset(only)
        self._routes: dict[str, Routes] = {}

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._poll()
            await asyncio.sleep(self._interval_s)

    async def _poll(self) -> None:
        first = self.last_read is None
        try:
            routes, errors = await asyncio.to_thread(self._read)
        except SardonyxError as error:
            self._report(error.message)
            return
        self._report(" ".join(errors))
        if first and errors and not routes:
            # Nothing could be read of what is there: that is not the same as nothing being there.
            return
        self.last_read = datetime.now(UTC)
        if first or routes != self._routes:
            self._routes = routes
            for name in sorted(self._only - routes.keys()) if first else ():
                LOG.warning("model %s: the registry holds none of that name; it is served once it is promoted", name)
            self._wished({name: _wish(state) for name, state in routes.items()})

    def _read(self) -> tuple[dict[str, Routes], list[str]]:
        """The routes of every model; a model whose log cannot be read keeps those it had, and is named."""
        names = [name for name in self._registry.models() if not self._only or name in self._only]
        missing = sorted(self._routes.keys() - set(names))
        if missing:
            raise RegistryError(f"The registry no longer holds {', '.join(missing)}: what is served stays as it is.")
        routes, errors = dict(self._routes), list[str]()
        for name in names:
            known = self._routes.get(name, Routes())
            try:
                events = self._registry.events(name, after=known.sequence)
            except SardonyxError as error:
                errors.append(error.message)
                continue
            routes[name] = fold(events, known)
        return routes, errors

    def _report(self, error: str) -> None:
        """Log a change, not each repetition; how long a store tried is no change."""
        if _DURATIONS.sub("", error) != _DURATIONS.sub("", self.error):
            if error:
                LOG.warning("registry: %s", error)
            else:
                LOG.info("registry: readable again")
        self.error = error


def _wish(routes: Routes) -> Wish:
    return Wish(
        default_major=routes.default_major,
        live={major: state.live for major, state in routes.majors.items()},
        before={major: tuple(reversed(state.previous))[:STAND_INS_MAX] for major, state in routes.majors.items()},
        canary={major: state.canary for major, state in routes.majors.items() if state.canary is not None},
        shadow={major: state.shadow for major, state in routes.majors.items() if state.shadow is not None},
        retired=routes.retired_majors,
    )
