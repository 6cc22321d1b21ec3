"""Which predictions get a span, and that figures from those that do are right."""

from __future__ import annotations

import numpy as np
import pytest

from sardonyx import telemetry
from sardonyx.oip.coalesced import Coalesced
from sardonyx_server.telemetry.record import Record, TraceParent
from sardonyx_server.telemetry.sampling import LINKS_MAX, Sampler

SLOW_S = 0.1


def record_of(code: str = "OK", duration_s: float = 0.001, flags: int | None = None, number: int = 1) -> Record:
    """A record; with a caller's span where there are flags."""
    parent = None if flags is None else TraceParent(number.to_bytes(16, "big"), bytes(7) + b"\x01", flags, "")
    return Record(telemetry.SPAN_MODEL_INFER, code=code, duration_ns=int(duration_s * 1e9), parent=parent)


def test_every_prediction_is_kept_by_default() -> None:
    """At ratio 1 each record has a span of weight 1, whatever its caller's flag says, and no tracestate of ours."""
    records = [record_of(), record_of("INTERNAL"), record_of(flags=1), record_of(flags=0)]
    kept = Sampler(1.0, SLOW_S).keep(records)
    assert [each.record for each in kept] == records
    assert {(each.weight, each.state) for each in kept} == {(1.0, "")}


def test_a_sampled_caller_has_a_child_and_an_unsampled_one_a_link() -> None:
    """A caller whose span is kept gets a child; one whose is not, a root of another trace that links to it."""
    sampled, unsampled = Sampler(1.0, SLOW_S).keep([record_of(flags=1), record_of(flags=0)])
    assert sampled.parent is sampled.record.parent
    assert sampled.parent is not None
    assert sampled.trace_id == sampled.parent.trace_id
    assert not sampled.links
    assert unsampled.parent is None
    assert list(unsampled.links) == [unsampled.record.parent]
    assert unsampled.trace_id != (1).to_bytes(16, "big")


@pytest.mark.parametrize(
    "record", [record_of("INVALID_ARGUMENT"), record_of("CANCELLED"), record_of(duration_s=SLOW_S), record_of(flags=1)]
)
def test_failed_slow_and_sampled_ones_are_always_kept(record: Record) -> None:
    """At a ratio of almost nothing these are kept all the same, and stand for themselves alone."""
    kept = Sampler(1e-12, SLOW_S).keep([record] * 50)
    assert [each.weight for each in kept] == [1.0] * 50


def test_one_sampled_caller_of_a_shared_request_is_enough() -> None:
    """A request of several callers is kept where one of their traces is sampled; its links are bounded."""
    texts = [f"00-{number:032x}-{number:016x}-{number == 3:02x}" for number in range(1, 200)]
    record = Record(telemetry.SPAN_MODEL_INFER, code="OK", members=Coalesced(["id"] * 199, None, texts))
    (kept,) = Sampler(1e-12, SLOW_S).keep([record])
    assert (len(kept.links), kept.weight) == (LINKS_MAX, 1.0)


@pytest.mark.parametrize("others", ["", f"00-{7:032x}-{7:016x}-00"])
def test_a_sampled_caller_is_found_wherever_it_stands(others: str) -> None:
    """Behind more callers than a span has links it is found all the same, and linked; the request's own is one more."""
    texts = [others] * 2 * LINKS_MAX + [f"00-{9:032x}-{9:016x}-01"]
    record = record_of(flags=0)
    record.members = Coalesced(["id"] * len(texts), None, texts)
    (kept,) = Sampler(1e-12, SLOW_S).keep([record])
    assert kept.weight == 1.0
    assert (9).to_bytes(16, "big") in {link.trace_id for link in kept.links}
    assert len(kept.links) == (LINKS_MAX if others else 2)


def test_the_rest_is_kept_by_the_randomness_of_its_trace_id() -> None:
    """What is kept says so as OpenTelemetry does: the last 56 bits of its trace id reach the threshold it names."""
    kept = Sampler(0.25, SLOW_S).keep([record_of()] * 2000)
    assert {(each.weight, each.state) for each in kept} == {(4.0, "ot=th:c")}
    assert min(int.from_bytes(each.trace_id[9:], "big") for each in kept) >= 0xC << 52
    # 2,000 coins of 1/4 leave 500 ± 19.
    assert 400 < len(kept) < 600


def test_weights_make_figures_right() -> None:
    """By weight, counts of all, of errors, of slow ones and of right answers meet the truth, whoever else samples.

    Callers do so by the very id of their trace, or for a reason that has to do with the answer, or not at all.
    """
    random = np.random.default_rng(11)
    size = 4000
    # Callers of three kinds. The second samples by its trace id, the third for a reason of its own: hard questions.
    kinds = random.integers(0, 3, size)
    randomness = random.random(size)
    right = random.random(size) < 0.9
    durations_s = random.exponential(0.03, size)
    failed = random.random(size) < 0.03
    records = []
    for index in range(size):
        flag = [None, int(randomness[index] > 0.5), int(not right[index])][kinds[index]]
        number = int(randomness[index] * 2**56) or 1
        code = "UNAVAILABLE" if failed[index] else "OK"
        records.append(record_of(code, durations_s[index], flag, number))
    truths = {
        "all": np.ones(size),
        "errors": failed,
        "right": right & ~failed,
        "above 20 ms": durations_s >= 0.02,
        "above 150 ms": durations_s >= 0.15,
    }
    place = {id(record): index for index, record in enumerate(records)}
    sampler = Sampler(0.1, SLOW_S)
    estimates: dict[str, list[float]] = {name: [] for name in truths}
    for _ in range(40):
        kept = sampler.keep(records)
        assert len(kept) < size * 0.7
        weights, where = np.array([each.weight for each in kept]), [place[id(each.record)] for each in kept]
        for name, truth in truths.items():
            estimates[name].append(float((weights * truth[where]).sum()))
    for name, truth in truths.items():
        error = np.std(estimates[name]) / np.sqrt(40) + 1e-9
        # Coins are not seeded here: seven standard errors fail once in 10^11 runs.
        assert abs(np.mean(estimates[name]) - truth.sum()) < 7 * error + 1e-6, name
