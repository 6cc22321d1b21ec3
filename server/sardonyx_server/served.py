"""A version that answers: what a request holds from the moment it is routed until its answer is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sardonyx.registry.v1.interface_pb2 import (
    OUTPUT_KIND_LABEL,
    OUTPUT_KIND_PROBABILITIES,
    OUTPUT_KIND_VALUE,
    OutputKind,
)
from sardonyx_server.decode import Decoder
from sardonyx_server.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from sardonyx.typed import TypedService
    from sardonyx_server.batcher import Batcher
    from sardonyx_server.bounds import Bounds

KINDS: Final = (OUTPUT_KIND_LABEL, OUTPUT_KIND_PROBABILITIES, OUTPUT_KIND_VALUE)


class Served:
    """A ready version with everything that a request needs, made once.

    Entered by each request for as long as it waits for the version's answer: an unload waits for the last to leave. All
    of it happens on the event loop, so a plain counter does, and a request that does not wait need not enter.

    Args:
        manifest: the version's.
        typed: the messages of its own service; None: it has none.
        batcher: runs its session.
        bounds: how large a request may be.
        released: called when the last request has left.
    """

    def __init__(
        self,
        manifest: Manifest,
        typed: TypedService | None,
        batcher: Batcher,
        bounds: Bounds,
        released: Callable[[], None],
    ) -> None:
        self.manifest = manifest
        self.typed = typed
        self.model = manifest.model
        self.version = manifest.version
        self.major = manifest.interface_major
        self.batcher = batcher
        self.bounds = bounds
        self.decoder = Decoder(manifest, bounds)
        self.encoder = Encoder(manifest)
        #: At which position the label, the probabilities and the value are among the outputs, if they are.
        label, probabilities, value = (_position(manifest, kind) for kind in KINDS)
        self.kinds = label, probabilities, value
        self.output_names = tuple(output.name for output in manifest.interface.outputs)
        self.in_flight = 0
        self._released = released

    def __enter__(self) -> Served:
        """Hold the version."""
        self.in_flight += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let it go."""
        self.in_flight -= 1
        if not self.in_flight:
            self._released()


def _position(manifest: Manifest, kind: OutputKind.ValueType) -> int | None:
    kinds = [output.kind for output in manifest.interface.outputs]
    return kinds.index(kind) if kind in kinds else None
