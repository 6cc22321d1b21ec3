"""What the registry says, read now and then by a thread: versions with their promises, and what was live when."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sardonyx.errors import RegistryError, RegistryMissing, SardonyxError
from sardonyx.registry import Registry, Routes, fold
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.interface_pb2 import OUTPUT_KIND_LABEL, TASK_REGRESSION
from sardonyx_monitor.log import LOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx.registry.v1.manifest_pb2 import Manifest, Metric


@dataclass(frozen=True, slots=True)
class Version:
    """What the monitor needs to know of a version.

    Attributes:
        number: of the version.
        major: the interface generation.
        created_at: when it was published.
        author, description: of the version, by its author.
        source_model: the source model as its library prints it.
        regression: True where it estimates values, False where it chooses a class.
        classes: in the order of its probabilities; empty for regression.
        metrics: the hold-out's promise, by name.
        primary: the name of the metric to compare first.
        holdout_rows: how many rows stand behind the promise.
    """

    number: int
    major: int
    created_at: datetime
    author: str
    description: str
    source_model: str
    regression: bool
    classes: tuple[str, ...]
    metrics: Mapping[str, Metric]
    primary: str
    holdout_rows: int

    @classmethod
    def of(cls, manifest: Manifest) -> Version:
        """From its manifest."""
        labels = [output for output in manifest.interface.outputs if output.kind == OUTPUT_KIND_LABEL]
        return cls(
            number=manifest.version,
            major=manifest.interface_major,
            created_at=manifest.create_time.ToDatetime(UTC),
            author=manifest.author,
            description=manifest.description,
            source_model=manifest.lineage.source_model,
            regression=manifest.interface.task == TASK_REGRESSION,
            classes=tuple(labels[0].classes) if labels else (),
            metrics={metric.name: metric for metric in manifest.evaluation.metrics},
            primary=manifest.evaluation.primary,
            holdout_rows=manifest.evaluation.rows,
        )


#: A registry that takes calls and does not answer them is given up by its client after half a minute. The monitor's
#: start and its end do not wait for that.
SILENT_S: Final = 3.0

#: The acts that change who answers or sees calls, as the timeline names them.
_ACTS: Final = {
    Event.KIND_LIVE: "live",
    Event.KIND_ROLLED_BACK: "rolled back",
    Event.KIND_CANARY: "canary",
    Event.KIND_SHADOW: "shadow",
    Event.KIND_RETIRED: "retired",
    Event.KIND_MAJOR_RETIRED: "retired",
}


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody set, and when.

    Attributes:
        time: when, in UTC.
        kind: a value of _ACTS.
        version: of which version; 0 where the whole interface generation was retired.
        major: the interface generation.
        percent: the share that a canary or shadow has from then on, 0 where it ended; None for other acts.
        actor: who did it.
        reason: why, in their words.
    """

    time: datetime
    kind: str
    version: int
    major: int
    percent: float | None
    actor: str
    reason: str

    @classmethod
    def of(cls, event: Event) -> Act:
        """From its event, whose kind is one of _ACTS."""
        shared = event.kind in (Event.KIND_CANARY, Event.KIND_SHADOW)
        return cls(
            time=event.time.ToDatetime(UTC),
            kind=_ACTS[event.kind],
            version=event.version,
            major=event.interface_major,
            percent=event.percent if shared else None,
            actor=event.actor,
            reason=event.reason,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the registry: its versions by number, its routes, and the acts that made them, oldest first."""

    versions: Mapping[int, Version] = field(default_factory=dict)
    routes: Routes = field(default_factory=Routes)
    acts: tuple[Act, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the registry said when it was last read.

    Attributes:
        models: by name.
        read_at: when; None while it was never read.
        error: what of it could not be read, and why; empty where all could. That is then as it was read before.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    read_at: datetime | None = None
    error: str = ""


class Catalog:
    """Keeps a snapshot of a registry.

    A registry that does not exist yet is no error of the monitor's: it may be started before the first export. What
    was known of a model stays where nothing is left of it: whoever removes or restores a registry passes through one
    that is empty.

    Args:
        location: a directory or a URL.
        interval_s: how often it is read.
    """

    def __init__(self, location: str, interval_s: float) -> None:
        self.location = location
        self._interval_s = interval_s
        self._snapshot = Snapshot()
        self._read_once = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="catalog", daemon=True)

    @property
    def snapshot(self) -> Snapshot:
        """The last one. It never changes; the next one replaces it."""
        return self._snapshot

    def start(self) -> None:
        """Begin to read, and wait for what is read first; not for a registry that does not answer."""
        self._thread.start()
        if not self._read_once.wait(SILENT_S):
            LOG.warning("the registry %s has not answered for %g s; it is still asked", self.location, SILENT_S)

    def stop(self) -> None:
        """End; a reading that is not answered is left to the end of the process. Safe twice, and before start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(SILENT_S)

    def refresh(self) -> None:
        """Read the registry now; where that fails, keep what was known and say why."""
        before = self._snapshot
        self._snapshot = now = self._read(before)
        if now.error and not before.error:
            LOG.warning("the registry could not be read: %s", now.error)
        elif before.error and not now.error:
            LOG.info("the registry is read again")

    def _read(self, before: Snapshot) -> Snapshot:
        try:
            registry = Registry(self.location)
            names = registry.models()
        except RegistryMissing as error:
            return replace(before, error=error.message) if before.read_at else Snapshot()
        except SardonyxError as error:
            return replace(before, error=error.message)
        models, errors = dict(before.models), []
        for name in sorted({*names, *models}):
            # One model that cannot be read must not hide the others.
            try:
                models[name] = _read(registry, name, before.models.get(name, Model()))
            except SardonyxError as error:
                errors.append(error.message)
        return Snapshot(models, datetime.now(UTC), " ".join(errors))

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.refresh()
            except Exception:
                # Pages without news are better than a monitor without pages.
                LOG.exception("reading the registry failed")
            self._read_once.set()
            self._stopping.wait(self._interval_s)


def _read(registry: Registry, name: str, before: Model) -> Model:
    """A model now. Manifests never change, and are not read again unless the registry was restored, or replaced.

    Raises:
        RegistryError: the registry cannot be read, or no longer holds what it held.
    """
    numbers = registry.versions(name)
    routes, acts = follow(registry.events(name))
    if (before.versions and not numbers) or (before.acts and not acts):
        raise RegistryError(
            f"The registry {registry.location!r} no longer holds model {name!r}, or not its events: what was read of it"
            " stays. Bring it back, or restart the monitor to see what is there now."
        )
    versions = dict(before.versions) if acts[: len(before.acts)] == before.acts else {}
    for number in numbers:
        if number not in versions:
            versions[number] = Version.of(registry.manifest(name, number))
    return Model(versions, routes, acts)


def follow(events: Iterable[Event]) -> tuple[Routes, tuple[Act, ...]]:
    """The routes that events make, and those of them that changed a route: one that breaks a rule does not."""
    routes, acts = Routes(), []
    for event in events:
        after = fold([event], routes)
        if event.kind in _ACTS and after != replace(routes, sequence=event.sequence):
            acts.append(Act.of(event))
        routes = after
    return routes, tuple(acts)
