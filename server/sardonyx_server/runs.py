"""What runs of a session have in common: what goes in together, and what each request gets of what comes out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sardonyx_server.telemetry.record import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Array = npt.NDArray[Any]


class Ran(NamedTuple):
    """The answers to one request, and where its time went, in nanoseconds.

    Attributes:
        outputs: an array for each output of the interface.
        queue_ns: how long it waited.
        run_ns: how long the run took, of all the requests in it.
        batch: the run, where it was shared.
    """

    outputs: Sequence[Array]
    queue_ns: int
    run_ns: int
    batch: Batch | None = None


class Asked:
    """One request that waits for a run.

    Args:
        feed: arrays by graph tensor, shape [rows, width].
        rows: how many rows it holds.
        prediction_id: told to those who share the run.
    """

    __slots__ = ("asked_ns", "feed", "prediction_id", "rows")

    def __init__(self, feed: Mapping[str, Array], rows: int, prediction_id: str) -> None:
        self.feed = feed
        self.rows = rows
        self.prediction_id = prediction_id
        self.asked_ns = time.perf_counter_ns()


def joined(many: Sequence[Asked]) -> Mapping[str, Array]:
    """Their feeds as one, row after row. A version's feeds have the same tensors, widths and types: it decoded them."""
    if len(many) == 1:
        return many[0].feed
    return {name: np.concatenate([asked.feed[name] for asked in many]) for name in many[0].feed}


def divided(many: Sequence[Asked], outputs: Sequence[Array], started_ns: int, run_ns: int) -> Iterator[Ran]:
    """What each request of a run gets of it.

    Args:
        many: the requests, in the order of the run.
        outputs: the run's: an array for each output of the interface.
        started_ns: when it began, by the clock of ``asked_ns``.
        run_ns: how long it took.
    """
    if len(many) == 1:
        yield Ran(outputs, started_ns - many[0].asked_ns, run_ns)
        return
    shared = Batch.of(sum(asked.rows for asked in many), [asked.prediction_id for asked in many])
    start = 0
    for asked in many:
        end = start + asked.rows
        yield Ran([values[start:end] for values in outputs], started_ns - asked.asked_ns, run_ns, shared)
        start = end
