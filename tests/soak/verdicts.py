"""The promises, and whether they held."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from soak.memory import BOUNDS, JUDGED_S_MIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soak.ledger import Ledger
    from soak.memory import Life, Pace
    from soak.outcomes import Outcomes
    from soak.stored import Stored


class Verdict(NamedTuple):
    """One promise.

    Attributes:
        promise: what should be so.
        held: whether it was.
        detail: by which figures.
    """

    promise: str
    held: bool
    detail: str


def of_requests(ledger: Ledger) -> list[Verdict]:
    """Every request was answered rightly, or failed for a reason, and once."""
    answers, failures = ledger.answers.total(), sum(ledger.failures.values())
    unresolved = ledger.unresolved
    left = ", ".join(f"{ask.id} of {ask.caller}" for ask in unresolved[:3])
    return [
        Verdict(
            "every answer was right for its stated version",
            not ledger.wrong,
            f"{answers:,} answers, {ledger.wrong:,} wrong",
        ),
        Verdict(
            "every failure is allowed for its cause",
            not ledger.forbidden,
            f"{failures:,} failures, {ledger.forbidden:,} without cause",
        ),
        Verdict("no request is unresolved", not unresolved, f"{len(unresolved)} unresolved {left}".strip()),
        Verdict("each was resolved once", not ledger.twice, f"{ledger.twice} resolved twice"),
    ]


def of_memory(lives: Sequence[Life], pace: Pace) -> list[Verdict]:
    """Memory is flat, kind by kind."""
    found = []
    for kind, bound in BOUNDS.items():
        judged = [life for life in lives if life.kind == kind and life.mib_per_minute is not None]
        steepest = max((life.mib_per_minute or 0.0 for life in judged), default=None)
        most = bound.at(pace)
        shown = f"too short to judge: less than {JUDGED_S_MIN:g} s after warm-up"
        if steepest is not None:
            shown = f"{steepest:+.2f} MiB a minute; {bound.reason}"
        promise = f"memory of the {kind} is flat, within {most:.2f} MiB a minute"
        found.append(Verdict(promise, steepest is None or steepest <= most, shown))
    return found


def of_monitor(stored: Stored, outcomes: Outcomes, dropped: int, sent: int) -> list[Verdict]:
    """The monitor knows every prediction that no fault took away, and every truth that it acknowledged."""
    lost = stored.missing - stored.unexplained
    failed = sum(count for (_, cause), count in outcomes.failures.items() if not cause)
    taken = f"{len(outcomes.acknowledged):,} acknowledged"
    return [
        Verdict(
            "the monitor holds every answered prediction, but for what was told as dropped or died with a worker",
            stored.unexplained <= dropped,
            f"{stored.predictions:,} held, {lost:,} died with workers, {dropped:,} told as dropped, "
            f"{max(0, stored.unexplained - dropped):,} unexplained; {sent:,} spans sent",
        ),
        Verdict("it holds none twice", not stored.repeated, f"{stored.repeated:,} twice"),
        Verdict(
            "it holds each under the version that its caller was told",
            not stored.contradicted,
            f"{stored.contradicted:,} under another",
        ),
        Verdict(
            "it holds every outcome that it acknowledged",
            not stored.outcomes_missing and not outcomes.waiting,
            f"{taken}, {stored.outcomes_missing:,} missing, {outcomes.waiting:,} never taken",
        ),
        Verdict("outcomes failed only while the monitor was away", not failed, f"{failed} failed otherwise"),
    ]


def of_disturbances(broken: Sequence[str]) -> Verdict:
    """What acts and faults wait for came: routes are followed, workers and spans return."""
    return Verdict("what had to follow each act and fault came", not broken, "; ".join(broken) or "all of it")


def of_the_end(flaws: Sequence[str]) -> Verdict:
    """Both programs end well when they are told to."""
    return Verdict("server and monitor end with status 0", not flaws, "; ".join(flaws) or "both did")
