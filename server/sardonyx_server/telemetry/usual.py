"""Usual predictions: one row, answered, in nobody's trace. Of each, a row of a table is kept instead of its record.

Most predictions are usual, so they are what telemetry costs. A record is a dozen objects, 1 kB: kept for a while, they
push the requests' own memory out of the caches, and written one after the other they take 6 µs each. A row takes about
130 bytes, where the ones before it were, and all rows of a table are counted and written at once.

The event loop adds rows and the recorder's thread takes them. Each has a counter of its own, so nothing needs a lock.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_server.telemetry.record import Batch, Outputs, Record

Array = npt.NDArray[Any]

#: Rows of a table: what finds no room is kept as a record. A table is taken when it is half full, within 20 ms: that is
#: room for 12,000 predictions of one kind a second.
TABLE_ROWS: Final = 512
#: Tables of a worker.
TABLES_MAX: Final = 64
#: Bytes of a row: 128 kB a table, 8 MB in all. What takes more, by a long id or by many numbers, is kept as a record.
ROW_BYTES_MAX: Final = 256
#: Of them, those of times and of the label's number.
_FIXED_BYTES: Final = 6 * 8 + 1
#: A table that nothing came to for so long makes room for another.
IDLE_NS: Final = 10_000_000_000
#: Different labels of a table: a row holds the number of its label in one byte.
_LABELS_MAX: Final = 256
_NOTHING: Final = b""


class Kind(NamedTuple):
    """What the predictions of a table have in common.

    Attributes:
        method, caller, route: as in ``Record``.
        model, version, major: what answered.
        id_bytes: how long the prediction ids are.
    """

    method: str
    caller: str
    route: str
    model: str
    version: int
    major: int
    id_bytes: int


class Usual(NamedTuple):
    """Some usual predictions of one kind.

    Attributes:
        kind: theirs.
        labels: what the numbers of labels in the rows stand for; empty where the model has none.
        rows: in the order in which they ended, with the fields ``start_ns``, ``duration_ns``, ``stages_ns``, ``id``
            (bytes), ``label`` (a number), ``probabilities`` and ``values`` (of no columns where the model has none).
        batches: the runs that they shared with others, in the same order; None where one had a run of its own.
    """

    kind: Kind
    labels: Sequence[object]
    rows: Array
    batches: Sequence[Batch | None]


class Tables:
    """The tables of one worker."""

    def __init__(self) -> None:
        self._tables: dict[tuple[object, ...], Table] = {}
        self._looked_ns = 0

    def add(self, record: Record) -> bool:
        """Keep a record's values, on the event loop; False where it is not usual, or there is no room."""
        served, outputs = record.served, record.outputs
        if (
            record.rows != 1
            or served is None
            or outputs is None
            or record.code != "OK"
            or record.parent is not None
            or record.captured is not None
            or record.members is not None
            or record.shadowed is not None
        ):
            return False
        written_id = record.prediction_id.encode()
        # What Kind holds, which takes longer to make. Not the version itself: its table would keep it in memory.
        key = (record.method, record.caller, record.route, served.model, served.version, served.major, len(written_id))
        table = self._tables.get(key) or self._open(Kind(*key), record.start_ns, outputs)
        return table is not None and table.add(record, outputs, written_id)

    def take(self, at_least: int = 1) -> list[Usual]:
        """What was added, of each kind of which there is enough; never on the event loop.

        Args:
            at_least: so many rows of a kind are enough.
        """
        return [table.take() for table in list(self._tables.values()) if table.waiting >= at_least]

    def _open(self, kind: Kind, now_ns: int, outputs: Outputs) -> Table | None:
        if not _are_floats(outputs):
            return None
        numbers = sum(array.nbytes for array in (outputs.probabilities, outputs.values) if array is not None)
        if _FIXED_BYTES + kind.id_bytes + numbers > ROW_BYTES_MAX or not self._has_room(now_ns):
            return None
        table = self._tables[kind] = Table(kind, _row_of(kind.id_bytes, outputs))
        return table

    def _has_room(self, now_ns: int) -> bool:
        """Whether there may be another table; looks for one that is not used any more once a second at most."""
        if len(self._tables) < TABLES_MAX:
            return True
        if now_ns - self._looked_ns < IDLE_NS // 10:
            return False
        self._looked_ns = now_ns
        idle = [key for key, table in self._tables.items() if table.is_idle(now_ns)]
        for key in idle:
            del self._tables[key]
        return bool(idle)


