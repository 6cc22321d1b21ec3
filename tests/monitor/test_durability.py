"""What the monitor acknowledged is there after it was killed, and it opens no store that is not its own."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from monitor.scene import EXPORT, REPORT, connected, doors_of, export_of, fresh_id, kill, prediction_of, start_monitor
from sardonyx import telemetry
from sardonyx.monitor.v1.outcome_service_pb2 import Outcome, ReportOutcomesRequest, ReportOutcomesResponse
from sardonyx_monitor.store.database import FILE_NAME, SCHEMA_VERSION
from server.scene import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from monitor.scene import Value, Watch
    from support.programs import Program

ROUNDS = 3
#: Each sender has so many acknowledged calls before the monitor is killed under it.
CALLS = 25
SPANS = 20


@dataclass(slots=True)
class Sender:
    """Sends one kind of call until the monitor dies, and keeps what was acknowledged.

    Attributes:
        otlp: the door.
        name: tells this sender's ids from others'.
        spans: the ids of acknowledged spans.
        outcomes: the ids of acknowledged outcomes.
        calls: how many calls were acknowledged.
    """

    otlp: str
    name: str
    spans: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    calls: int = 0

    def send_spans(self) -> None:
        """Spans of predictions, several a call."""
        for call in self._until_dead(EXPORT):
            spans = [prediction_of(f"{self.name}-{self.calls}-{each}", ["late"]) for each in range(SPANS)]
            answer = ExportTraceServiceResponse.FromString(
                call(export_of(*spans).SerializeToString(), timeout=PATIENCE_S)
            )
            assert not answer.HasField("partial_success")
            self.spans |= {span.span_id.hex() for span in spans}

    def send_outcomes(self) -> None:
        """Truths, several a call."""
        for call in self._until_dead(REPORT):
            ids = [f"{self.name}-{self.calls}-{each}" for each in range(SPANS)]
            request = ReportOutcomesRequest(outcomes=[Outcome(prediction_id=each, label="late") for each in ids])
            answer = ReportOutcomesResponse.FromString(call(request.SerializeToString(), timeout=PATIENCE_S))
            assert answer.accepted == SPANS
            self.outcomes |= set(ids)

    def _until_dead(self, method: str) -> Iterator[grpc.UnaryUnaryMultiCallable[bytes, bytes]]:
        """The call, again and again. It must not raise in here but where it is made."""
        with grpc.insecure_channel(self.otlp) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            while True:
                yield call
                self.calls += 1


@contextlib.contextmanager
def _streams(otlp: str, prefix: str) -> Iterator[list[Sender]]:
    """Two senders of each kind in full stream, which end when the monitor does."""
    senders = [Sender(otlp, f"{prefix}-{number}") for number in range(4)]

    def run(send: Callable[[], None]) -> None:
        # What the end interrupted was not acknowledged: it may be there or not.
        with pytest.raises(grpc.RpcError) as ended:
            send()
        assert ended.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)

    sends = [each.send_spans for each in senders[:2]] + [each.send_outcomes for each in senders[2:]]
    threads = [threading.Thread(target=run, args=(send,), daemon=True) for send in sends]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(sender.calls >= CALLS for sender in senders), "all senders are in full stream")
    yield senders
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
        assert not thread.is_alive()


def _stored(data: Path) -> tuple[set[str], set[str], set[str]]:
    """The ids of spans, of predictions and of outcomes in a store that nobody has open; each may be there only once."""
    with duckdb.connect(str(data / FILE_NAME), read_only=True) as connection:
        spans = [row[0] for row in connection.execute("select SpanId from otel_traces").fetchall()]
        predictions = [row[0] for row in connection.execute("select prediction_id from predictions").fetchall()]
        outcomes = [row[0] for row in connection.execute("select prediction_id from outcomes").fetchall()]
    assert len(spans) == len(set(spans)), "a span is stored twice"
    assert len(outcomes) == len(set(outcomes)), "an outcome is stored twice"
    assert len(predictions) == len(spans), "a span was stored without its prediction"
    return set(spans), set(predictions), set(outcomes)


def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Killed again and again while spans and outcomes stream in, the monitor still has all that it acknowledged."""
    data = tmp_path / "data"
    spans: set[str] = set()
    outcomes: set[str] = set()
    for attempt in range(ROUNDS):
        program = start_monitor(tmp_path / "registry", data)
        otlp, page = doors_of(program)
        if spans:
            with connected(otlp, page) as watch:
                stored = watch.health()["stored"]
                assert stored["spans"] >= len(spans)
                assert stored["outcomes"] >= len(outcomes)
        with _streams(otlp, str(attempt)) as senders:
            kill(program)
        for sender in senders:
            spans |= sender.spans
            outcomes |= sender.outcomes
        assert len(spans) >= 2 * CALLS * SPANS * (attempt + 1)
    program = start_monitor(tmp_path / "registry", data)
    doors_of(program)
    assert program.stop() == 0
    stored_spans, _, stored_outcomes = _stored(data)
    assert spans - stored_spans == set()
    assert outcomes - stored_outcomes == set()


