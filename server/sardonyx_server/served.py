"""A version that answers: what a request holds from the moment it is routed until its answer is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sardonyx_server.decode import Decoder
from sardonyx_server.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sardonyx.registry.v1.manifest_pb2 import Manifest
    from sardonyx_server.runner import Runner


class Served:
    """A ready version with everything that a request needs, made once.

    Entered by each request for as long as it needs the version: an unload waits for the last to leave. All of it
    happens on the event loop, so a plain counter does.

    Args:
        manifest: the version's.
        runner: runs its session.
        released: called when the last request has left.
    """

    def __init__(self, manifest: Manifest, runner: Runner, released: Callable[[], None]) -> None:
        self.manifest = manifest
        self.model = manifest.model
        self.version = manifest.version
        self.major = manifest.interface_major
        self.runner = runner
        self.decoder = Decoder(manifest)
        self.encoder = Encoder(manifest)
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
