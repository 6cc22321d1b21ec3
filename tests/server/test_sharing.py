"""Threads share processors as they were told to: who waits for the event loop, and who steps back before it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sardonyx_server import sharing
from server.scene import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux's threads have policies of their own")


@pytest.fixture
def waiting() -> Iterator[int]:
    """A thread that waits; its number. Afterwards every thread is as it was."""
    release, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(PATIENCE_S)

    thread = threading.Thread(target=wait)
    thread.start()
    assert begun.wait(PATIENCE_S)
    assert thread.native_id is not None
    yield thread.native_id
    for each in Path("/proc/self/task").iterdir():
        os.sched_setscheduler(int(each.name), os.SCHED_OTHER, os.sched_param(0))
    sharing._WAITING.clear()
    release.set()
    thread.join(PATIENCE_S)


def test_threads_wait_for_the_loop_but_during_runs(waiting: int) -> None:
    """Every thread but the loop's waits; while one run or two are in threads none does, and afterwards all do again."""
    own = threading.get_native_id()
    sharing.let_the_loop_finish()
    assert (os.sched_getscheduler(waiting), os.sched_getscheduler(own)) == (os.SCHED_BATCH, os.SCHED_OTHER)
    with sharing.interruptible():
        with sharing.interruptible():
            assert os.sched_getscheduler(waiting) == os.SCHED_OTHER
        assert os.sched_getscheduler(waiting) == os.SCHED_OTHER
    assert os.sched_getscheduler(waiting) == os.SCHED_BATCH


def test_a_thread_for_long_runs_steps_back_alone() -> None:
    """It is nicer than it was, as far as that goes, and no other thread is."""
    own = threading.get_native_id()
    before = os.getpriority(os.PRIO_PROCESS, own)
    after: list[int] = []

    def step_back() -> None:
        sharing.step_back()
        after.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    thread = threading.Thread(target=step_back)
    thread.start()
    thread.join(PATIENCE_S)
    assert after == [min(before + 15, 19)]
    assert os.getpriority(os.PRIO_PROCESS, own) == before


def test_what_the_operator_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of gRPC and glibc are given to workers, but not over the operator's own."""
    monkeypatch.delenv("GRPC_EXPERIMENTS", raising=False)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    given = sharing.environment()
    assert given["GRPC_EXPERIMENTS"] == "-event_engine_listener"
    assert given["MALLOC_TRIM_THRESHOLD_"] == "1"
