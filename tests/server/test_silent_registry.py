"""A registry that takes calls and does not answer them."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

from sardonyx.registry import Registry
from sardonyx_server.life import watcher as watcher_module
from sardonyx_server.life.manager import Manager
from sardonyx_server.life.model import Wish
from sardonyx_server.life.session import Runtime
from sardonyx_server.life.states import State
from sardonyx_server.life.watcher import Watcher
from server.scene import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from sardonyx_server.life.loader import Loaded
    from sardonyx_server.served import Served

MODEL: Final = "silent"


@contextmanager
def silent_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Registry, threading.Event]]:
    """A registry in a bucket, and what lets its calls be answered: with a refusal."""
    speak = threading.Event()

    class Silent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            speak.wait()
            self.send_error(403)

        def log_message(self, *_arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield Registry("s3://bucket/models"), speak
    finally:
        speak.set()
        server.shutdown()
        server.server_close()
        serving.join()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for what must come, beside the event loop's other tasks."""
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never happened: {what}")


def never(_loaded: Loaded, _released: Callable[[], None]) -> Served:
    """Nothing is loaded that could be served."""
    raise AssertionError("a version was loaded")


def test_a_registry_that_does_not_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promotes are not followed for as long, and that is said; then what it answers is."""
    monkeypatch.setattr(watcher_module, "SILENT_S", 0.1)

    async def watch() -> None:
        with silent_bucket(monkeypatch) as (registry, speak):
            watcher = Watcher(registry, 60, lambda _wishes, _unread: None)
            watching = asyncio.create_task(watcher.run())
            await until(lambda: "has not answered for 0.1 s" in watcher.error, "it is said")
            speak.set()
            await until(lambda: "could not list models" in watcher.error, "the answer is reported")
            watching.cancel()

    asyncio.run(watch())


def test_a_version_that_is_not_read_in_time_is_tried_again_once_its_thread_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It failed meanwhile, so nobody waits for it; and no second thread waits beside the first."""

    async def load() -> None:
        with silent_bucket(monkeypatch) as (registry, speak):
            manager = Manager(registry, never, Runtime(), lambda _model: None, load_timeout_s=0.1)
            manager.wish({MODEL: Wish(default_major=1, live={1: 1})}, ())
            version = manager.models[MODEL].versions[1]
            await until(lambda: version.state is State.FAILED, "it failed")
            assert version.reason == (
                "It was not read and built within 0.1 s. See whether its registry answers, or give it longer with"
                " --load-timeout-s."
            )
            assert manager.settled
            await asyncio.sleep(0.2)
            assert version.failures == 1
            speak.set()
            await until(lambda: "could not read models" in version.reason, "it is tried again")
            await manager.stop()

    asyncio.run(load())
