"""What data scientists do while everybody calls: by the exporter's own acts, each until callers see it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Final

from sardonyx.registry import Registry
from sardonyx_exporter import canary, promote, retire, rollback, shadow
from soak.faults import replace_worker
from soak.models import LONG, TABLE
from soak.stage import WORKERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sardonyx.registry import MajorRoutes
    from soak.disturbance import Disturbance, Scene
    from soak.models import Model

_PERCENT: Final = 30.0


class Promote:
    """A new version is published and made live."""

    name = "promote"
    meaning = "a new version goes live"
    early = False

    def __init__(self, model: str = TABLE) -> None:
        self._model = model

    async def strike(self, scene: Scene) -> None:
        """Publish, promote, and wait for its first answer."""
        async with scene.registry:
            model = scene.models[self._model]
            version = await asyncio.to_thread(model.publish, scene.stage.registry)
            await _promote(scene, model, version)


class PromoteLong(Promote):
    """The same for the model whose requests wait and share runs."""

    name = "promote long"
    meaning = "a new version of the model of long runs goes live"
    early = False

    def __init__(self) -> None:
        super().__init__(LONG)


class Canary:
    """A new version gets a share of the calls, and then all of them or none."""

    name = "canary"
    meaning = f"a version answers {_PERCENT:g} % of the calls, then all or none"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Publish, share, and decide."""
        async with scene.registry:
            model, registry = scene.models[TABLE], scene.stage.registry
            version = await asyncio.to_thread(model.publish, registry)
            live = _routes(registry, TABLE).live
            beside = frozenset({live, version})
            await _act(scene, TABLE, beside, lambda: canary(TABLE, version, percent=_PERCENT, registry=str(registry)))
            await _answers(scene, model, version, "canary")
            await scene.hold(1, 3)
            if scene.random.random() < 0.5:
                await _promote(scene, model, version)
            else:
                alone = frozenset({live})
                await _act(scene, TABLE, alone, lambda: canary(TABLE, version, percent=0, registry=str(registry)))


class Shadow:
    """A new version is shown half of the calls, and answers nobody."""

    name = "shadow"
    meaning = "a version is shown half of the calls and answers nobody"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Publish, mirror, and end it."""
        async with scene.registry:
            model, registry = scene.models[TABLE], scene.stage.registry
            version = await asyncio.to_thread(model.publish, registry)
            live = _routes(registry, TABLE).live
            beside = frozenset({live, version})
            await _act(scene, TABLE, beside, lambda: shadow(TABLE, version, percent=50, registry=str(registry)))
            await scene.wait(_state(scene, version, "ready"), f"version {version} is ready as a shadow in each worker")
            await scene.hold(1, 3)
            alone = frozenset({live})
            await _act(scene, TABLE, alone, lambda: shadow(TABLE, version, percent=0, registry=str(registry)))


class Rollback:
    """The version before answers again."""

    name = "rollback"
    meaning = "the version that was live before answers again"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Go back, where there is a way back."""
        async with scene.registry:
            model, registry = scene.models[TABLE], scene.stage.registry
            if not (before := _routes(registry, TABLE).previous):
                return
            after = frozenset({before[-1]})
            await _act(scene, TABLE, after, lambda: rollback(TABLE, registry=str(registry)))
            await _answers(scene, model, before[-1], "live")


class Retire:
    """A version that no route leads to may never serve again."""

    name = "retire"
    meaning = "a version that is not live may never serve again"
    early = False

    async def strike(self, scene: Scene) -> None:
        """Retire one, where there is one."""
        async with scene.registry:
            model, registry = scene.models[TABLE], scene.stage.registry
            routes = _routes(registry, TABLE)
            # The way back is kept, so that there is something to roll back to.
            left = sorted(set(model.truths) - {routes.live, *routes.previous[-1:]})
            if left:
                version = scene.random.choice(left)
                await asyncio.to_thread(lambda: retire(TABLE, version, registry=str(registry)))


