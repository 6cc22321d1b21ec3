"""What callers have in common: what they ask next, and how a call becomes an entry of the ledger."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from soak.models import LONG, ROWS, TABLE, Tensor
from soak.rules import Ask, Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from soak.ledger import Given, Ledger
    from soak.models import Model
    from soak.outcomes import Outcomes

#: A deadline that only a fault in our own programs would break.
PATIENCE_S: Final = 20.0
#: Deadlines that may well pass: a run of the long model takes several milliseconds.
HURRIED_S: Final = (0.002, 0.03)
CANCEL_S: Final = (0.0, 0.01)
#: How long a client lives before the next one takes its place, perhaps at another worker: connections stay where they
#: are, and otherwise all would be with the eldest worker soon.
LIFE_S: Final = (8.0, 16.0)
ROWS_MAX: Final = 8

#: Shares of all requests.
_TO_LONG: Final = 0.15
_OF_ONE_ROW: Final = 0.8
_WRONG: Final = 0.015
_HURRIED: Final = 0.03
_CANCELLED: Final = 0.03
_PINNED: Final = 0.25


@dataclass(slots=True)
class Course:
    """Where callers run.

    Attributes:
        address: of the server.
        seed: of everything that is drawn.
        pause_s: how long a caller waits between two calls, in the mean.
        models: what is asked, by name.
        ledger: what became of it.
        outcomes: what turned out to be true, for the monitor.
        stop: set when no further call is to be made.
    """

    address: str
    seed: int
    pause_s: float
    models: Mapping[str, Model]
    ledger: Ledger
    outcomes: Outcomes
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    def lasts(self, draw: Draw) -> Callable[[], bool]:
        """Whether a client that begins now is to go on."""
        ends = time.monotonic() + draw.random.uniform(*LIFE_S)
        return lambda: not self.stop.is_set() and time.monotonic() < ends


class Caller(Protocol):
    """One that asks until it is told to stop."""

    async def run(self) -> None:
        """Ask, and resolve each request."""
        ...


class Habits(NamedTuple):
    """What a caller does.

    Attributes:
        repeats: its client asks again by itself.
        pins: it asks for exact versions now and then.
        hurries: it sets deadlines that may well pass, now and then.
        cancels: it cancels now and then.
    """

    repeats: bool = False
    pins: bool = False
    hurries: bool = True
    cancels: bool = True


class Draw:
    """Draws what one caller asks next."""

    def __init__(self, course: Course, caller: str, number: int, habits: Habits) -> None:
        self._course = course
        self._caller = caller
        self._habits = habits
        self.random = random.Random(f"{course.seed}/{caller}/{number}")  # noqa: S311 - no secret

    def ask(self) -> Ask:
        """Enter the next request."""
        model = self._course.models[LONG if self._happens(_TO_LONG) else TABLE]
        rows = 1 if self._happens(_OF_ONE_ROW) else self.random.randint(2, ROWS_MAX)
        start = self.random.randrange(ROWS - rows)
        hurried = self._habits.hurries and self._happens(_HURRIED)
        pinned = self._habits.pins and self._happens(_PINNED)
        return self._course.ledger.enter(
            self._caller,
            model.name,
            start,
            start + rows,
            version=self.random.choice(model.known) if pinned else 0,
            # A request that is wrong and for a version that is not there has two answers.
            expects="INVALID_ARGUMENT" if not pinned and self._happens(_WRONG) else "",
            patience_s=self.random.uniform(*HURRIED_S) if hurried else PATIENCE_S,
            hurried=hurried,
            repeats=self._habits.repeats,
        )

    def cancel_after_s(self) -> float | None:
        """When the caller cancels; None: it does not."""
        return self.random.uniform(*CANCEL_S) if self._habits.cancels and self._happens(_CANCELLED) else None

    def pause_s(self) -> float:
        """How long until the next request."""
        return self.random.expovariate(1 / self._course.pause_s)

    def _happens(self, share: float) -> bool:
        return self.random.random() < share


async def settle(
    course: Course, ask: Ask, call: Coroutine[Any, Any, Given], cancel_after_s: float | None = None
) -> None:
    """Make a call and resolve its request with what comes."""
    task = asyncio.create_task(call)
    if cancel_after_s is not None:
        asyncio.get_running_loop().call_later(cancel_after_s, _cancel, ask, task)
    try:
        given = await task
    except asyncio.CancelledError as error:
        if not ask.cancelled:
            # The soak ends, and this one had no end by then: it stays unresolved.
            raise
        course.ledger.failed(ask, Failure.of(error))
    except Exception as error:  # whatever a client raises is judged
        course.ledger.failed(ask, Failure.of(error))
    else:
        resolve(course, ask, given)


def resolve(course: Course, ask: Ask, given: Given) -> None:
    """A request was answered; some of them turn out to be true or not."""
    course.ledger.answered(ask, given)
    course.outcomes.offer(ask)


def rows_of(course: Course, ask: Ask) -> list[dict[str, Any]]:
    """What is asked, as a caller in Python has it; the first row is wrong where a refusal is expected."""
    rows = course.models[ask.model].rows(ask.start, ask.stop)
    if ask.expects:
        rows[0].update(_wrong(ask.model))
    return rows


def tensors_of(course: Course, ask: Ask) -> list[Tensor]:
    """The same as the protocol has it."""
    tensors = course.models[ask.model].tensors(ask.start, ask.stop)
    if not ask.expects:
        return tensors
    wrong = _wrong(ask.model)
    return [
        tensor._replace(values=np.array([wrong[tensor.name], *tensor.values[1:]], dtype=tensor.values.dtype))
        if tensor.name in wrong
        else tensor
        for tensor in tensors
    ]


def _wrong(model: str) -> dict[str, Any]:
    """A category that was never seen, or a number that is none: both are refused."""
    return {"origin": "nowhere"} if model == TABLE else {"number": float("nan")}


def _cancel(ask: Ask, task: asyncio.Task[Given]) -> None:
    if not task.done():
        ask.cancelled = True
        task.cancel()
