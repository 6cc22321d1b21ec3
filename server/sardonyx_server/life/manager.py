"""Takes the steps that the policy names, and keeps the routes that calls follow."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from sardonyx_server import apart
from sardonyx_server.life import golden
from sardonyx_server.life.lanes import LIVE, LIVE_LANE
from sardonyx_server.life.loader import Loaded, LoadFailed, given_up, load
from sardonyx_server.life.model import Model, Models, Version
from sardonyx_server.life.policy import Action, Drain, Forget, Load, Restore, Route, Unload, next_action
from sardonyx_server.life.session import Stop
from sardonyx_server.life.states import State
from sardonyx_server.log import LOG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sardonyx.registry import Registry
    from sardonyx_server.life.lanes import Lane
    from sardonyx_server.life.model import Wish
    from sardonyx_server.life.session import Runtime
    from sardonyx_server.served import Served

#: A failure that may pass is tried again after this long, then after twice as long, up to the second figure.
RETRY_DELAY_S: Final = 1.0
RETRY_DELAY_S_MAX: Final = 60.0
#: How many versions are loaded at once: while some wait for the store others are built, and each takes its graph's
#: bytes several times over.
LOADS_MAX: Final = 8
#: So long a load is one of them. What takes longer may never end, and eight of that kind would hold up all others.
SLOT_S: Final = 5.0


class Manager:
    """Brings every model to what the registry wishes, one step at a time, beside the requests.

    Args:
        registry: where versions are loaded from.
        serving: puts the worker's queue in front of a version; given what to call when its last request has left.
        runtime: how ONNX Runtime is to run them.
        changed: told the name of a model whose readiness may have changed.
        load_timeout_s: how long a version may take to be read, built and proven.
    """

    def __init__(
        self,
        registry: Registry,
        serving: Callable[[Loaded, Callable[[], None]], Served],
        runtime: Runtime,
        changed: Callable[[str], None],
        load_timeout_s: float,
    ) -> None:
        self.models = Models()
        #: True once every model of the first reading is served, or has said why not.
        self.settled = False
        #: How many loads ended so far, by model and by ``ready`` or ``failed``.
        self.loads: Counter[tuple[str, str]] = Counter()
        self._registry = registry
        self._serving = serving
        self._runtime = runtime
        self._changed = changed
        self._load_timeout_s = load_timeout_s
        self._slots = asyncio.Semaphore(LOADS_MAX)
        self._loading: set[asyncio.Task[None]] = set()
        self._stopped = False

    def wish(self, wishes: Mapping[str, Wish], unread: Collection[str]) -> None:
        """Take the whole wish. A model that is not named in it keeps what it has: logs do not lose models.

        Args:
            wishes: by model.
            unread: the models that are not named in it because their logs cannot be read.
        """
        self.models.known, self.models.unread = True, unread
        for name, wish in wishes.items():
            self.models.setdefault(name, Model(name, wish)).wish = wish
        for name in wishes:
            self._advance(self.models[name])
        if not wishes:
            self.settled = True

    @property
    def in_flight(self) -> int:
        """Requests that hold a version, of any model; one that was replaced meanwhile counts too."""
        versions = (version for model in self.models.values() for version in model.versions.values())
        return sum(version.served.in_flight for version in versions if version.served is not None)

    async def stop(self) -> None:
        """Stop taking steps; what is ready stays ready."""
        self._stopped = True
        for task in self._loading:
            task.cancel()
        await asyncio.gather(*self._loading, return_exceptions=True)

    def _advance(self, model: Model) -> None:
        """Take every step of a model that there is to take. None of them waits: a load goes on beside the others."""
        if self._stopped:
            return
        while (action := next_action(model.snapshots())) is not None:
            self._take(model, action)
        model.move_default()
        self.settled = self.settled or all(each.settled for each in self.models.values())
        self._changed(model.name)

    def _take(self, model: Model, action: Action) -> None:
        version = model.versions[action.version]
        match action:
            case Load():
                self._begin_load(model, version)
            case Restore():
                version.enter(State.READY)
            case Route():
                self._route(model, version, action.lanes)
            case Drain():
                version.enter(State.DRAINING)
                LOG.info("model %s: version %d drains", model.name, version.number)
            case Unload():
                version.enter(State.UNLOADED)
                version.served = None
                LOG.info("model %s: version %d is unloaded", model.name, version.number)
            case Forget():
                del model.versions[version.number]

    def _route(self, model: Model, version: Version, lanes: frozenset[Lane]) -> None:
        """Lead calls to a version as its lanes say."""
        before = model.lanes().get(version.number, frozenset())
        model.lead(version, lanes)
        if LIVE_LANE in lanes - before:
            _log_live(model, version)
        for lane in lanes - before - {LIVE_LANE}:
            LOG.info(
                "model %s: version %d is the %s of v%d with %g %%",
                *(model.name, version.number, lane.route, version.major, lane.percent),
            )
        for route in {lane.route for lane in before} - {lane.route for lane in lanes} - {LIVE}:
            LOG.info("model %s: version %d is the %s of v%d no more", model.name, version.number, route, version.major)

    def _begin_load(self, model: Model, version: Version) -> None:
        version.enter(State.LOADING)
        task = asyncio.create_task(self._load(model, version))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)

    async def _load(self, model: Model, version: Version) -> None:
        """Load a version; one that does not come to its end in time failed, and its thread is left to itself."""
        async with self._slots:
            started, stop = time.monotonic(), Stop()
            loading = self._begun(model, version, stop)
            await self._wait(loading, stop, min(SLOT_S, self._load_timeout_s))
        await self._wait(loading, stop, started + self._load_timeout_s - time.monotonic())
        if loading.done():
            self._end_load(model, version, loading, time.monotonic() - started)
            return
        stop.tell()
        error = given_up(version.state, self._load_timeout_s)
        self._fail(model, version, str(error), may_pass=False)
        self._advance(model)
        # Tried again while the thread is still there, it would only take another one.
        with contextlib.suppress(Exception):
            await loading
        if error.may_pass:
            self._retry(model, version)

    async def _wait(self, loading: asyncio.Future[Loaded], stop: Stop, seconds: float) -> None:
        """Wait for a load; where the server ends meanwhile, so does the load."""
        try:
            await asyncio.wait((loading,), timeout=max(0.0, seconds))
        except asyncio.CancelledError:
            stop.tell()
            loading.cancel()
            raise

    def _begun(self, model: Model, version: Version, stop: Stop) -> asyncio.Future[Loaded]:
        """A load in a thread of its own."""
        loop = asyncio.get_running_loop()

        def enter(state: State) -> None:
            loop.call_soon_threadsafe(go_on, state)

        def go_on(state: State) -> None:
            if not stop.told:
                version.enter(state)

        work = partial(
            load,
            *(self._registry, model.name, version.number),
            known=model.wish.log,
            runtime=self._runtime,
            enter=enter,
            stop=stop,
        )
        return asyncio.wrap_future(apart.begin(work, f"load {model.name} {version.number}"))

    def _end_load(self, model: Model, version: Version, loading: asyncio.Future[Loaded], took_s: float) -> None:
        try:
            loaded = loading.result()
        except LoadFailed as error:
            self._fail(model, version, str(error), may_pass=error.may_pass)
        except Exception:
            LOG.exception("model %s: version %d failed to load", model.name, version.number)
            self._fail(model, version, "Loading failed unexpectedly: see the server's log.", may_pass=True)
        else:
            self._serve(model, version, loaded, took_s)
        self._advance(model)

    def _serve(self, model: Model, version: Version, loaded: Loaded, took_s: float) -> None:
        version.served = self._serving(loaded, lambda: self._released(model, version))
        version.failures = 0
        version.enter(State.READY)
        self.loads[model.name, "ready"] += 1
        LOG.info(
            "model %s: version %d is ready after %.0f ms: %d golden rows proven, %.0f µs for one row",
            *(model.name, version.number, took_s * 1e3, golden.rows_of(loaded.manifest), loaded.cost.of(1) * 1e6),
        )

    def _released(self, model: Model, version: Version) -> None:
        """The last request has left: a step follows only where the version waits for that.

        A version that answers one request after the other is left by the last one each time; to wake up for nothing
        cost a quarter of the throughput.
        """
        if version.state is State.DRAINING:
            self._advance(model)

    def _fail(self, model: Model, version: Version, reason: str, *, may_pass: bool) -> None:
        version.failures += 1
        version.enter(State.FAILED, reason)
        self.loads[model.name, "failed"] += 1
        LOG.error("model %s: version %d failed: %s", model.name, version.number, reason)
        if may_pass:
            delay_s = min(RETRY_DELAY_S * 2 ** (version.failures - 1), RETRY_DELAY_S_MAX)
            asyncio.get_running_loop().call_later(delay_s, self._retry, model, version)

    def _retry(self, model: Model, version: Version) -> None:
        if model.versions.get(version.number) is version and version.state is State.FAILED:
            version.enter(State.NEW)
            self._advance(model)


def _log_live(model: Model, version: Version) -> None:
    live = model.wish.live.get(version.major)
    if version.number == live:
        LOG.info("model %s: version %d is live for v%d", model.name, version.number, version.major)
    else:
        LOG.warning("model %s: version %d answers in the place of version %s", model.name, version.number, live)
