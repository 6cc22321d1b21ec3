"""The typed services that a worker answers: one for each generation of each model that something answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sardonyx.typed.rows import RowReader, RowWriter
from sardonyx_server.typed.parts import Parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    from sardonyx.typed import TypedService
    from sardonyx_server.bounds import Bounds
    from sardonyx_server.life.model import Model
    from sardonyx_server.served import Served


class Generation(NamedTuple):
    """One interface generation of a model, as its callers compile it.

    Attributes:
        model: its name.
        selector: what leads a call to it.
        typed: the messages, of the newest version that may answer: whatever an older one has is in them.
        rows: reads the rows of its requests.
        answers: writes the rows of its responses.
        parts: counts and cuts large requests.
    """

    model: str
    selector: str
    typed: TypedService
    rows: RowReader
    answers: RowWriter
    parts: Parts

    @classmethod
    def of(cls, model: str, major: int, typed: TypedService, bounds: Bounds) -> Generation:
        """The generation of that number, in those messages, of which so much is read."""
        rows, answers = RowReader(typed.form.inputs), RowWriter(typed.form.outputs)
        return cls(model, f"v{major}", typed, rows, answers, Parts(typed.form, bounds.rows_max))


class Services:
    """Follows what a worker has: services appear with the first version of a generation and go with its last one."""

    def __init__(self) -> None:
        self._of_model: dict[str, dict[str, Generation]] = {}
        self._by_name: dict[str, Generation] = {}
        #: What the door keeps by method and caller, until any service changes.
        self.kept: dict[tuple[str, str], Any] = {}

    def refresh(self, model: Model) -> None:
        """Bring a model's services to what there is of it; on the event loop, in one step."""
        self.kept.clear()
        found = dict(_generations(model))
        for name in self._of_model.pop(model.name, {}).keys() - found.keys():
            del self._by_name[name]
        if found:
            self._of_model[model.name] = found
        self._by_name.update(found)

    def find(self, name: str) -> Generation | None:
        """The generation whose service has that full name."""
        return self._by_name.get(name)

    def file(self, name: str) -> FileDescriptorProto | None:
        """The file of that name, with its comments, if it is a typed service's."""
        files = (generation.typed.file for generation in self._by_name.values())
        return next((file for file in files if file.name == name), None)

    @property
    def names(self) -> list[str]:
        """The full names of all services."""
        return sorted(self._by_name)

    @property
    def pools(self) -> list[Any]:
        """The descriptor pool of each service."""
        return [generation.typed.pool for generation in self._by_name.values()]


def _generations(model: Model) -> Iterator[tuple[str, Generation]]:
    for major in model.routes.keys() | model.canaries.keys():
        newest = max(_answering(model, major), key=lambda served: served.version)
        if newest.typed is not None:
            yield newest.typed.name, Generation.of(model.name, major, newest.typed, newest.bounds)


def _answering(model: Model, major: int) -> Iterator[Served]:
    if major in model.routes:
        yield model.routes[major]
    if major in model.canaries:
        yield model.canaries[major].served