def test_restarted_monitor_shows_what_it_had(tmp_path: Path) -> None:
    """After a kill the pages tell the trace and its truth as before, and a report that comes again changes nothing."""
    program = start_monitor(tmp_path / "registry", tmp_path / "data")
    span = prediction_of("kept", ["late"])
    outcome = Outcome(prediction_id="kept", label="punctual")
    with connected(*doors_of(program)) as watch:
        watch.export(span, dropped=4)
        watch.report(outcome)
        before = watch.trace(span.trace_id)
        kill(program)
    again = start_monitor(tmp_path / "registry", tmp_path / "data")
    with connected(*doors_of(again)) as watch:
        assert watch.trace(span.trace_id) == before
        assert watch.export(span).HasField("partial_success") is False
        assert watch.report(outcome).accepted == 1
        assert watch.trace(span.trace_id) == before
        assert watch.health()["stored"] == {"spans": 1, "predictions": 1, "outcomes": 1}
        assert [each["spans_dropped"] for each in watch.health()["senders"]] == [4]
        watch.report(Outcome(prediction_id="kept", label="late"))
        (row,) = watch.trace(span.trace_id)["predictions"]
        assert row["truth"] == "late", "the order of arrival is kept across restarts"
    assert again.stop() == 0


def _refusal(program: Program) -> str:
    """What a monitor says that does not start."""
    status = program.process.wait(timeout=PATIENCE_S)
    program.stop()
    said = "".join(program.lines)
    assert status == 1, said
    assert "Traceback" not in said
    return said


def test_second_monitor_is_refused(tmp_path: Path) -> None:
    """A second monitor on the same folder says who has it and ends; the first one goes on."""
    first = start_monitor(tmp_path / "registry", tmp_path / "data")
    with connected(*doors_of(first)) as watch:
        said = _refusal(start_monitor(tmp_path / "registry", tmp_path / "data"))
        assert "is in use by another process" in said
        assert str(first.process.pid) in said
        assert "--data" in said
        span = prediction_of("still", ["late"])
        watch.export(span)
        assert watch.trace(span.trace_id)["predictions"][0]["prediction_id"] == "still"
    assert first.stop() == 0


def test_store_of_another_version_is_refused(tmp_path: Path) -> None:
    """A store whose schema has another version is refused with both versions, and left as it is."""
    data = tmp_path / "data"
    program = start_monitor(tmp_path / "registry", data)
    doors_of(program)
    assert program.stop() == 0
    with duckdb.connect(str(data / FILE_NAME)) as connection:
        connection.execute("update schema_version set version = 999")
    said = _refusal(start_monitor(tmp_path / "registry", data))
    assert "schema version 999" in said
    assert f"reads version {SCHEMA_VERSION}" in said
    with duckdb.connect(str(data / FILE_NAME)) as connection:
        assert connection.execute("select version from schema_version").fetchall() == [(999,)]


