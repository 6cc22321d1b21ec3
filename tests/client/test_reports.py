"""What is no outcome is refused by both clients before it is sent."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pandas as pd
import pytest

from sardonyx import AsyncOutcomes, Outcomes, PredictionId
from sardonyx.client import OutcomeReport
from sardonyx.errors import InvalidInput
from server.sink import free_port


def _block(reports: Any) -> int:
    with Outcomes(f"127.0.0.1:{free_port()}") as outcomes:
        return outcomes.report_many(reports)


def _run(reports: Any) -> int:
    async def report() -> int:
        async with AsyncOutcomes(f"127.0.0.1:{free_port()}") as outcomes:
            return await outcomes.report_many(reports)

    return asyncio.run(report())


both = pytest.mark.parametrize("report", [_block, _run])
NOW = datetime.now(UTC)
GOOD = ("order-1", "late")


@both
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ((7, "late"), "prediction_id"),
        ((("order-1", 0), "late"), "prediction_id"),
        (("\ud800", "late"), "prediction_id"),
        ((PredictionId("order-1", 1 << 40), "late"), "row"),
        ((PredictionId("order-1", 1.5), "late"), "row"),  # type: ignore[arg-type]
        (("order-1", None), "is no outcome"),
        (("order-1", 1 << 64), "is no outcome"),
        (("order-1", "\ud800"), "is no outcome"),
        (OutcomeReport("order-1", "late", "today"), "observed_at"),  # type: ignore[arg-type]
        (OutcomeReport("order-1", "late", date(2026, 1, 1)), "observed_at"),  # type: ignore[arg-type]
        (OutcomeReport("order-1", "late", pd.NaT), "observed_at"),  # type: ignore[arg-type]
        (OutcomeReport("order-1", "late", datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))), "observed_at"),
        (OutcomeReport("order-1", "late", NOW, None), "source"),  # type: ignore[arg-type]
        (OutcomeReport("order-1", "late", NOW, "", "1"), "revision"),  # type: ignore[arg-type]
        (("order-1",), "expected OutcomeReports, or pairs"),
        ("no", "expected OutcomeReports, or pairs"),
        (7, "expected OutcomeReports, or pairs"),
        ({"order-1": "late"}, "expected OutcomeReports, or pairs"),
    ],
)
def test_what_is_no_outcome_is_refused(report: Any, wrong: Any, name: str) -> None:
    """The outcome is told by its number, and what is wrong with it by its name."""
    with pytest.raises(InvalidInput, match=rf"^outcomes\[1\].*{name}"):
        report([GOOD, wrong])


@both
@pytest.mark.parametrize("wrong", [7, None])
def test_what_are_no_outcomes_is_refused(report: Any, wrong: Any) -> None:
    """Whatever is given in place of several."""
    with pytest.raises(InvalidInput, match=r"^outcomes: expected OutcomeReports, or pairs"):
        report(wrong)
