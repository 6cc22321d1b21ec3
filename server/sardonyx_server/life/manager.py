"""Takes the steps that the policy names, and keeps the routes that calls follow."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx_server.life.loader import Loaded, LoadFailed, load
from sardonyx_server.life.policy import Action, Drain, Forget, Load, Restore, Route, Snapshot, Unload, next_action
from sardonyx_server.life.states import State, check_move
from sardonyx_server.log import LOG
from sardonyx_server.runner import Runner
from sardonyx_server.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sardonyx.registry import Registry
    from sardonyx_server.runner import RowQueue

#: A failure that may pass is tried again after this long, then after twice as long, up to the second figure.
RETRY_DELAY_S: Final = 1.0
RETRY_DELAY_S_MAX: Final = 60.0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the registry says of one model.

    Attributes:
        default_major: where calls without a version go; 0 where nothing is live.
        live: the live version of each interface generation.
        before: by interface generation, the versions that were live before, the last one first.
    """

    default_major: int
    live: Mapping[int, int]
    before: Mapping[int, Sequence[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Version:
    """One version in this worker."""

    number: int
    major: int
    state: State = State.NEW
    reason: str = ""
    served: Served | None = None
    failures: int = 0
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))

    def enter(self, state: State, reason: str = "") -> None:
        """Move on to another state."""
        check_move(self.state, state)
        self.state, self.reason, self.changed = state, reason, datetime.now(UTC)


@dataclass(slots=True)
class Model:
    """One model in this worker: what is wished, what there is, and where its calls go.

    ``routes`` and ``default_major`` are what calls follow; they change in one step of the event loop, so a request sees
    them before or after and never between.
    """

    name: str
    wish: Wish
    versions: dict[int, Version] = field(default_factory=dict)
    routes: dict[int, Served] = field(default_factory=dict)
    default_major: int = 0

    def wanted(self) -> dict[int, int]:
        """By interface generation, the version that is to answer.

        It is what is live; where that failed, the last one before it that did not: a worker that starts anew must not
        answer less than those that have the old version in memory.
        """
        return {major: self._usable(major, live) for major, live in self.wish.live.items()}

    def snapshots(self) -> list[Snapshot]:
        """What the policy looks at. A version that is wanted is known from here on."""
        wanted = self.wanted()
        for major, number in wanted.items():
            self.versions.setdefault(number, Version(number, major))
        routed = {served.version for served in self.routes.values()}
        wished = {*wanted.values(), *self.wish.live.values(), *self._failed_before()}
        return [
            Snapshot(
                version.number,
                version.major,
                version.state,
                version.number in wished,
                version.number in routed,
                version.served.in_flight if version.served else 0,
            )
            for version in self.versions.values()
        ]

    def _usable(self, major: int, live: int) -> int:
        numbers = (live, *self.wish.before.get(major, ()))
        return next((number for number in numbers if not self._has_failed(number)), live)

    def _failed_before(self) -> set[int]:
        """Stand-ins that failed: forgotten, they would be tried for ever."""
        return {number for numbers in self.wish.before.values() for number in numbers if self._has_failed(number)}

    def _has_failed(self, number: int) -> bool:
        return number in self.versions and self.versions[number].state is State.FAILED


