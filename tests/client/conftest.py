"""One registry, one server and one collector for all tests that leave them as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sardonyx import Client
from server import sink
from server.scene import ALONE, CLASSIFIER, LOOKUP, REGRESSOR, SLOW, Scene, make_scene, wait_until
from server.sink import Sink
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (CLASSIFIER, REGRESSOR, LOOKUP, SLOW)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A registry with live models, and their sources."""
    return make_scene(tmp_path_factory.mktemp("client") / "registry")


@pytest.fixture(scope="session")
def collected() -> Sink:
    """What the server's telemetry says."""
    return Sink()


@pytest.fixture(scope="session")
def address(scene: Scene, collected: Sink) -> Iterator[str]:
    """A server whose models all answer."""
    with (
        sink.running(collected) as endpoint,
        running_server(scene.registry, *ALONE, "--otlp-endpoint", f"http://{endpoint}") as address,
        Client(address) as client,
    ):
        wait_until(lambda: all(client.ready(model) for model in MODELS), "the models are ready")
        yield address


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """The blocking client."""
    with Client(address) as client:
        yield client