def _columns(data: Path) -> list[tuple[object, ...]]:
    """Every column of a store that nobody has open."""
    with duckdb.connect(str(data / FILE_NAME), read_only=True) as connection:
        return connection.execute(
            "select table_name, column_name, data_type, is_nullable, column_default "
            "from information_schema.columns order by table_name, ordinal_position"
        ).fetchall()


def test_store_of_an_earlier_release_is_brought_up_to_date(tmp_path: Path) -> None:
    """A store of an earlier release opens with all that it held, takes what is new, and is then like a new one."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    with duckdb.connect(str(old / FILE_NAME)) as connection:
        connection.execute((Path(__file__).parent / "store_1.sql").read_text())
    for _ in range(2):
        program = start_monitor(tmp_path / "registry", old)
        with connected(*doors_of(program)) as watch:
            watch.export(prediction_of(fresh_id(), ["late"], more={telemetry.WEIGHT: 4.0}))
            version = watch.api("/models/by-hand")["model"]["versions"][0]
            answers = [(each["row"], each["answer"]) for each in watch.trace(b"\x11" * 16)["predictions"]]
            assert answers == [(0, "late"), (1, "punctual"), (2, "late")]
            assert version["quality"]["labelled"] == 1
            assert version["quality"]["comparisons"][0]["practice"]["value"] == 1
        assert program.stop() == 0, "".join(program.lines)
    assert version["traffic"]["recorded"] == 3
    assert version["traffic"]["requests"] == 1 + 2 * 4
    program = start_monitor(tmp_path / "registry", new)
    doors_of(program)
    assert program.stop() == 0
    assert _columns(old) == _columns(new)


def test_foreign_duckdb_file_is_refused(tmp_path: Path) -> None:
    """A DuckDB file that somebody else made is refused, and left as it is."""
    data = tmp_path / "data"
    data.mkdir()
    with duckdb.connect(str(data / FILE_NAME)) as connection:
        connection.execute("create table theirs as select 1 as one")
    assert "no sardonyx store" in _refusal(start_monitor(tmp_path / "registry", data))
    with duckdb.connect(str(data / FILE_NAME)) as connection:
        assert connection.execute("select table_name from information_schema.tables").fetchall() == [("theirs",)]


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A file of that name that is no database is refused with a sentence."""
    data = tmp_path / "data"
    data.mkdir()
    (data / FILE_NAME).write_bytes(os.urandom(1 << 16))
    assert "cannot be opened" in _refusal(start_monitor(tmp_path / "registry", data))


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A --data that is a file is refused with a sentence."""
    (tmp_path / "data").write_text("a file")
    program = start_monitor(tmp_path / "registry", tmp_path / "data")
    assert program.process.wait(timeout=PATIENCE_S) != 0
    program.stop()
    said = "".join(program.lines)
    assert "data" in said
    assert "Traceback" not in said


def test_taken_port_is_refused(watch: Watch, tmp_path: Path) -> None:
    """A port that another program has is refused with a sentence, whichever of the two it is."""
    for option, address in (("--otlp", watch.otlp), ("--web", watch.url.removeprefix("http://"))):
        said = _refusal(start_monitor(tmp_path / "registry", tmp_path / option, option, address))
        assert f"Cannot listen on {address}: Address already in use." in said
        assert f"choose another {option}" in said
        assert len(said.splitlines()) == 1, "gRPC says nothing of its own"


def test_sigterm_under_load_ends_well(tmp_path: Path) -> None:
    """SIGTERM while calls stream in ends the monitor with 0, and what it acknowledged is in the file."""
    program = start_monitor(tmp_path / "registry", tmp_path / "data")
    otlp, _ = doors_of(program)
    with _streams(otlp, "sent") as senders:
        assert program.stop() == 0, "".join(program.lines)
    assert "Traceback" not in "".join(program.lines)
    stored_spans, _, stored_outcomes = _stored(tmp_path / "data")
    for sender in senders:
        assert sender.spans - stored_spans == set()
        assert sender.outcomes - stored_outcomes == set()


def test_a_reader_that_does_not_read_ends_without_a_traceback(tmp_path: Path) -> None:
    """SIGTERM ends the monitor with 0 and without a word though somebody does not read the page that they asked for."""
    program = start_monitor(tmp_path / "registry", tmp_path / "data")
    _, page = doors_of(program)
    host, port = page.removeprefix("http://").rstrip("/").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(b"GET /static/plotly.min.js HTTP/1.1\r\nhost: monitor\r\n\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        assert program.stop() == 0
    assert not [line for line in program.lines if not line.startswith("sardonyx-monitor:")]


def test_a_watcher_that_takes_nothing_does_not_hold_the_end(tmp_path: Path) -> None:
    """SIGTERM ends the monitor with 0 though somebody watches its health and gives it no room to answer."""
    program = start_monitor(tmp_path / "registry", tmp_path / "data")
    host, port = doors_of(program)[0].rsplit(":", 1)
    told = {":method": "POST", ":scheme": "http", ":path": "/grpc.health.v1.Health/Watch", ":authority": "any"}
    told |= {"te": "trailers", "content-type": "application/grpc"}
    # HPACK: literals without indexing, whose names are new.
    headers = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in told.items()
    )
    no_room = struct.pack(">HI", 4, 0)  # SETTINGS_INITIAL_WINDOW_SIZE = 0
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as watcher:
        watcher.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, no_room))
        watcher.sendall(_frame(1, 4, 1, headers) + _frame(0, 1, 1, bytes(5)))
        # The answer's headers come, and nothing behind them.
        answered = b""
        while b"application/grpc" not in answered:
            received = watcher.recv(4096)
            assert received
            answered += received
        assert program.stop() == 0


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize("option", ["--keep-days", "--poll-interval-s"])
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "soon"])
def test_what_is_no_number_is_refused(tmp_path: Path, option: str, number: str) -> None:
    """Neither NaN nor infinity is a time: they pass every comparison, and would delete everything or nothing."""
    program = start_monitor(tmp_path / "registry", tmp_path / "data", option, number)
    assert program.process.wait(timeout=PATIENCE_S) == 2
    program.stop()
    assert f"Invalid value for '{option}': '{number}' is no number." in "".join(program.lines)


@pytest.mark.parametrize("days", ["1", "0"])
def test_what_is_old_is_deleted(tmp_path: Path, days: str) -> None:
    """With --keep-days, a start deletes what is older and keeps the rest; 0 keeps everything."""
    hour_ns = 3600 * 10**9
    program = start_monitor(tmp_path / "registry", tmp_path / "data", "--keep-days", "0")
    young = prediction_of("young", ["late"])
    captured: dict[str, Value] = {telemetry.INPUT_ROWS: [0], f"{telemetry.INPUT_VALUE_PREFIX}distance": [1.0]}
    old = prediction_of("old", ["late"], start_ns=young.start_time_unix_nano - 30 * hour_ns, more=captured)
    with connected(*doors_of(program)) as watch:
        watch.export(young, old)
    assert program.stop() == 0
    program = start_monitor(tmp_path / "registry", tmp_path / "data", "--keep-days", days)
    with connected(*doors_of(program)) as watch:
        # A call is answered by the writer, which sweeps before it takes its first one.
        watch.report(Outcome(prediction_id="young", label="late"))
        assert watch.trace(young.trace_id)["predictions"][0]["truth"] == "late"
        assert watch.health()["stored"]["spans"] == (2 if days == "0" else 1)
        assert watch.web.get(f"/api/traces/{old.trace_id.hex()}").status_code == (200 if days == "0" else 404)
        inputs = watch.api("/models/by-hand/inputs", window="all")["inputs"]
        assert len(inputs) == (1 if days == "0" else 0)
    assert program.stop() == 0
