"""Manifests, events and blobs over a store of create-only objects."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from sardonyx.errors import (
    InvalidInput,
    ModelNotFound,
    RegistryCorrupt,
    RegistryError,
    RegistryReplaced,
    RuleBroken,
    VersionNotFound,
)
from sardonyx.names import check_model_name
from sardonyx.registry.location import open_store
from sardonyx.registry.routes import Routes, fold
from sardonyx.registry.v1.event_pb2 import Event
from sardonyx.registry.v1.manifest_pb2 import Artifact, Manifest
from sardonyx.registry.v1.settings_pb2 import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

M = TypeVar("M", bound=Message)

_EVENT: Final = re.compile(r"[0-9]+\.json")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
# Numbers are written with leading zeros so that a store's order of names is the order of numbers.
_DIGITS: Final = 8
_SETTINGS: Final = "settings.json"


@dataclass(frozen=True, slots=True)
class Log:
    """A model's log as far as it was read.

    Attributes:
        routes: what its events make of the routes.
        digest: SHA-256 of its last event's bytes in hex; empty before the first. Each event holds that of the one
            before, so two logs that are equal here are equal up to here.
    """

    routes: Routes = field(default_factory=Routes)
    digest: str = ""


_UNREAD: Final = Log()


class Registry:
    """A registry of models.

    Args:
        location: a directory, or a URL of an object store.
        create: make the directory where there is none; for those who write.

    Raises:
        RegistryError: the location cannot be opened. Every method raises it where the store cannot be reached.
    """

    def __init__(self, location: str | PathLike[str], *, create: bool = False) -> None:
        self.location = str(location)
        self._store = open_store(self.location, create=create)

    def settings(self) -> Settings:
        """What holds for all models; as a registry begins, where nothing was settled."""
        data = self._store.get(_SETTINGS)
        return Settings() if data is None else _from_json(data, Settings(), _SETTINGS)

    def settle(self, settings: Settings) -> None:
        """Settle what holds for all models, once; nothing happens where the same is settled already.

        Raises:
            RuleBroken: something else is.
        """
        if not self._store.create(_SETTINGS, _to_json(settings)) and self.settings() != settings:
            found = json_format.MessageToJson(self.settings(), indent=None)
            raise RuleBroken(
                f"Registry {self.location!r} has settings already: {found}. Callers compiled what follows from them:"
                " begin another registry to have others."
            )

    def models(self) -> list[str]:
        """The names of all models that have a version or an event."""
        return self._store.folders("models")

    def versions(self, model: str) -> list[int]:
        """The numbers of a model's versions, ascending; empty where there is no such model."""
        folder = f"{self._path_of(model)}/versions"
        return [_number(name, folder) for name in self._store.names(folder)]

    def manifest(self, model: str, version: int) -> Manifest:
        """One version's manifest.

        Raises:
            ModelNotFound, VersionNotFound: there is none.
            RegistryCorrupt: what is stored is no manifest of that version.
        """
        path = f"{self._path_of(model)}/versions/{_name(version)}"
        data = self._store.get(path)
        if data is None:
            known = self.versions(model)
            if not known:
                raise ModelNotFound(model, self.models())
            raise VersionNotFound(model, str(version), [str(number) for number in known])
        manifest = _from_json(data, Manifest(), path)
        if (manifest.model, manifest.version) != (model, version):
            raise RegistryCorrupt(f"{path} says it is version {manifest.version} of {manifest.model!r}: it was moved.")
        return manifest

    def publish(self, model: str, artifact: bytes, describe: Callable[[Sequence[int]], Manifest]) -> Manifest:
        """Publish a version: first its bytes, then its manifest, whole or not at all.

        Args:
            model: its name.
            artifact: the ONNX graph.
            describe: makes the manifest, given the versions that exist already; called again where another publisher
                was faster. Model, version, time and artifact are filled in here.

        Returns:
            The manifest as stored, with the version's number.
        """
        blob = self.add_blob(artifact)
        while True:
            versions = self.versions(model)
            manifest = describe(versions)
            manifest.model = model
            manifest.version = max(versions, default=0) + 1
            manifest.artifact.CopyFrom(blob)
            manifest.create_time.FromNanoseconds(time.time_ns())
            if self._create(f"{self._path_of(model)}/versions/{_name(manifest.version)}", manifest):
                return manifest

    def add_blob(self, data: bytes) -> Artifact:
        """Store bytes under their digest; nothing happens where they are stored already."""
        digest = hashlib.sha256(data).hexdigest()
        self._store.create(_blob_path(digest), data)
        return Artifact(sha256=digest, size_bytes=len(data))

    def blob(self, artifact: Artifact) -> bytes:
        """The bytes of an artifact.

        Raises:
            RegistryCorrupt: they are gone, or are not what the digest says, or not as many as the artifact says.
        """
        if not _DIGEST.fullmatch(artifact.sha256):
            raise RegistryCorrupt(f"{artifact.sha256[:80]!r} is no SHA-256 of a blob. Export the version again.")
        data = self._store.get(_blob_path(artifact.sha256), size_bytes=artifact.size_bytes)
        if data is None:
            raise RegistryCorrupt(
                f"Blob {artifact.sha256} is missing from {self.location!r}. Export the version again."
            )
        found = hashlib.sha256(data).hexdigest()
        if found != artifact.sha256:
            raise RegistryCorrupt(
                f"Blob {artifact.sha256} has digest {found}: it was changed. Export the version again."
            )
        return data

    def events(self, model: str) -> list[Event]:
        """A model's events, oldest first; the chain of digests is checked.

        Raises:
            RegistryCorrupt: an event is missing, out of place or does not follow the one before.
        """
        return self._read_events(model, _UNREAD)[0]

    def routes(self, model: str) -> Routes:
        """What is live now."""
        return self.log(model).routes

    def log(self, model: str, known: Log = _UNREAD) -> Log:
        """A model's log as it is now, read on from what is known of it.

        Raises:
            RegistryCorrupt: as for ``events``.
            RegistryReplaced: it does not go on from there: it is shorter, or another one.
        """
        events, digest = self._read_events(model, known)
        return Log(fold(events, known.routes), digest)

    def append(self, model: str, decide: Callable[[Routes], Event | None]) -> Event | None:
        """Append an event to a model's log.

        Args:
            model: its name.
            decide: says which event follows, given the routes now; None appends nothing. Where another writer was
                faster it is asked again with the new routes. Model, sequence, time and chain are filled in here.

        Returns:
            The event as stored, or None.
        """
        while True:
            log = self.log(model)
            event = decide(log.routes)
            if event is None:
                return None
            event.model, event.sequence, event.previous_digest = model, log.routes.sequence + 1, log.digest
            event.time.FromNanoseconds(time.time_ns())
            if self._create(f"{self._path_of(model)}/events/{_name(event.sequence)}", event):
                return event

    def _create(self, path: str, message: Message) -> bool:
        """Write a manifest or an event, unless another one is there; says whether it is this one that is.

        A bucket's client asks again where it hears that the bucket failed, and then finds what it wrote itself: taken
        for another's, a rollback would go back two steps. The nanosecond of its time tells a message from any other.
        """
        data = _to_json(message)
        return self._store.create(path, data) or self._store.get(path) == data

    def _read_events(self, model: str, known: Log) -> tuple[list[Event], str]:
        """The events behind those that are known, and the digest of the last."""
        folder, after = f"{self._path_of(model)}/events", known.routes.sequence
        # The last event that is known is read too: by its digest the log is the one that was read.
        found = self._store.names(folder, after=_name(after - 1) if after > 1 else "")
        # A file of another name that lies beside them is no part of the log, whatever it is.
        names = [name for name in found if _EVENT.fullmatch(name)]
        if after and not names:
            raise self._replaced(model, after)
        events: list[Event] = []
        digest, expected = "", max(after, 1)
        for name in names:
            path = f"{folder}/{name}"
            data = self._store.get(path)
            if data is None:
                raise RegistryError(
                    f"{path} is listed in the registry {self.location!r}, and is gone: somebody removes or replaces it."
                    " Try again when that is done."
                )
            event = _from_json(data, Event(), path)
            chained = event.previous_digest == digest or event.sequence == after
            if event.sequence != expected or _number(name, folder) != expected or event.model != model or not chained:
                raise RegistryCorrupt(f"{path} does not follow event {expected - 1}: the log was changed by hand.")
            digest, expected = hashlib.sha256(data).hexdigest(), expected + 1
            if event.sequence > after:
                events.append(event)
            elif digest != known.digest:
                raise self._replaced(model, after)
        return events, digest

    def _replaced(self, model: str, after: int) -> RegistryReplaced:
        return RegistryReplaced(
            f"The log of model {model!r} in the registry {self.location!r} is another one than before: it has no event"
            f" {after}, or not the one that was read. Bring the former back, or restart what reads it."
        )

    def _path_of(self, model: str) -> str:
        """A model's folder.

        Raises:
            InvalidInput: this is no model's name.
            RegistryCorrupt: nor is it one, but there is such a folder.
        """
        try:
            return f"models/{check_model_name(model)}"
        except InvalidInput:
            if model not in self.models():
                raise
            raise RegistryCorrupt(
                f"The registry {self.location!r} holds a folder {f'models/{model}'!r}, which is no model's name. Remove"
                " what is not sardonyx's."
            ) from None


def _blob_path(digest: str) -> str:
    return f"blobs/sha256/{digest}"


def _name(number: int) -> str:
    return f"{number:0{_DIGITS}d}.json"


def _number(name: str, folder: str) -> int:
    stem = name.removesuffix(".json")
    if not stem.isdecimal():
        raise RegistryCorrupt(
            f"The registry holds '{folder}/{name}' where a number was expected. Remove what is not sardonyx's."
        )
    return int(stem)


def _to_json(message: Message) -> bytes:
    return json_format.MessageToJson(message, indent=2).encode()


def _from_json(data: bytes, message: M, path: str) -> M:
    try:
        # A later release may have written fields that this one does not know.
        return json_format.Parse(data, message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as error:
        # Some reasons are sentences, and others are not.
        reason = str(error).rstrip(".")
        raise RegistryCorrupt(f"{path} cannot be read: {reason}. Restore it from a backup.") from error
