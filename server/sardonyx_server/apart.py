"""Work in a thread of its own, for what may never end: it takes nobody's place, and no end waits for it."""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: How long a thread has to come to its end, once it was told to or has nobody left to work for.
END_GRACE_S: Final = 0.5


class _Apart(threading.Thread):
    """A thread of this module's."""


def begin(work: Callable[[], T], name: str) -> Future[T]:
    """Begin some work.

    Args:
        work: what to do. A pool's threads are few, and the interpreter waits for each of them when it ends.
        name: the thread's.

    Returns:
        What comes of it; RuntimeError where the system has no thread for it.
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

    try:
        _Apart(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        future.set_exception(error)
    return future


def leave(status: int) -> NoReturn:
    """End the process.

    Where a thread is left that does not come to its end, at once: the interpreter's own end would break it off in the
    middle of what C++ it is in, and the process with it. One of a pool's, such as of a run that nobody waits for any
    more, it would wait for.
    """
    deadline = time.monotonic() + END_GRACE_S
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    left = [thread for thread in others if isinstance(thread, _Apart) or not thread.daemon]
    for thread in left:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in left):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
