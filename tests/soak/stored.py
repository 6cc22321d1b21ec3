"""What the monitor's store holds at the end, beside what callers were told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from soak.ledger import End

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from soak.ledger import Ledger
    from soak.stage import Loss

Array = npt.NDArray[Any]

#: A caller may learn of an answer a little after the worker that gave it died.
_LATE_S: Final = 1.0

#: Every prediction that was answered: those that shared a request are told apart.
_ANSWERED: Final = """
with answered as (
    select trace_id, span_id, prediction_id, version from requests where code = 'OK' and route <> 'shadow'
),
told as (
    select m.prediction_id, a.version from answered a join members m using (trace_id, span_id)
    union all
    select prediction_id, version from answered a anti join members m using (trace_id, span_id)
)
select cast(split_part(prediction_id, '-', 3) as bigint) as number, version, count(*) as times
from told where prediction_id like 'soak-%' group by all
"""


class Stored(NamedTuple):
    """What the store says.

    Attributes:
        predictions: answered ones that it holds, each once.
        shadows: answers of shadows.
        missing: answers that callers got and it does not hold.
        unexplained: of these, those that no killed worker took with it.
        unexplained_at: when the callers got the first and the last of these, in seconds since 1970.
        repeated: predictions that it holds twice, and no killed worker explains it.
        contradicted: predictions that it holds under another version than the caller was told.
        outcomes_missing: outcomes that were acknowledged and are not there.
    """

    predictions: int
    shadows: int
    missing: int
    unexplained: int
    unexplained_at: Sequence[float]
    repeated: int
    contradicted: int
    outcomes_missing: int


def compare(file: Path, ledger: Ledger, acknowledged: Sequence[str], losses: Sequence[Loss]) -> Stored:
    """Hold the store, whose monitor has ended, to the ledger.

    Args:
        file: the monitor's.
        ledger: what callers were told.
        acknowledged: prediction ids whose outcomes the monitor said it has.
        losses: what killed workers may have taken with them.
    """
    with duckdb.connect(str(file), read_only=True) as store:
        found = store.execute(_ANSWERED).fetchnumpy()
        (shadows,) = store.execute("select count(*) from requests where route = 'shadow'").fetchone() or (0,)
        outcomes = {row[0] for row in store.execute("select distinct prediction_id from outcomes").fetchall()}
    numbers, versions, times = (np.asarray(found[name]) for name in ("number", "version", "times"))
    answered = np.frombuffer(ledger.ends, dtype=np.uint8) == End.ANSWERED
    ended_at = np.asarray(ledger.ended_at)
    told = np.asarray(ledger.versions)
    held = np.zeros(len(answered), dtype=bool)
    held[numbers] = True
    missing = answered & ~held
    excused = _near(ended_at, losses)
    unexplained = missing & ~excused
    clear = answered[numbers] & ~excused[numbers]
    # A request that was repeated after its worker died may have been answered by both.
    twice = (times > 1) | (np.bincount(numbers, minlength=len(answered))[numbers] > 1)
    return Stored(
        predictions=int(held.sum()),
        shadows=int(shadows),
        missing=int(missing.sum()),
        unexplained=int(unexplained.sum()),
        unexplained_at=np.sort(ended_at[unexplained])[[0, -1]].tolist() if unexplained.any() else [],
        repeated=len(np.unique(numbers[twice & clear])),
        contradicted=int((clear & (versions != told[numbers])).sum()),
        outcomes_missing=len(set(acknowledged) - outcomes),
    )


def _near(ended_at: Array, losses: Sequence[Loss]) -> Array:
    """Which requests ended so that a killed worker may have taken their spans with it."""
    near = np.zeros(len(ended_at), dtype=bool)
    for since, until in losses:
        near |= (ended_at >= since) & (ended_at <= until + _LATE_S)
    return near
