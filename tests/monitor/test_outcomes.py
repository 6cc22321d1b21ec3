"""Ground truth: each outcome is stored or rejected with a reason, and the right one of several wins."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.scene import fresh_id, prediction_of
from sardonyx import Outcomes, PredictionId
from sardonyx.client.outcomes import OutcomeReport
from sardonyx.errors import InvalidInput
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome
from sardonyx.prediction_id import ID_LENGTH_MAX
from sardonyx_monitor.receiver.outcomes import FUTURE_S_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from monitor.scene import Watch

#: The monitor is one for the whole session, as it would be in practice.
shared = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
NOW = datetime.now(UTC)


@pytest.fixture
def outcomes(watch: Watch) -> Iterator[Outcomes]:
    """Reports to the monitor, as a job does."""
    with Outcomes(watch.otlp) as outcomes:
        yield outcomes


def _predicted(watch: Watch, *labels: str | bool | int) -> tuple[Span, str]:
    """A prediction that the monitor has, and its id."""
    prediction_id = fresh_id()
    span = prediction_of(prediction_id, labels)
    watch.export(span)
    return span, prediction_id


def _truths(watch: Watch, span: Span) -> list[tuple[str | None, bool | None]]:
    """What the trace's page says came true, row by row, and whether the answer was right."""
    return [(each["truth"], each["right"]) for each in watch.trace(span.trace_id)["predictions"]]


def _at(seconds: int) -> Timestamp:
    return Timestamp(seconds=seconds)


def test_outcome_reaches_its_row(watch: Watch, outcomes: Outcomes) -> None:
    """An outcome is shown at the row of the prediction that it names, with its time and its source."""
    span, prediction_id = _predicted(watch, "late", "punctual", "late")
    outcomes.report(PredictionId(prediction_id, 1), "late", observed_at=NOW, source="landing")
    outcomes.report(prediction_id, "late", row=2)
    rows = watch.trace(span.trace_id)["predictions"]
    assert [(each["truth"], each["right"]) for each in rows] == [(None, None), ("late", False), ("late", True)]
    assert rows[1]["source"] == "landing"
    assert datetime.fromisoformat(rows[1]["observed"]) == NOW


def test_outcome_without_time_takes_its_arrival(watch: Watch, outcomes: Outcomes) -> None:
    """An outcome that does not say when it was observed counts as observed when it arrived."""
    span, prediction_id = _predicted(watch, "late")
    before = datetime.now(UTC)
    outcomes.report(prediction_id, "late")
    (row,) = watch.trace(span.trace_id)["predictions"]
    assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(row["observed"]) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda each: each.ClearField("prediction_id"), "prediction_id must have 1 to"),
        (lambda each: setattr(each, "prediction_id", "x" * (ID_LENGTH_MAX + 1)), "prediction_id must have 1 to"),
        (lambda each: setattr(each, "row", -1), "row is -1"),
        (lambda each: each.ClearField("label"), "there is no value"),
        (lambda each: setattr(each, "number", math.nan), "number is nan"),
        (lambda each: setattr(each, "number", -math.inf), "number is -inf"),
        (lambda each: setattr(each, "revision", -1), "revision is -1"),
        (lambda each: each.observe_time.CopyFrom(_at(-1)), "out of range"),
        (lambda each: each.observe_time.CopyFrom(_at(1 << 62)), "out of range"),
        (lambda each: each.observe_time.CopyFrom(Timestamp(seconds=1, nanos=-1)), "out of range"),
        (lambda each: each.observe_time.CopyFrom(Timestamp(seconds=1, nanos=10**9)), "out of range"),
        (lambda each: each.observe_time.CopyFrom(_at(int(time.time()) + FUTURE_S_MAX + 60)), "in the future"),
    ],
)
def test_rejection(watch: Watch, change: Callable[[Outcome], Any], reason: str) -> None:
    """What cannot be stored is rejected at its position with a reason, counted, and the others are stored."""
    span, prediction_id = _predicted(watch, "late")
    before = watch.health()["since_start"]
    bad = Outcome(prediction_id=fresh_id(), label="late")
    change(bad)
    answer = watch.report(
        Outcome(prediction_id=fresh_id(), label="x"), bad, Outcome(prediction_id=prediction_id, label="late")
    )
    assert answer.accepted == 2
    assert [each.index for each in answer.rejections] == [1]
    assert reason in answer.rejections[0].reason
    assert answer.rejections[0].reason.endswith(".")
    assert _truths(watch, span) == [("late", True)]
    after = watch.health()["since_start"]
    assert after["outcomes_rejected"] == before["outcomes_rejected"] + 1
    assert after["outcomes_stored"] == before["outcomes_stored"] + 2


