"""sardonyx's own clients: they repeat what a fault cut off, so no fault of a worker reaches their callers."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final

from sardonyx import AsyncClient, Client
from soak.callers.course import Draw, Habits, resolve, rows_of, settle
from soak.ledger import Given
from soak.rules import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from sardonyx import Answer
    from soak.callers.course import Course
    from soak.rules import Ask

#: A share of calls names a customer: a canary's share then goes by that.
_KEYED: Final = 0.1
_KEYS: Final = 20


def given_of(course: Course, ask: Ask, answer: Answer) -> Given:
    """An answer, with the output that is compared."""
    return Given(answer.version, answer.route, answer.outputs[course.models[ask.model].output])


class Coalescing:
    """Tasks that share an AsyncClient, whose calls share requests."""

    name = "AsyncClient"

    def __init__(self, course: Course, tasks: int) -> None:
        self._course = course
        self._draws = [Draw(course, self.name, number, Habits(repeats=True)) for number in range(tasks)]

    async def run(self) -> None:
        """Ask until told to stop."""
        while not self._course.stop.is_set():
            lasts = self._course.lasts(self._draws[0])
            async with AsyncClient(self._course.address) as client, asyncio.TaskGroup() as group:
                for draw in self._draws:
                    group.create_task(self._one(client, draw, lasts))

    async def _one(self, client: AsyncClient, draw: Draw, lasts: Callable[[], bool]) -> None:
        while lasts():
            ask = draw.ask()
            await settle(self._course, ask, self._predict(client, ask, draw), draw.cancel_after_s())
            await asyncio.sleep(draw.pause_s())

    async def _predict(self, client: AsyncClient, ask: Ask, draw: Draw) -> Given:
        key = f"customer-{draw.random.randrange(_KEYS)}" if draw.random.random() < _KEYED else None
        answer = await client.predict(
            ask.model,
            rows_of(self._course, ask),
            prediction_id=ask.id,
            timeout_s=ask.patience_s,
            routing_key=key,
        )
        return given_of(self._course, ask, answer)


class Blocking:
    """Threads that share a Client."""

    name = "Client"

    def __init__(self, course: Course, threads: int) -> None:
        self._course = course
        self._draws = [
            Draw(course, self.name, number, Habits(repeats=True, cancels=False)) for number in range(threads)
        ]

    async def run(self) -> None:
        """Ask until told to stop."""
        while not self._course.stop.is_set():
            lasts = self._course.lasts(self._draws[0])
            with Client(self._course.address) as client:
                threads = [threading.Thread(target=self._one, args=(client, draw, lasts)) for draw in self._draws]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    await asyncio.shield(asyncio.to_thread(thread.join))

    def _one(self, client: Client, draw: Draw, lasts: Callable[[], bool]) -> None:
        while lasts():
            self._ask(client, draw.ask())
            time.sleep(draw.pause_s())

    def _ask(self, client: Client, ask: Ask) -> None:
        try:
            rows = rows_of(self._course, ask)
            answer = client.predict(ask.model, rows, prediction_id=ask.id, timeout_s=ask.patience_s)
        except Exception as error:  # whatever a client raises is judged
            self._course.ledger.failed(ask, Failure.of(error))
        else:
            resolve(self._course, ask, given_of(self._course, ask, answer))
