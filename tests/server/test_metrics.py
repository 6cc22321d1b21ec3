"""Metrics of all workers together, as Prometheus reads them; and that their parts make the whole."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING, Any, Final

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from sardonyx.registry import Registry
from sardonyx_exporter import promote, shadow
from sardonyx_server import pipe
from sardonyx_server.batcher import RowQueue
from sardonyx_server.config import default_workers
from sardonyx_server.life.manager import Manager
from sardonyx_server.life.session import Runtime
from sardonyx_server.life.watcher import Watcher
from sardonyx_server.shadow import Shadow
from sardonyx_server.telemetry.metrics import exposition, names
from sardonyx_server.telemetry.metrics import reporter as reporter_module
from sardonyx_server.telemetry.metrics.counting import Metrics
from sardonyx_server.telemetry.metrics.names import METRICS, Kind
from sardonyx_server.telemetry.metrics.totals import KEPT_S, Totals
from sardonyx_server.telemetry.metrics.values import Values
from sardonyx_server.telemetry.record import Batch, Outputs, Record
from sardonyx_server.telemetry.usual import TABLE_ROWS, Tables
from server.loaded import load_served
from server.scene import (
    ALONE,
    LONG,
    LOOKUP,
    PATIENCE_S,
    REGRESSOR,
    SLOW,
    Scene,
    answers,
    array_of,
    export_regressor,
    failure_of,
    get_server,
    infer,
    infer_later,
    is_ready,
    number_request,
    regressor_request,
    wait_until,
)
from server.sink import free_port
from server.test_no_threads import no_threads
from server.test_silent_registry import never, until
from support.programs import running_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sardonyx_server.served import Served
    from sardonyx_server.telemetry.metrics.names import Metric

#: By the name of a sample and its labels.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(port: int) -> Samples:
    """What Prometheus would read, by its own parser."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    """The sum of the samples of a name that have these labels."""
    return sum(value for (found, those), value in samples.items() if found == name and labels.items() <= those)


# Over sockets


def test_all_workers_are_counted_together_and_no_count_goes_back(scene: Scene) -> None:
    """Requests over many connections are counted as they ended, also when one of the workers is killed."""
    port = free_port()
    flags = ("--workers", "2", "--drain-grace-s", "0", "--metrics-port", str(port))
    options = [("grpc.use_local_subchannel_pool", 1)]
    row = regressor_request(array_of(1, rows=2))
    met: set[int] = set()
    asked = 0
    with running_server(scene.registry, *flags) as address:

        def ask(times: int) -> None:
            nonlocal asked
            with grpc.insecure_channel(address, options=options) as channel:
                wait_until(lambda: is_ready(channel), "the worker is ready")
                met.add(get_server(channel).process_id)
                for _ in range(times):
                    infer(channel, row)
            asked += times

        def is_ready(channel: grpc.Channel) -> bool:
            nonlocal asked
            answered = answers(channel, row)
            asked += answered
            return answered

        def counted() -> float:
            return total(scrape(port), "sardonyx_requests_total", model=REGRESSOR, code="OK", route="live", version="1")

        while len(met) < 2:
            ask(3)
        wait_until(lambda: counted() == asked, "every request is counted")
        samples = scrape(port)
        assert total(samples, "sardonyx_rows_total", model=REGRESSOR) == 2 * asked
        assert total(samples, "sardonyx_workers") == 2
        assert total(samples, "sardonyx_worker_restarts_total") == 0
        before = {key: value for key, value in samples.items() if METRICS_BY_SAMPLE[key[0]].kind is not Kind.GAUGE}

        os.kill(min(met), signal.SIGKILL)
        wait_until(lambda: total(scrape(port), "sardonyx_worker_restarts_total") == 1, "the worker is started again")
        wait_until(lambda: total(scrape(port), "sardonyx_workers") == 2, "it is there")
        after = scrape(port)
        assert {key for key, value in before.items() if after.get(key, -1) < value} == set()
        assert counted() == asked
        met.clear()
        while len(met) < 2:
            ask(3)
        wait_until(lambda: counted() == asked, "what the new worker answered is added")


def test_what_ended_a_call_is_told_apart(scene: Scene) -> None:
    """A call whose time is up counts as DEADLINE_EXCEEDED, and one whose caller left as CANCELLED."""
    port = free_port()
    long = number_request(SLOW, LONG)

    def counted(code: str) -> float:
        return total(scrape(port), "sardonyx_requests_total", model=SLOW, code=code)

    with (
        running_server(scene.registry, *ALONE, "--metrics-port", str(port)) as address,
        grpc.insecure_channel(address) as channel,
    ):
        wait_until(lambda: answers(channel, number_request(SLOW, 10)), "the model answers")
        # Time to arrive, on a busy machine too: a call that gRPC ends before it has its message is not counted.
        assert failure_of(lambda: infer(channel, long, timeout_s=0.5)).code is grpc.StatusCode.DEADLINE_EXCEEDED
        wait_until(lambda: counted("DEADLINE_EXCEEDED") == 1, "the late call is counted")
        # Its run goes on without it, and is in the queue for as long.
        wait_until(lambda: total(scrape(port), "sardonyx_queue_rows") == 0, "its run is over")
        call = infer_later(channel, number_request(SLOW, 10 * LONG))
        wait_until(lambda: total(scrape(port), "sardonyx_queue_rows") > 0, "the next call is under way")
        call.cancel()
        wait_until(lambda: counted("CANCELLED") == 1, "the cancelled call is counted")
        assert counted("DEADLINE_EXCEEDED") == 1


def _samples_of(metric: Metric) -> list[str]:
    if metric.kind is Kind.HISTOGRAM:
        return [f"{metric.name}_{part}" for part in ("bucket", "count", "sum")]
    return [metric.exposed]


METRICS_BY_SAMPLE: Final = {sample: metric for metric in METRICS.values() for sample in _samples_of(metric)}


def test_a_worker_tells_what_it_does(scene: Scene) -> None:
    """Codes, stages, batches, the queue, loads and lost spans, from one run; no caller's text is a label."""
    port = free_port()
    nobody = f"127.0.0.1:{free_port()}"
    flags = ("--metrics-port", str(port), "--otlp-endpoint", nobody)
    with running_server(scene.registry, *ALONE, *flags) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: is_ready(channel), "the models answer")
        infer(channel, number_request(SLOW, 1))
        for _ in range(3):
            failure_of(lambda: infer(channel, number_request("secret-of-a-caller", 1)))
        failure_of(lambda: infer(channel, number_request(LOOKUP, 7)))
        failure_of(lambda: infer(channel, regressor_request(array_of(1, rows=1), model=LOOKUP)))
        infer(channel, number_request(LOOKUP, 1))
        # So many runs of one version may take place at once; several reports are to see them.
        busy = [infer_later(channel, number_request(SLOW, 2 * LONG)) for _ in range(default_workers())]
        wait_until(lambda: total(scrape(port), "sardonyx_queue_rows") == len(busy), "all runs are taken")
        company = [infer_later(channel, number_request(SLOW, 1)) for _ in range(5)]
        wait_until(lambda: total(scrape(port), "sardonyx_queue_rows") == len(busy) + 5, "five more wait")
        for call in (*busy, *company):
            call.result(timeout=PATIENCE_S)
        wait_until(lambda: total(scrape(port), "sardonyx_queue_rows") == 0, "nothing waits")
        wait_until(lambda: total(scrape(port), "sardonyx_run_rows_sum", model=SLOW) >= len(busy) + 6, "all is counted")
        samples = scrape(port)

    requests = "sardonyx_requests_total"
    assert total(samples, requests, model="", version="", route="", code="NOT_FOUND") == 3
    assert total(samples, requests, model=LOOKUP, version="1", code="INTERNAL") == 1
    assert total(samples, requests, model=LOOKUP, version="1", code="INVALID_ARGUMENT") == 1
    assert all("secret" not in value for _, labels in samples for _, value in labels)
    for stage in ("decode", "queue", "run", "encode"):
        answered = total(samples, requests, model=SLOW, version="1", code="OK")
        assert total(samples, "sardonyx_stage_duration_seconds_count", model=SLOW, stage=stage) == answered
    # The five shared one run.
    assert total(samples, "sardonyx_run_rows_bucket", model=SLOW, le="4") < total(
        samples, "sardonyx_run_rows_bucket", model=SLOW, le="8"
    )
    assert total(samples, "sardonyx_version_loads_total", result="ready") == 4
    assert total(samples, "sardonyx_version_state", state="ready") == 4
    assert total(samples, "sardonyx_spans_sent_total") == 0
    assert total(samples, "sardonyx_spans_buffered") > 0
    assert total(samples, "sardonyx_worker_resident_memory_bytes") > 10_000_000
    assert total(samples, "sardonyx_registry_unreadable") == 0
    assert {name for name, _ in samples} <= METRICS_BY_SAMPLE.keys()


