"""The demo's child processes: each writes a log, none outlives the demo."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence
    from types import TracebackType

EXAMPLES: Final = Path(__file__).resolve().parents[1]
PATIENCE_S: Final = 60.0
#: More than the server takes for a drain.
STOP_TIMEOUT_S: Final = 40.0
LOOK_S: Final = 0.05
TAIL_LINES: Final = 20


class ChildFailed(Exception):
    """A child ended that should run, or did not start in time; the message holds the end of its log."""

    def __init__(self, child: Child, what: str) -> None:
        super().__init__(f"{child.name} {what}. The end of {child.log}:\n{child.tail()}")


class Child:
    """A module that runs in a process of its own, from here to the end of the ``with`` block.

    Args:
        module: what to run; names the log too.
        arguments: of its command line.
        logs: the folder of the logs.
    """

    def __init__(self, module: str, *arguments: object, logs: Path) -> None:
        self.name = module
        self.log = logs / f"{module}.log"
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flights.child", module, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(EXAMPLES)},
                # A Ctrl-C reaches the terminal's whole group: the children are to hear of it from here.
                start_new_session=True,
            )

    def wait_for(self, pattern: str, times: int = 1) -> str:
        """What a pattern matches in what it prints, its group where it has one, once it is there so many times.

        Raises:
            ChildFailed: it ended, or did not print that in time.
        """
        deadline = time.monotonic() + PATIENCE_S
        while len(found := re.findall(pattern, self.log.read_text(errors="replace"))) < times:
            self.check()
            if time.monotonic() > deadline:
                raise ChildFailed(self, f"has not said {pattern!r} within {PATIENCE_S:g} s")
            time.sleep(LOOK_S)
        return str(found[0])

    def check(self) -> None:
        """Nothing, as long as it runs.

        Raises:
            ChildFailed: it ended.
        """
        if self._process.poll() is not None:
            raise ChildFailed(self, f"ended with status {self._process.returncode}")

    async def finish(self) -> None:
        """Wait until it ends by itself.

        Raises:
            ChildFailed: it did not end well.
        """
        if await asyncio.to_thread(self._process.wait):
            self.check()

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(f"  {line}" for line in self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    def __enter__(self) -> Self:
        """The child itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End it as an operator would, and by force where it does not end or nobody wants to wait."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        finally:
            self._process.kill()
            self._process.wait()
            if self._process.stdin:
                self._process.stdin.close()


async def beside(story: Coroutine[Any, Any, None], *children: Child) -> None:
    """Run a story to its end, as long as the children run.

    Raises:
        ChildFailed: one of them ended before.
    """
    tasks = [asyncio.create_task(story), asyncio.create_task(_watch(children))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in reversed(tasks):
            if task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(children: Sequence[Child]) -> None:
    """Never ends by itself."""
    while True:
        for child in children:
            child.check()
        await asyncio.sleep(LOOK_S)