def test_client_names_what_was_rejected(watch: Watch, outcomes: Outcomes) -> None:
    """The client raises with the rejected outcome's position and id; what came with it is stored."""
    span, prediction_id = _predicted(watch, "late")
    with pytest.raises(InvalidInput) as refused:
        outcomes.report_many([OutcomeReport(prediction_id, "late"), OutcomeReport("flawed", "late", revision=-1)])
    (violation,) = refused.value.violations
    assert "outcomes[1] (flawed)" in str(violation)
    assert "revision is -1" in str(violation)
    assert _truths(watch, span) == [("late", True)]


def test_empty_report(watch: Watch) -> None:
    """A report without outcomes is answered with zero."""
    answer = watch.report()
    assert (answer.accepted, list(answer.rejections)) == (0, [])


def test_many_outcomes(watch: Watch, outcomes: Outcomes) -> None:
    """More outcomes than one call holds are all taken."""
    before = watch.health()["stored"]["outcomes"]
    name = fresh_id()
    assert outcomes.report_many((PredictionId(name, row), "late") for row in range(2500)) == 2500
    assert watch.health()["stored"]["outcomes"] == before + 2500


def test_repeat_changes_nothing(watch: Watch) -> None:
    """A report that comes again is accepted again and stored once, in one call and in several."""
    reported = Outcome(prediction_id=fresh_id(), row=1, number=2.5, observe_time=_at(1_000), source="job", revision=1)
    before = watch.health()["stored"]["outcomes"]
    for times in (1, 3, 1):
        assert watch.report(*[reported] * times).accepted == times
    assert watch.health()["stored"]["outcomes"] == before + 1


def test_repeat_does_not_overtake(watch: Watch) -> None:
    """An old report that comes again after a correction does not win over it."""
    span, prediction_id = _predicted(watch, "late")
    first = Outcome(prediction_id=prediction_id, label="late", observe_time=_at(1_000))
    second = Outcome(prediction_id=prediction_id, label="punctual", observe_time=_at(1_000))
    for outcome in (first, second, first):
        watch.report(outcome)
    assert _truths(watch, span) == [("punctual", False)]


reports = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 2), st.sampled_from(["late", "punctual", "cancelled"])),
    min_size=1,
    max_size=6,
)


@shared
@given(reports=reports, together=st.booleans())
def test_last_revision_wins(watch: Watch, reports: list[tuple[int, int, str]], together: bool) -> None:
    """The highest revision wins, then the latest observation, then the last that arrived first."""
    span, prediction_id = _predicted(watch, "late")
    told = [
        Outcome(prediction_id=prediction_id, label=label, revision=revision, observe_time=_at(1_000 + observed))
        for revision, observed, label in reports
    ]
    for call in [told] if together else [[each] for each in told]:
        assert watch.report(*call).accepted == len(call)
    # A report that comes again changes nothing: its first arrival counts.
    arrivals = list(dict.fromkeys(reports))
    *_, label = max(
        (revision, observed, arrival, label) for arrival, (revision, observed, label) in enumerate(arrivals)
    )
    assert _truths(watch, span) == [(label, label == "late")]


