"""Outcomes as messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from sardonyx.client.arguments import check_kind, whole
from sardonyx.client.calls import checked_text
from sardonyx.errors import InvalidInput, Violation
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome, ReportOutcomesRequest, ReportOutcomesResponse
from sardonyx.prediction_id import PredictionId

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Value = str | bool | int | float | np.generic

#: Outcomes in one call: about 100 kB.
BATCH: Final = 1000

_KEY: Final = "the request's id as text, or PredictionId(id, row)"
_REPORTS: Final = "OutcomeReports, or pairs of a prediction's id and what turned out to be true"


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """What is reported of one row.

    Attributes:
        prediction_id: the id of the request with its row, or the id alone for row 0.
        value: the class (text, integer or boolean, as the model's classes are), or the value (a float) for regression.
        observed_at: when the truth became known; None: when it arrives. Without a time zone it is UTC.
        source: who says so, such as a job's name.
        revision: raise it to correct an earlier report.
    """

    prediction_id: str | PredictionId
    value: Value
    observed_at: datetime | None = None
    source: str = ""
    revision: int = 0

    @classmethod
    def of(
        cls,
        prediction_id: str | PredictionId,
        row: int | None,
        value: Value,
        observed_at: datetime | None,
        source: str,
        revision: int,
    ) -> OutcomeReport:
        """A report of a row that is named apart from its request's id."""
        request = prediction_id.request if isinstance(prediction_id, PredictionId) else prediction_id
        key = prediction_id if row is None else PredictionId(request, row)
        return cls(key, value, observed_at, source, revision)

    def to_message(self, index: int) -> Outcome:
        """The report as it travels.

        Raises:
            InvalidInput: the value is of a type that no model predicts, or something else is not of its type.
        """
        field = f"outcomes[{index}]"
        request, row = self._key(field)
        outcome = Outcome(
            prediction_id=checked_text(f"{field}.prediction_id", request),
            row=whole(f"{field}.row", row, "the row, from 0"),
            source=checked_text(f"{field}.source", self.source),
            revision=whole(f"{field}.revision", self.revision, "a whole number"),
        )
        _set_value(outcome, self.value, field)
        if self.observed_at is not None:
            check_kind(f"{field}.observed_at", self.observed_at, datetime, "a datetime, or None")
            aware = self.observed_at if self.observed_at.tzinfo else self.observed_at.replace(tzinfo=UTC)
            try:
                outcome.observe_time.FromDatetime(aware)
            except (ValueError, OverflowError):
                # pandas' NaT, which is a datetime; and the first and last hours of the calendar, elsewhere.
                expected = f"{aware!r:.100} is no moment of the years 1 to 9999. Give one, or None."
                raise InvalidInput([Violation(f"{field}.observed_at", expected)]) from None
        return outcome

    def _key(self, field: str) -> PredictionId:
        if isinstance(self.prediction_id, str):
            return PredictionId(self.prediction_id)
        check_kind(f"{field}.prediction_id", self.prediction_id, PredictionId, _KEY)
        return self.prediction_id


def batches(reports: Iterable[OutcomeReport | tuple[str | PredictionId, Value]]) -> Iterator[ReportOutcomesRequest]:
    """Requests of up to BATCH outcomes.

    Raises:
        InvalidInput: one of them is no outcome.
    """
    check_kind("outcomes", reports, Iterable, _REPORTS)
    remaining = enumerate(reports)
    while batch := list(islice(remaining, BATCH)):
        yield ReportOutcomesRequest(outcomes=[_report(each, index).to_message(index) for index, each in batch])


def _report(given: OutcomeReport | tuple[str | PredictionId, Value], index: int) -> OutcomeReport:
    if isinstance(given, OutcomeReport):
        return given
    check_kind(f"outcomes[{index}]", given, tuple | list, _REPORTS)
    if len(given) != 2:
        raise InvalidInput([Violation(f"outcomes[{index}]", f"expected {_REPORTS}, got {given!r:.100}.")])
    return OutcomeReport(*given)


def check(response: ReportOutcomesResponse, sent: Sequence[Outcome]) -> int:
    """How many were taken.

    Raises:
        InvalidInput: some were not; the others are stored.
    """
    if response.rejections:
        raise InvalidInput(
            [
                Violation(f"outcomes[{each.index}] ({sent[each.index].prediction_id})", each.reason)
                for each in response.rejections
            ]
        )
    return response.accepted


def _set_value(outcome: Outcome, value: Value, field: str) -> None:
    try:
        if isinstance(value, bool | np.bool_):
            outcome.boolean_label = bool(value)
        elif isinstance(value, str):
            outcome.label = value
        elif isinstance(value, int | np.integer):
            outcome.integer_label = int(value)
        elif isinstance(value, float | np.floating):
            outcome.number = float(value)
        else:
            raise TypeError
    except (TypeError, ValueError):
        expected = f"{value!r:.100} is no outcome. Give the class (text, integer, boolean) or the value (float)."
        raise InvalidInput([Violation(field, expected)]) from None
