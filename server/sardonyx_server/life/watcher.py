"""Reads the registry again and again, and says what is wished for."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx.errors import RegistryError, RegistryReplaced, SardonyxError
from sardonyx.registry import Log
from sardonyx_server import apart
from sardonyx_server.life.model import Wish
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sardonyx.registry import Registry

#: How far back a worker looks for a version that loads.
STAND_INS_MAX: Final = 3
#: A bucket's call is tried again after 30 s; a directory on another host may never answer.
SILENT_S: Final = 30.0
_HELD: Final = (
    "What is served stays as it is. Bring back the registry that was read, or restart the server to serve what is there"
    " now."
)
_DURATIONS: Final = re.compile(r"\d+(\.\d+)?\s?(ns|µs|ms|s)\b")


class Watcher:
    """Polls a registry, in a thread that no load can take.

    A reading is cheap: a listing of models, and for each a listing of the events from the last one seen on, which is
    read again. A registry that cannot be read, and a log that does not go on from what was read of it, change nothing
    but ``error``: half a log, as there is while one is copied or removed, cannot be told from a whole one.

    Args:
        registry: the registry.
        interval_s: how long to wait between two readings.
        wished: given the whole wish after each reading that changed something, and after the first; and the models
            that are not in it because nothing could be read of them.
        only: the models to look at; none: all that there are. One that the registry does not hold may come yet.
    """

    def __init__(
        self,
        registry: Registry,
        interval_s: float,
        wished: Callable[[Mapping[str, Wish], Collection[str]], None],
        only: Collection[str] = (),
    ) -> None:
        self.error = ""
        self.last_read: datetime | None = None
        self._registry = registry
        self._interval_s = interval_s
        self._wished = wished
        self._only = frozenset(only)
        self._logs: dict[str, Log] = {}
        self._unread: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._poll()
            await asyncio.sleep(self._interval_s)

    async def _poll(self) -> None:
        first = self.last_read is None
        try:
            logs, unread, errors = await self._answer()
        except SardonyxError as error:
            self._report(error.message)
            return
        except Exception as error:
            # Where the system has no thread or memory left for it, it has some later; nobody else would begin anew.
            self._report(f"It could not be read: {type(error).__name__}: {error}. What is served stays as it is.")
            return
        self._report(" ".join(errors))
        if first and errors and not logs:
            # Nothing could be read of what is there: that is not the same as nothing being there.
            return
        self.last_read = datetime.now(UTC)
        if first or (logs, unread) != (self._logs, self._unread):
            self._logs, self._unread = logs, unread
            for name in sorted(self._only - logs.keys() - unread) if first else ():
                LOG.warning("model %s: the registry holds none of that name; it is served once it is promoted", name)
            self._wished({name: _wish(log) for name, log in logs.items()}, unread)

    async def _answer(self) -> tuple[dict[str, Log], frozenset[str], list[str]]:
        """What a reading gives; that it takes long is said, and a store whose call never ends is waited for."""
        reading = asyncio.wrap_future(apart.begin(self._read, "read the registry"))
        try:
            await asyncio.wait((reading,), timeout=SILENT_S)
            if not reading.done():
                self._report(f"Registry {self._registry.location!r} has not answered for {SILENT_S:g} s. {_HELD}")
            return await reading
        finally:
            reading.cancel()

    def _read(self) -> tuple[dict[str, Log], frozenset[str], list[str]]:
        """The log of every model, which models have none that was ever read, and what is wrong.

        A model whose log cannot be read, or is another, keeps what it had, and is named.
        """
        names = [name for name in self._registry.models() if not self._only or name in self._only]
        missing = sorted(self._logs.keys() - set(names))
        if missing:
            raise RegistryError(f"The registry no longer holds {', '.join(missing)}. {_HELD}")
        logs, errors, replaced = dict(self._logs), list[str](), list[str]()
        for name in names:
            try:
                logs[name] = self._registry.log(name, logs.get(name, Log()))
            except RegistryReplaced:
                replaced.append(name)
            except SardonyxError as error:
                errors.append(error.message)
        if replaced:
            errors.append(
                f"The registry holds another log of {', '.join(replaced)} than the one that was read: it was restored"
                f" from a backup, or replaced. {_HELD}"
            )
        return logs, frozenset(names) - logs.keys(), errors

    def _report(self, error: str) -> None:
        """Log a change, not each repetition; how long a store tried is no change."""
        if _DURATIONS.sub("", error) != _DURATIONS.sub("", self.error):
            if error:
                LOG.warning("registry: %s", error)
            else:
                LOG.info("registry: readable again")
        self.error = error


def _wish(log: Log) -> Wish:
    routes = log.routes
    return Wish(
        default_major=routes.default_major,
        live={major: state.live for major, state in routes.majors.items()},
        before={major: tuple(reversed(state.previous))[:STAND_INS_MAX] for major, state in routes.majors.items()},
        canary={major: state.canary for major, state in routes.majors.items() if state.canary is not None},
        shadow={major: state.shadow for major, state in routes.majors.items() if state.shadow is not None},
        retired=routes.retired_majors,
        log=log,
    )