class Manager:
    """Brings every model to what the registry wishes, one step at a time, beside the requests.

    Args:
        registry: where versions are loaded from.
        queue: the worker's queue of rows, shared by all models.
        threads: intra-op threads of each session.
        changed: told the name of a model whose readiness may have changed.
    """

    def __init__(self, registry: Registry, queue: RowQueue, threads: int, changed: Callable[[str], None]) -> None:
        self.models: dict[str, Model] = {}
        #: True once every model of the first reading is served, or has said why not.
        self.settled = False
        self._registry = registry
        self._queue = queue
        self._threads = threads
        self._changed = changed
        self._steps: dict[str, asyncio.Task[None]] = {}
        self._wake: dict[str, asyncio.Event] = {}

    def wish(self, wishes: Mapping[str, Wish]) -> None:
        """Take the whole wish. A model that is not named in it keeps what it has: logs do not lose models."""
        for name, wish in wishes.items():
            model = self.models.setdefault(name, Model(name, wish))
            model.wish = wish
            self._wake.setdefault(name, asyncio.Event()).set()
            if name not in self._steps:
                self._steps[name] = asyncio.create_task(self._keep(model))
        if not wishes:
            self.settled = True

    @property
    def in_flight(self) -> int:
        """Requests that hold a version, of any model; one that was replaced meanwhile counts too."""
        versions = (version for model in self.models.values() for version in model.versions.values())
        return sum(version.served.in_flight for version in versions if version.served is not None)

    async def stop(self) -> None:
        """Stop taking steps; what is ready stays ready."""
        for task in self._steps.values():
            task.cancel()
        await asyncio.gather(*self._steps.values(), return_exceptions=True)

    async def _keep(self, model: Model) -> None:
        """Take one model's steps whenever there is one to take."""
        wake = self._wake[model.name]
        while True:
            wake.clear()
            while (action := next_action(model.snapshots())) is not None:
                await self._take(model, action)
            self._move_default(model)
            self._changed(model.name)
            self.settled = self.settled or all(self._is_settled(each) for each in self.models.values())
            await wake.wait()

    async def _take(self, model: Model, action: Action) -> None:
        version = model.versions[action.version]
        match action:
            case Load():
                await self._load(model, version)
            case Restore():
                version.enter(State.READY)
            case Route():
                self._route(model, version)
            case Drain():
                version.enter(State.DRAINING)
                LOG.info("model %s: version %d drains", model.name, version.number)
            case Unload():
                version.enter(State.UNLOADED)
                version.served = None
                LOG.info("model %s: version %d is unloaded", model.name, version.number)
            case Forget():
                del model.versions[version.number]

    def _route(self, model: Model, version: Version) -> None:
        """Lead the calls of the version's interface generation to it."""
        if version.served is None:
            raise RuntimeError(f"Version {version.number} is ready without a session. This is a bug.")
        model.routes[version.major] = version.served
        self._move_default(model)
        live = model.wish.live.get(version.major)
        if version.number == live:
            LOG.info("model %s: version %d is live for v%d", model.name, version.number, version.major)
        else:
            LOG.warning("model %s: version %d answers in the place of version %s", model.name, version.number, live)

    @staticmethod
    def _move_default(model: Model) -> None:
        """The default goes to a generation only when something answers there."""
        if model.wish.default_major in model.routes or not model.default_major:
            model.default_major = model.wish.default_major

    async def _load(self, model: Model, version: Version) -> None:
        version.enter(State.LOADING)
        started = time.monotonic()
        try:
            loaded = await asyncio.to_thread(
                load, self._registry, model.name, version.number, threads=self._threads, enter=version.enter
            )
        except LoadFailed as error:
            self._fail(model, version, str(error), may_pass=error.may_pass)
        except Exception:
            LOG.exception("model %s: version %d failed to load", model.name, version.number)
            self._fail(model, version, "Loading failed unexpectedly: see the server's log.", may_pass=True)
        else:
            self._serve(model, version, loaded, time.monotonic() - started)

    def _serve(self, model: Model, version: Version, loaded: Loaded, took_s: float) -> None:
        runner = Runner(loaded.session, loaded.cost, self._queue)
        version.served = Served(loaded.manifest, runner, lambda: self._released(model, version))
        version.failures = 0
        version.enter(State.READY)
        LOG.info(
            "model %s: version %d is ready after %.0f ms: %d golden rows proven, %.0f µs for one row",
            *(model.name, version.number, took_s * 1e3, served_rows(loaded), loaded.cost.of(1) * 1e6),
        )

    def _released(self, model: Model, version: Version) -> None:
        """The last request has left: a step follows only where the version waits for that.

        A version that answers one request after the other is left by the last one each time; to wake up for nothing
        cost a quarter of the throughput.
        """
        if version.state is State.DRAINING:
            self._wake[model.name].set()

    def _fail(self, model: Model, version: Version, reason: str, *, may_pass: bool) -> None:
        version.failures += 1
        version.enter(State.FAILED, reason)
        LOG.error("model %s: version %d failed: %s", model.name, version.number, reason)
        if may_pass:
            delay_s = min(RETRY_DELAY_S * 2 ** (version.failures - 1), RETRY_DELAY_S_MAX)
            asyncio.get_running_loop().call_later(delay_s, self._retry, model, version)

    def _retry(self, model: Model, version: Version) -> None:
        if model.versions.get(version.number) is version and version.state is State.FAILED:
            version.enter(State.NEW)
            self._wake[model.name].set()

    @staticmethod
    def _is_settled(model: Model) -> bool:
        """Whether every wished version serves or has failed."""
        return all(
            (version := model.versions.get(number)) is not None and version.state in (State.READY, State.FAILED)
            for number in model.wanted().values()
        )


def served_rows(loaded: Loaded) -> int:
    """How many golden rows a version carries."""
    (column, *_) = loaded.manifest.golden.inputs
    kind = column.WhichOneof("values")
    width = loaded.manifest.interface.inputs[0].width or 1
    return len(getattr(column, kind).values) // width if kind else 0