class Broken:
    """A version that cannot be right is promoted; it must never answer, and what was live goes on."""

    name = "broken version"
    meaning = "a damaged or wrong version is promoted, and rolled back"
    early = False

    def __init__(self) -> None:
        self._ways: list[Callable[[Path, Model], int]] = [_damaged, _missing, _disproved]

    async def strike(self, scene: Scene) -> None:
        """Publish, break, promote; once every worker has refused it, roll back."""
        async with scene.registry:
            model, registry = scene.models[TABLE], scene.stage.registry
            self._ways = [*self._ways[1:], self._ways[0]]
            version = await asyncio.to_thread(self._ways[0], registry, model)
            # What was live is all that may answer, before and after.
            await asyncio.to_thread(lambda: promote(TABLE, version, registry=str(registry)))
            await scene.wait(_state(scene, version, "failed"), f"each worker refuses broken version {version}")
            await self._meanwhile(scene)
            await asyncio.to_thread(lambda: rollback(TABLE, registry=str(registry)))

    async def _meanwhile(self, scene: Scene) -> None:
        await scene.hold(0.5, 2)


class BrokenAtStart(Broken):
    """A worker starts while what is to be live is broken: it serves what was live before."""

    name = "broken at a start"
    meaning = "the same, and kill -9 of a worker meanwhile"
    early = False

    async def _meanwhile(self, scene: Scene) -> None:
        await replace_worker(scene, signal.SIGKILL)
        await scene.hold(0.5, 2)


ACTS: Final[tuple[type[Disturbance], ...]] = (
    Promote,
    PromoteLong,
    Canary,
    Shadow,
    Rollback,
    Retire,
    Broken,
    BrokenAtStart,
)


async def _promote(scene: Scene, model: Model, version: int) -> None:
    registry = str(scene.stage.registry)
    await _act(scene, model.name, frozenset({version}), lambda: promote(model.name, version, registry=registry))
    await _answers(scene, model, version, "live")


async def _act(scene: Scene, model: str, after: frozenset[int], act: Callable[[], object]) -> None:
    with scene.timeline.moving(model, after):
        await asyncio.to_thread(act)


async def _answers(scene: Scene, model: Model, version: int, route: str) -> None:
    """Wait until callers see it."""
    before = scene.ledger.saw(model.name, version, route)
    await scene.wait(
        lambda: scene.ledger.saw(model.name, version, route) > before,
        f"version {version} of {model.name} answers on the route {route}",
    )


def _state(scene: Scene, version: int, state: str) -> Callable[[], bool]:
    """Whether every worker has the version in a state."""
    labels = {"model": TABLE, "version": str(version), "state": state}
    return lambda: scene.stage.total("sardonyx_version_state", **labels) >= WORKERS


def _routes(registry: Path, model: str) -> MajorRoutes:
    routes = Registry(str(registry)).routes(model)
    return routes.majors[routes.default_major]


def _damaged(registry: Path, model: Model) -> int:
    """A version with some bytes of its graph changed."""
    version = _spoiled(registry, model)
    blob = _blob(registry, model.name, version)
    data = bytearray(blob.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 8] = bytes(byte ^ 0xFF for byte in data[middle : middle + 8])
    blob.write_bytes(data)
    return version


def _missing(registry: Path, model: Model) -> int:
    """A version whose graph is gone."""
    version = _spoiled(registry, model)
    _blob(registry, model.name, version).unlink()
    return version


def _disproved(registry: Path, model: Model) -> int:
    """A version whose golden rows are another one's: this graph does not answer as they say."""
    store = Registry(str(registry))
    first, other = min(model.truths), max(model.truths)
    if first == other:
        other = model.publish(registry)
    graph = store.blob(store.manifest(model.name, first).artifact)
    version = store.publish(model.name, graph, lambda _versions: store.manifest(model.name, other)).version
    model.known.append(version)
    return version


def _spoiled(registry: Path, model: Model) -> int:
    """A version that is never right."""
    version = model.publish(registry)
    del model.truths[version]
    return version


def _blob(registry: Path, model: str, version: int) -> Path:
    digest = Registry(str(registry)).manifest(model, version).artifact.sha256
    (path,) = registry.rglob(f"*{digest}*")
    return path