@pytest.mark.parametrize(
    ("answer", "told", "right"),
    [
        ("late", Outcome(label="late"), True),
        ("late", Outcome(label="punctual"), False),
        (True, Outcome(boolean_label=True), True),
        (True, Outcome(boolean_label=False), False),
        (True, Outcome(integer_label=1), True),
        (True, Outcome(number=1.0), True),
        (False, Outcome(integer_label=0), True),
        (True, Outcome(integer_label=2), False),
        (True, Outcome(label="True"), True),
        (1, Outcome(boolean_label=True), True),
        (3, Outcome(integer_label=3), True),
        (3, Outcome(number=3.0), True),
        (3, Outcome(number=3.5), False),
        (3, Outcome(label="3"), True),
        (-(2**63), Outcome(integer_label=-(2**63)), True),
        (2**53 + 1, Outcome(integer_label=2**53 + 1), True),
        (2**53 + 1, Outcome(integer_label=2**53), False),
    ],
)
def test_truth_in_another_type(watch: Watch, answer: str | bool | int, told: Outcome, right: bool) -> None:
    """A truth in another type than the classes' counts where it means a class, and nowhere else."""
    span, prediction_id = _predicted(watch, answer)
    told.prediction_id = prediction_id
    assert watch.report(told).accepted == 1
    ((_, found),) = _truths(watch, span)
    assert bool(found) is right


def test_orphan_is_kept_until_its_prediction_comes(watch: Watch, outcomes: Outcomes) -> None:
    """An outcome that comes first is counted as an orphan, and belongs to its prediction once that arrives."""
    prediction_id = fresh_id()
    before = watch.health()["orphan_outcomes"]
    outcomes.report(prediction_id, "late")
    assert watch.health()["orphan_outcomes"] == before + 1
    span = prediction_of(prediction_id, ["late"])
    watch.export(span)
    assert watch.health()["orphan_outcomes"] == before
    assert _truths(watch, span) == [("late", True)]


def test_orphan_of_a_row_that_was_not_answered(watch: Watch, outcomes: Outcomes) -> None:
    """An outcome of a row that its prediction does not have is an orphan too."""
    span, prediction_id = _predicted(watch, "late")
    before = watch.health()["orphan_outcomes"]
    outcomes.report(prediction_id, "late", row=5)
    assert watch.health()["orphan_outcomes"] == before + 1
    assert _truths(watch, span) == [(None, None)]


values = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(lambda text: Outcome(label=text)),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: Outcome(integer_label=number)),
    st.booleans().map(lambda flag: Outcome(boolean_label=flag)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Outcome(number=number)),
)


@shared
@given(
    value=values,
    prediction_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=ID_LENGTH_MAX),
    row=st.integers(0, 2**31 - 1),
    revision=st.integers(0, 2**63 - 1),
    source=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    observed=st.one_of(st.none(), st.integers(0, 1_600_000_000)),
)
def test_any_valid_outcome_is_accepted(
    watch: Watch, value: Outcome, prediction_id: str, row: int, revision: int, source: str, observed: int | None
) -> None:
    """Whatever has an id, a value and sane numbers is stored, alone and among others."""
    outcome = Outcome(prediction_id=prediction_id, row=row, revision=revision, source=source)
    outcome.MergeFrom(value)
    if observed is not None:
        outcome.observe_time.CopyFrom(_at(observed))
    answer = watch.report(outcome, Outcome(prediction_id=fresh_id(), label="beside it"))
    assert (answer.accepted, list(answer.rejections)) == (2, [])


def test_unknown_method(watch: Watch) -> None:
    """A method that the door does not have is UNIMPLEMENTED."""
    with pytest.raises(grpc.RpcError) as refused:
        watch.raw("/sardonyx.monitor.v1.OutcomeService/Forget", b"")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