def test_a_shadow_is_counted(tmp_path: Path) -> None:
    """What became of the calls that a shadow was shown, and its own runs, apart from those of callers."""
    registry, port = tmp_path / "registry", free_port()
    for seed in (1, 2):
        export_regressor(registry, "seen", seed=seed)
    promote("seen", 1, registry=str(registry))
    shadow("seen", 2, percent=100, registry=str(registry))
    request = regressor_request(array_of(1, rows=3), model="seen")
    flags = (*ALONE, "--poll-interval-s", "0.05", "--metrics-port", str(port))
    with running_server(registry, *flags) as address, grpc.insecure_channel(address) as channel:
        wait_until(lambda: answers(channel, request) and bool(get_server(channel).shadows), "the shadow sees calls")
        for _ in range(10):
            infer(channel, request)

        def is_done() -> bool:
            samples, seen = scrape(port), get_server(channel).shadows[0]
            offered = total(samples, "sardonyx_shadow_offered_total", model="seen", version="2")
            return 10 < offered == seen.offered == total(samples, "sardonyx_shadow_calls_total", result="ran")

        wait_until(is_done, "all are counted")
        calls = get_server(channel).shadows[0].ran
        wait_until(lambda: total(scrape(port), "sardonyx_requests_total", route="shadow") == calls, "its runs too")
        samples = scrape(port)
        assert total(samples, "sardonyx_shadow_rows_total") == 3 * calls
        # Version 1 is wrong by 1 on its hold-out, and version 2 answers 1 more: alike or not by a hair, but told.
        assert total(samples, "sardonyx_shadow_rows_alike_total") == get_server(channel).shadows[0].rows_alike
        assert total(samples, "sardonyx_rows_total", version="2", route="shadow") == 3 * calls
        assert total(samples, "sardonyx_rows_total", version="2", route="live") == 0


