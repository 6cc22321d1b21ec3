"""What runs of a session have in common: what goes in together, and what each request gets of what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sardonyx_server.telemetry.record import Batch

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


def joined(feeds: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
    """Many feeds as one, row after row. A version's feeds have the same tensors, widths and types: it decoded them."""
    if len(feeds) == 1:
        return feeds[0]
    return {name: np.concatenate([feed[name] for feed in feeds]) for name in feeds[0]}


def divided(outputs: Sequence[Array], rows: Sequence[int]) -> Iterator[Sequence[Array]]:
    """The answers to each request of a run.

    Args:
        outputs: the run's: an array for each output of the interface.
        rows: how many rows each request has, in the order of the run.
    """
    if len(rows) == 1:
        yield outputs
        return
    start = 0
    for count in rows:
        end = start + count
        yield [values[start:end] for values in outputs]
        start = end
