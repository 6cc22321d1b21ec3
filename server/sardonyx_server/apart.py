"""Work in a thread of its own, for what may never end: it takes nobody's place, and no end waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def begin(work: Callable[[], T], name: str) -> Future[T]:
    """Begin some work.

    Args:
        work: what to do. A pool's threads are few, and the interpreter waits for each of them when it ends.
        name: the thread's.

    Returns:
        What comes of it.
    """
    future = Future[T]()
    # What nobody waits for any more goes on all the same.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