class Table:
    """Rows of one kind, in a ring.

    Args:
        kind: theirs.
        dtype: a row's.
    """

    def __init__(self, kind: Kind, dtype: np.dtype[Any]) -> None:
        self._kind = kind
        self._numbers: dict[object, int] = {}
        self._labels: list[object] = []
        lengths = [dtype[name].itemsize for name in ("probabilities", "values")]
        self._pack_into = struct.Struct(f"<6q{kind.id_bytes}sB{lengths[0]}s{lengths[1]}s").pack_into
        self._size = dtype.itemsize
        self._buffer = bytearray(TABLE_ROWS * self._size)
        self._rows = np.frombuffer(self._buffer, dtype)
        self._batches: list[Batch | None] = [None] * TABLE_ROWS
        #: Rows that were added, by the event loop alone, and those that were taken, by the recorder's thread alone.
        self._added = 0
        self._taken = 0
        self._last_ns = 0

    def add(self, record: Record, outputs: Outputs, written_id: bytes) -> bool:
        """Add a row; False where there is no room for it."""
        if self._added - self._taken >= TABLE_ROWS:
            return False
        number = 0
        if outputs.labels is not None:
            label = outputs.labels.item()
            number = self._numbers.get(label, -1)
            if number < 0 and (number := self._new_number(label)) < 0:
                return False
        probabilities, values = outputs.probabilities, outputs.values
        self._last_ns = record.start_ns
        place = self._added % TABLE_ROWS
        self._batches[place] = record.batch
        self._pack_into(
            self._buffer,
            place * self._size,
            record.start_ns,
            record.duration_ns,
            *record.stages_ns,
            written_id,
            number,
            _NOTHING if probabilities is None else probabilities.tobytes(),
            _NOTHING if values is None else values.tobytes(),
        )
        # Only now may it be taken.
        self._added += 1
        return True

    @property
    def waiting(self) -> int:
        """How many rows were added since the last call of ``take``."""
        return self._added - self._taken

    def take(self) -> Usual:
        """The rows that were added since the last call."""
        added = self._added
        places = np.arange(self._taken, added) % TABLE_ROWS
        rows = self._rows[places]
        batches = list(map(self._take_batch, places.tolist()))
        # Only now may their places be filled again.
        self._taken = added
        return Usual(self._kind, tuple(self._labels), rows, batches)

    def _take_batch(self, place: int) -> Batch | None:
        """The run of a row, which is let go of: it holds the ids of all its requests."""
        batch, self._batches[place] = self._batches[place], None
        return batch

    def is_idle(self, now_ns: int) -> bool:
        """Whether nothing has come for long, and all that came was taken."""
        return not self.waiting and now_ns - self._last_ns > IDLE_NS

    def _new_number(self, label: object) -> int:
        """The number of a label that is seen for the first time; -1 where there are too many."""
        number = len(self._labels)
        if number >= _LABELS_MAX:
            return -1
        self._labels.append(label)
        self._numbers[label] = number
        return number


def _are_floats(outputs: Outputs) -> bool:
    """Whether a row can hold an answer's numbers."""
    return all(array is None or array.dtype.kind == "f" for array in (outputs.probabilities, outputs.values))


def _row_of(id_bytes: int, outputs: Outputs) -> np.dtype[Any]:
    """The type of a row: of one version, all answers have the sizes of the first."""
    return np.dtype(
        [
            ("start_ns", "<i8"),
            ("duration_ns", "<i8"),
            ("stages_ns", "<i8", (4,)),
            ("id", f"V{id_bytes}"),
            ("label", "u1"),
            ("probabilities", *_columns(outputs.probabilities)),
            ("values", *_columns(outputs.values)),
        ]
    )


def _columns(array: Array | None) -> tuple[str, tuple[int, ...]]:
    """The type and the shape of a row's field for an output of one row."""
    return ("<f8", (0,)) if array is None else (array.dtype.newbyteorder("<").str, (array.size,))