def test_buckets_resolve_what_they_must() -> None:
    """From 50 µs to 10 s no bucket is wider than two and a half times its lower bound."""
    for metric in (names.DURATION, names.STAGE_DURATION):
        within = [bound for bound in metric.bounds if 49e-6 < bound < 10.1]
        assert within[0] == pytest.approx(50e-6)
        assert within[-1] == pytest.approx(10)
        assert all(after / before < 2.51 for before, after in itertools.pairwise(within))


# By themselves


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A version."""
    registry = tmp_path_factory.mktemp("metrics") / "registry"
    export_regressor(registry, "counted", seed=1)
    return load_served(registry, "counted", 1)


TIMES: Final = st.tuples(*[st.integers(0, 10**11)] * 4)
RUNS: Final = st.none() | st.sampled_from("abc")
CALLS: Final = st.lists(
    st.tuples(st.sampled_from(["live", "canary"]), st.sampled_from(["OK", "INTERNAL"]), st.integers(1, 9), TIMES, RUNS)
)
LABELS: Final = st.text(max_size=3)


@settings(deadline=None)
@given(calls=CALLS, unknown=st.lists(st.text(max_size=5)), cut=st.integers(1, 7))
def test_every_record_is_counted_once(served: Served, calls: list[Any], unknown: list[str], cut: int) -> None:
    """However records are cut into slices, counts, rows, times and runs are those of all of them."""
    batches: dict[str | None, Batch | None] = {None: None, **{run: Batch(run, 7, ()) for run in "abc"}}
    records = [
        Record("any", "counted", served, route, code, "", rows, 0, sum(times), times, batch=batches[run])
        for route, code, rows, times, run in calls
    ]
    records += [Record("any", name, code="NOT_FOUND") for name in unknown]
    metrics = Metrics({"counted"})
    for start in range(0, len(records), cut):
        metrics.take(records[start : start + cut], missed=1)
    values = metrics.take_counted()

    numbers = values.numbers.get(names.REQUESTS.name, {})
    assert sum(numbers.values()) == len(records)
    assert {labels[0] for labels in numbers} <= {"counted", ""}
    assert sum(values.numbers.get(names.RECORDS_DROPPED.name, {}).values()) == -(-len(records) // cut)
    answered = [record for record in records if record.code == "OK"]
    assert sum(values.numbers.get(names.ROWS.name, {}).values()) == sum(record.rows for record in answered)
    times = values.distributions.get(names.DURATION.name, {})
    assert sum(sum(each.counts) for each in times.values()) == len(calls)
    assert sum(each.total for each in times.values()) == pytest.approx(
        sum(record.duration_ns for record in records) / 1e9
    )
    runs = values.distributions.get(names.RUN_ROWS.name, {})
    shared = {record.batch.id for record in answered if record.batch}
    assert sum(sum(each.counts) for each in runs.values()) == len(shared) + sum(not each.batch for each in answered)


def test_a_shared_run_is_counted_once_however_late_its_other_requests_come(served: Served) -> None:
    """Requests of two callers are told apart, table by table: hundreds of other runs lie between those of one run."""
    tables, metrics, outputs = Tables(), Metrics({"counted"}), Outputs(1, None, None, np.zeros(1))
    for number in range(TABLE_ROWS):
        run = Batch.of(2, ["one", "two"])
        for caller in ("one", "two"):
            record = Record("any", "counted", served, "live", "OK", caller, 1, outputs=outputs, batch=run)
            record.caller = caller
            assert tables.add(record), number
    for usual in tables.take():
        metrics.take_usual(usual)
    (runs,) = metrics.take_counted().distributions[names.RUN_ROWS.name].values()
    assert (sum(runs.counts), runs.total) == (TABLE_ROWS, 2 * TABLE_ROWS)


@given(seconds=st.floats(0, 100))
def test_a_time_is_in_the_bucket_below_whose_bound_it_is(seconds: float) -> None:
    """A bound belongs to the bucket that it ends, as Prometheus has it."""
    metrics = Metrics(())
    metrics._observe(names.DURATION, ("", "", ""), np.array([seconds]))
    (counts,) = [each.counts for each in metrics.take_counted().distributions[names.DURATION.name].values()]
    bounds = [*names.DURATION.bounds, float("inf")]
    assert counts.index(1) == next(index for index, bound in enumerate(bounds) if seconds <= bound)


def values_strategy() -> st.SearchStrategy[Values]:
    """Any values that a worker may have; whole numbers, whose sums are exact."""

    def build(draws: list[tuple[Metric, list[str], int]]) -> Values:
        values = Values()
        for metric, labels, number in draws:
            about = tuple((labels * 5)[: len(metric.told)])
            if metric.kind is Kind.HISTOGRAM:
                distribution = values.distribution(metric, about)
                distribution.counts[number % len(distribution.counts)] += 1
                distribution.total += number
            else:
                values.add(metric, about, number)
        return values

    told = [metric for metric in METRICS.values() if metric not in (names.WORKERS, names.SERVER, names.RESTARTS)]
    metric = st.sampled_from(told)
    return st.lists(st.tuples(metric, st.lists(LABELS, min_size=1, max_size=2), st.integers(0, 100))).map(build)


def sums(values: Values) -> tuple[dict[str, float], dict[str, tuple[list[int], float]]]:
    """By metric, over all labels."""
    return (
        {name: sum(each.values()) for name, each in values.numbers.items() if any(each.values())},
        {
            name: (
                [sum(column) for column in zip(*(e.counts for e in each.values()), strict=True)],
                sum(e.total for e in each.values()),
            )
            for name, each in values.distributions.items()
        },
    )


@settings(deadline=None)
@given(values=values_strategy())
def test_values_travel_as_they_are(values: Values) -> None:
    """What a worker writes to its supervisor reads back the same."""
    assert Values.of(json.loads(json.dumps(values.as_data()))) == values


@settings(deadline=None)
@given(workers=st.dictionaries(st.integers(0, 5), values_strategy(), max_size=4), ended=st.sets(st.integers(0, 5)))
def test_the_sum_of_the_workers_is_the_whole(workers: dict[int, Values], ended: set[int]) -> None:
    """Counters and histograms add up, of workers that ended too; a gauge is each worker's own, and goes with it."""
    totals, whole = Totals(), Values()
    for worker, values in workers.items():
        totals.take(worker, values)
        whole.merge(values)
    before = sums(totals.sum())
    extra = {names.WORKERS.name: len(workers), names.SERVER.name: 1}
    assert before == (sums(whole)[0] | {name: n for name, n in extra.items() if n}, sums(whole)[1])

    for worker in ended & workers.keys():
        totals.end(worker, restarts=True)
    after = totals.sum()
    kept = {name: number for name, number in before[0].items() if METRICS[name].kind is Kind.COUNTER}
    if restarts := len(ended & workers.keys()):
        kept[names.RESTARTS.name] = restarts
    numbers, distributions = sums(after)
    assert {name: n for name, n in numbers.items() if METRICS[name].kind is Kind.COUNTER} == kept
    assert distributions == before[1]
    told = {
        labels[0] for name, each in after.numbers.items() if METRICS[name].labels[:1] == ("worker",) for labels in each
    }
    assert told <= {str(worker) for worker in workers.keys() - ended}


