"""The predictions of several callers that share one request: which rows are whose."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING

from sardonyx import telemetry
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx_monitor.receiver.attributes import COUNT_MAX, Malformed, read_elements
from sardonyx_monitor.store.rows import MemberRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sardonyx_monitor.receiver.attributes import Values
    from sardonyx_monitor.store.rows import RequestRow


class Members:
    """Whose the rows of a request are.

    Args:
        request: the request.
        rows: the predictions that it carries, in the order of their rows; empty where it is one prediction.
    """

    def __init__(self, request: RequestRow, rows: Sequence[MemberRow]) -> None:
        self._request = request
        self.rows = rows
        self._starts = [each.first_row for each in rows]

    def place(self, row: int) -> tuple[str, int]:
        """The prediction that a row of the request belongs to, and the row within that.

        Raises:
            Malformed: it is nobody's.
        """
        if not self.rows:
            return self._request.prediction_id, row
        member = self.rows[bisect_right(self._starts, row) - 1]
        if row - member.first_row >= member.row_count:
            raise Malformed(f"Row {row} belongs to none of the predictions that {telemetry.PREDICTION_IDS} names.")
        return member.prediction_id, row - member.first_row


def read_members(request: RequestRow, values: Values) -> Members:
    """The predictions that a request carries.

    Raises:
        Malformed: ids and rows do not fit together.
    """
    ids = [each.string_value for each in read_elements(values, telemetry.PREDICTION_IDS)]
    counts = [each.int_value for each in read_elements(values, telemetry.PREDICTION_ROWS)] or [1] * len(ids)
    if not all(0 < len(each) <= ID_LENGTH_MAX for each in ids):
        raise Malformed(f"{telemetry.PREDICTION_IDS} holds what is no id.")
    if len(counts) != len(ids) or any(count < 1 for count in counts) or sum(counts) > COUNT_MAX:
        raise Malformed(f"{telemetry.PREDICTION_ROWS} does not say how many rows each prediction has.")
    if ids and request.row_count and sum(counts) != request.row_count:
        raise Malformed(f"The predictions have {sum(counts)} rows, the request {request.row_count}.")
    starts = accumulate(counts, initial=0)
    key = (request.start_ns, request.trace_id, request.span_id)
    return Members(request, [MemberRow(*key, *each) for each in zip(ids, starts, counts, strict=False)])
