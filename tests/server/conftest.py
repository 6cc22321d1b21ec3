"""One registry and one server for all tests that leave both as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from server.scene import ALONE, PATIENCE_S, Scene, is_ready, make_scene, wait_until
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A registry with live models, and their sources."""
    return make_scene(tmp_path_factory.mktemp("server") / "registry")


@pytest.fixture(scope="session")
def address(scene: Scene) -> Iterator[str]:
    """A server whose models all answer."""
    with running_server(scene.registry, *ALONE, "--poll-interval-s", "0.1") as address:
        yield address


@pytest.fixture(scope="session")
def channel(address: str) -> Iterator[grpc.Channel]:
    """A channel to that server, once it is ready."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=PATIENCE_S)
        wait_until(lambda: is_ready(channel), "the server is ready")
        yield channel