def counts_of(values: Values) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every count, by its metric and labels."""
    counts: dict[tuple[str, tuple[str, ...]], float] = {
        (name, labels): number
        for name, each in values.numbers.items()
        if METRICS[name].kind is Kind.COUNTER
        for labels, number in each.items()
    }
    for name, distributions in values.distributions.items():
        counts.update({(name, labels): sum(each.counts) for labels, each in distributions.items()})
    return counts


REPORTS: Final = st.lists(st.tuples(st.integers(0, 2), values_strategy(), st.floats(0, KEPT_S)), max_size=12)


@settings(deadline=None)
@given(reports=REPORTS, ended=st.booleans())
def test_a_version_that_has_gone_is_forgotten(reports: list[tuple[int, Values, float]], ended: bool) -> None:
    """The series of a version add up while workers tell of it, and go at once when none has for ten minutes.

    Whoever told of it last, and whether that worker still lives; a version that comes back is counted from zero.
    Nothing else ever goes.
    """
    now = 0.0
    totals, kept = Totals(lambda: now), Values()
    told: dict[tuple[str, str], float] = {}
    for worker, values, pause_s in reports:
        now += pause_s
        totals.take(worker, values)
        kept.merge(values)
        told.update(dict.fromkeys(values.versions(), now))
        gone = {version for version, at in told.items() if now - at > KEPT_S}
        kept.forget(gone)
        if ended:
            totals.end(worker, restarts=False)
        assert counts_of(totals.sum()) == {(names.RESTARTS.name, ()): 0} | counts_of(kept)


def test_the_supervisor_holds_no_more_after_a_thousand_versions() -> None:
    """Versions that come, answer and go leave nothing: only those of the last ten minutes have series."""
    now = 0.0
    totals = Totals(lambda: now)
    for version in range(1000):
        report = Values()
        report.add(names.VERSION_STATE, ("any", str(version), "ready"), 1)
        report.add(names.REQUESTS, ("any", str(version), "live", "OK"), 5)
        report.distribution(names.DURATION, ("any", str(version), "live")).counts[3] += 5
        report.add(names.REQUESTS, ("any", "", "", "NOT_FOUND"), 1)
        now += KEPT_S / 10
        totals.take(0, report)
    counts = counts_of(totals.sum())
    assert len({labels[1] for _, labels in counts if labels}) == 12
    assert counts[names.REQUESTS.name, ("any", "", "", "NOT_FOUND")] == 1000


def test_reports_hold_what_is_new(served: Served) -> None:
    """A worker's report says what was counted since the last one: it does not grow with what ever answered."""
    metrics = Metrics({"counted"})
    metrics.take([Record("any", "counted", served, "live", "OK", rows=1)], missed=2)
    assert counts_of(metrics.take_counted())
    assert metrics.take_counted() == Values()


