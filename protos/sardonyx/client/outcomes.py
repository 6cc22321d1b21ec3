"""Outcomes as messages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from sardonyx.errors import InvalidInput, Violation
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome, ReportOutcomesRequest, ReportOutcomesResponse
from sardonyx.prediction_id import PredictionId

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Value = str | bool | int | float | np.generic

#: Outcomes in one call: about 100 kB.
BATCH: Final = 1000


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
        key = prediction_id if row is None else PredictionId(_request_of(prediction_id), row)
        return cls(key, value, observed_at, source, revision)

    def to_message(self, index: int) -> Outcome:
        """The report as it travels.

        Raises:
            InvalidInput: the value is of a type that no model predicts.
        """
        row = 0 if isinstance(self.prediction_id, str) else self.prediction_id.row
        outcome = Outcome(
            prediction_id=_request_of(self.prediction_id), row=row, source=self.source, revision=self.revision
        )
        _set_value(outcome, self.value, index)
        if self.observed_at is not None:
            aware = self.observed_at if self.observed_at.tzinfo else self.observed_at.replace(tzinfo=UTC)
            outcome.observe_time.FromDatetime(aware)
        return outcome


def _request_of(prediction_id: str | PredictionId) -> str:
    return prediction_id if isinstance(prediction_id, str) else prediction_id.request


def batches(reports: Iterable[OutcomeReport | tuple[str | PredictionId, Value]]) -> Iterator[ReportOutcomesRequest]:
    """Requests of up to BATCH outcomes."""
    remaining = enumerate(reports)
    while batch := list(islice(remaining, BATCH)):
        messages = [
            (each if isinstance(each, OutcomeReport) else OutcomeReport(*each)).to_message(index)
            for index, each in batch
        ]
        yield ReportOutcomesRequest(outcomes=messages)


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


def _set_value(outcome: Outcome, value: Value, index: int) -> None:
    if isinstance(value, bool | np.bool_):
        outcome.boolean_label = bool(value)
    elif isinstance(value, str):
        outcome.label = value
    elif isinstance(value, int | np.integer):
        outcome.integer_label = int(value)
    elif isinstance(value, float | np.floating):
        outcome.number = float(value)
    else:
        expected = f"{value!r} is no outcome. Give the class (text, integer, boolean) or the value (float)."
        raise InvalidInput([Violation(f"outcomes[{index}]", expected)])
