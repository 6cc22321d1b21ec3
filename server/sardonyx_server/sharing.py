"""How a serving process shares processors, memory, files and standard error with what it is built on.

By settings of gRPC, glibc and Linux.

Most of a small request's time is wake-ups between gRPC's threads and the event loop.

Each call wakes the thread that polls gRPC's completions about six times. Measured with everything on one processor, 32
in flight, the bare server of the benchmarks: 232 µs of it a request, 197 without the threads of the event engine, 161
where the poller does not interrupt the loop either; with one in flight 250, 202 and 178 µs.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: gRPC's own switches: https://github.com/grpc/grpc/blob/master/doc/environment_variables.md. One that a release does
#: not know any more does nothing.
_EXPERIMENTS: Final = "GRPC_EXPERIMENTS"
#: Connections are read by the thread that polls for completions, and not handed to it from threads of their own.
_ONE_POLLER: Final = "-event_engine_listener"
#: gRPC writes lines of its own form to standard error, one for each handshake that fails: whoever scans a port would
#: fill a log whose lines are to be JSON. To see them, set it: ERROR, INFO or DEBUG.
_QUIET: Final = {"GRPC_VERBOSITY": "NONE"}
#: glibc's own (mallopt(3)): what a large request took is kept for the next one, up to 64 MiB, and not given back to the
#: system in between. 10,000 rows of 30 columns cost 2,000 page faults each, 3 ms of their 4 ms. Of arenas that keep it
#: there are four, and not eight for each processor: versions that come and go, each loaded by another thread, leave
#: holes in all of them.
_KEPT_MEMORY: Final = {
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_ARENA_MAX": "4",
}
#: Files that one process may have open, where the system allows more: a million would be a million connections' memory.
_FILES_MAX: Final = 65_536
_THREADS: Final = Path("/proc/self/task")
#: How much nicer threads for long runs are (nice(2)): they have a thirtieth of the event loop's weight. A small model's
#: calls beside one of 50 ms a run, on one processor: their p99 was 4.5 times that without the other at 5, 3.2 times at
#: 10, 2.6 times at 15 and twice at 19. The long runs were as many each time: calls of a small model leave time enough.
_NICER: Final = 15
_NICE_MAX: Final = 19


def environment() -> Mapping[str, str]:
    """The environment of a process that serves; what the operator has set stays."""
    return {_EXPERIMENTS: _ONE_POLLER, **_QUIET, **_KEPT_MEMORY, **os.environ}


def allow_connections() -> None:
    """Let this process and those that it starts have as many files open as the system allows, within reason.

    Each connection is one, and what a shell or an init system allows at first is often 1024, for programs that do not
    ask: so many callers that connect and say nothing kept all others out.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _FILES_MAX)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        # Elsewhere than on Linux the system may allow less than it says.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


#: The threads that wait for the event loop, by their numbers, and the runs that are in threads now.
_WAITING: Final[list[int]] = []
_runs = 0


def let_the_loop_finish() -> None:
    """Let no thread that exists now, but for the calling one, interrupt another when it is woken.

    Linux's policy for batches (sched(7)): a thread that is woken waits until the one that runs has nothing to do or has
    had its share. Its own share stays as it is, so beside a process that takes all it can get, it loses little: with
    one on the same processor throughput was 12 % lower than without the policy, and 40 % with a nicer thread in its
    place. Elsewhere than on Linux this does nothing.
    """
    if not hasattr(os, "sched_setscheduler") or not _THREADS.is_dir():
        return
    threads = (int(thread.name) for thread in _THREADS.iterdir())
    _WAITING[:] = [thread for thread in threads if thread != threading.get_native_id()]
    _set_policy(os.SCHED_BATCH)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let them interrupt as usual while a run in a thread has the processor; on the event loop.

    A run of 50 ms is not worth waiting for: with it a small model's calls were answered after 7 ms, now and then, on
    one processor.
    """
    global _runs
    _runs += 1
    if _runs == 1 and _WAITING:
        _set_policy(os.SCHED_OTHER)
    try:
        yield
    finally:
        _runs -= 1
        if not _runs and _WAITING:
            _set_policy(os.SCHED_BATCH)


def step_back() -> None:
    """Let the calling thread, which makes long runs, have what the event loop leaves, and a thirtieth at the least."""
    # Elsewhere than on Linux a thread has no priority of its own: the process's would change.
    if _THREADS.is_dir():
        thread = threading.get_native_id()
        with contextlib.suppress(OSError):
            nice = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, min(nice + _NICER, _NICE_MAX))


def _set_policy(policy: int) -> None:
    for thread in _WAITING:
        # It may have ended, and a container may not allow it: then all is as it was.
        with contextlib.suppress(OSError):
            os.sched_setscheduler(thread, policy, os.sched_param(0))