async def test_a_report_that_fails_is_not_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that has no thread for a report says so in a sentence, and tells all that it counted once it has one."""
    monkeypatch.setattr(reporter_module, "INTERVAL_S", 0.01)
    metrics, queue = Metrics(()), RowQueue(1)
    registry = Registry(str(tmp_path))
    manager = Manager(registry, never, Runtime(), lambda _model: None, load_timeout_s=1)
    watcher = Watcher(registry, 60, lambda _wishes, _unread: None)
    reporter = reporter_module.Reporter(metrics, manager, watcher, queue, Shadow({}, queue, None), None)
    metrics.take([Record("any", code="NOT_FOUND")], missed=0)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as told, os.fdopen(writing, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with no_threads():
            running = asyncio.create_task(reporter.run())
            await until(lambda: "metrics are not told: can't start new thread" in caplog.text, "it is said")
        await until(lambda: bool(select.select([told], [], [], 0)[0]), "it is told")
        running.cancel()
        await asyncio.wait([running])
        for thread in threading.enumerate():
            if thread.name == "tell the metrics":
                thread.join(PATIENCE_S)
        line, _ = told.read(1 << 16).split(b"\n", 1)
    values = Values.of(pipe.read(line)[pipe.METRICS])
    assert counts_of(values)[names.REQUESTS.name, ("", "", "", "NOT_FOUND")] == 1
    assert not any(record.exc_info for record in caplog.records)
    queue.close()


@given(counts=st.lists(st.integers(0, 5), min_size=1), buffered=st.integers(0, 5))
def test_gains_add_up(counts: list[int], buffered: int) -> None:
    """What a counter has gained from one look to the next makes what it is; a gauge is what it is each time."""
    before, told = Values(), Values()
    for number in itertools.accumulate(counts):
        seen = Values()
        seen.add(names.SPANS_SENT, (), number)
        seen.add(names.SPANS_BUFFERED, (), buffered)
        gained = seen.since(before)
        assert gained.numbers[names.SPANS_BUFFERED.name] == {(): buffered}
        told.merge(gained)
        before = seen
    assert told.numbers[names.SPANS_SENT.name] == {(): sum(counts)}


@settings(deadline=None, max_examples=25)
@given(values=values_strategy())
def test_prometheus_reads_what_was_meant(values: Values) -> None:
    """Its own parser finds every number, under the name and the labels that the vocabulary has, whatever they hold."""
    totals = Totals()
    totals.take(3, values)
    server = exposition.start("127.0.0.1", 0, totals)
    try:
        samples = scrape(server.server_address[1])
    finally:
        threading.Thread(target=server.shutdown).start()
        server.server_close()
    for name, each in totals.sum().numbers.items():
        metric = METRICS[name]
        for labels, number in each.items():
            assert samples[metric.exposed, frozenset(zip(metric.labels, labels, strict=True))] == number
    for name, distributions in totals.sum().distributions.items():
        metric = METRICS[name]
        for labels, distribution in distributions.items():
            about = frozenset(zip(metric.labels, labels, strict=True))
            assert samples[f"{name}_count", about] == sum(distribution.counts)
            assert samples[f"{name}_sum", about] == distribution.total
            assert samples[f"{name}_bucket", about | {("le", "+Inf")}] == sum(distribution.counts)


@pytest.fixture
def exposed() -> Iterator[int]:
    """The port of an exposition that gives its callers little time."""
    server = exposition.start("127.0.0.1", 0, Totals())
    try:
        yield server.server_address[1]
    finally:
        threading.Thread(target=server.shutdown).start()
        server.server_close()


@contextlib.contextmanager
def connections(port: int, number: int) -> Iterator[list[socket.socket]]:
    """Connections that say nothing."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S))
            for _ in range(number)
        ]


def test_callers_that_say_nothing_keep_nobody_out(exposed: int) -> None:
    """Of many connections the oldest are ended, so that threads are few, and Prometheus is answered beside them all."""
    others = threading.active_count()
    with connections(exposed, 4 * exposition.CONNECTIONS_MAX) as silent:
        scrape(exposed)
        wait_until(lambda: threading.active_count() - others <= exposition.CONNECTIONS_MAX, "the oldest are let go")
        assert silent[0].recv(1) == b""
    wait_until(lambda: threading.active_count() <= others, "those that left are let go")


def test_a_caller_that_says_nothing_is_let_go(
    exposed: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A silent connection ends by itself, one that stops amid its request too, and standard error has nothing of it."""
    # For these two alone: a scrape may have to wait longer for its turn on a busy machine.
    with monkeypatch.context() as patch:
        patch.setattr(exposition._Handler, "timeout", 0.05)
        with connections(exposed, 2) as (silent, halting):
            halting.sendall(b"GET /metrics HT")
            assert [silent.recv(1), halting.recv(1)] == [b"", b""]
    with connections(exposed, 1) as (hasty,):
        # It ends with a reset.
        hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        hasty.sendall(b"GET /metrics")
    scrape(exposed)
    assert capfd.readouterr().err == ""
