"""Spans reach collectors of every kind: with TLS, with headers, compressed, and a real one."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
import rotel
import trustme

from sardonyx import telemetry
from sardonyx.address import Address
from sardonyx_server.config import parse_endpoint
from sardonyx_server.telemetry.collector import Collector
from sardonyx_server.telemetry.record import Record
from sardonyx_server.telemetry.sampling import Sampler
from sardonyx_server.telemetry.sender import Sender
from server.scene import PATIENCE_S, wait_until
from server.sink import Sink, free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = Address("127.0.0.1", 8001)
ALL, TRACES = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"


@contextlib.contextmanager
def sending(collector: Collector) -> Iterator[Sender]:
    """A sender that has begun."""
    sender = Sender(collector, ADDRESS, Sampler(1.0, slow_s=1.0))
    sender.start()
    try:
        yield sender
    finally:
        sender.stop(1.0)


def send(sender: Sender, count: int) -> list[str]:
    """Send some spans; their prediction ids."""
    ids = [f"prediction-{number}" for number in range(count)]
    sender.take([Record(telemetry.SPAN_MODEL_INFER, code="OK", prediction_id=each) for each in ids], 0)
    return ids


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_are_compressed_where_asked(compression: str) -> None:
    """Spans arrive as they are, or through gzip, by what the collector is told."""
    sink = Sink()
    with running(sink) as address, sending(Collector(f"http://{address}", compression)) as sender:
        ids = send(sender, 100)
        wait_until(lambda: sender.sent == 100, "all are sent")
        assert sink.ids == ids


def test_tls_is_spoken_and_the_collector_proven(tmp_path: Path) -> None:
    """An https:// endpoint is reached over TLS by the environment's roots; one of another authority never is."""
    authority, sink = trustme.CA(), Sink()
    issued, shown = authority.issue_cert("127.0.0.1"), authority.issue_cert("server@example.org")
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(issued.private_key_pem.bytes(), chain)], authority.cert_pem.bytes(), require_client_auth=True
    )
    files = {"CERTIFICATE": authority.cert_pem.bytes(), "CLIENT_KEY": shown.private_key_pem.bytes()}
    files["CLIENT_CERTIFICATE"] = shown.cert_chain_pems[0].bytes()
    environ = {}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        environ[ALL + name] = str(tmp_path / name)
    with running(sink, credentials=credentials) as address:
        endpoint = f"https://{address}"
        (tmp_path / "other").write_bytes(trustme.CA().cert_pem.bytes())
        other = {**environ, TRACES + "CERTIFICATE": str(tmp_path / "other")}
        with sending(Collector.of(endpoint, "none", other)) as stranger:
            send(stranger, 1)
            wait_until(lambda: bool(stranger.error), "it is refused")
            assert stranger.sent == 0
        with sending(Collector.of(endpoint, "none", environ)) as sender:
            ids = send(sender, 3)
            wait_until(lambda: sender.sent == 3, "all are sent")
            assert sink.ids == ids


def test_headers_of_the_environment_are_sent() -> None:
    """Keys for a collector's door come from OTEL_EXPORTER_OTLP_HEADERS, percent-encoding undone."""
    sink, environ = Sink(), {ALL + "HEADERS": "Authorization=Bearer%20secret, x-team = flights"}
    with running(sink) as address, sending(Collector.of(f"http://{address}", "none", environ)) as sender:
        send(sender, 1)
        wait_until(lambda: sender.sent == 1, "it is sent")
        assert (sink.metadata["authorization"], sink.metadata["x-team"]) == ("Bearer secret", "flights")


def test_a_variable_for_traces_wins() -> None:
    """What is said of traces alone counts before what is said of all signals; an empty variable says nothing."""
    environ = {ALL + "HEADERS": "a=all", TRACES + "HEADERS": "a=traces", ALL + "TIMEOUT": "250", TRACES + "TIMEOUT": ""}
    collector = Collector.of("http://localhost:4317", "none", environ)
    assert (collector.headers, collector.timeout_s) == ((("a", "traces"),), 0.25)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADERS", "secret"),
        ("HEADERS", "=secret"),
        ("HEADERS", "a key=secret"),
        ("HEADERS", "key-bin=secret"),
        ("HEADERS", "key=secret%0Aline"),
        ("HEADERS", "key=secr%C3%A9t,other=secret"),
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "-1"),
        ("TIMEOUT", "nan"),
        ("TIMEOUT", "9223372036854775807"),
        ("CERTIFICATE", "/nowhere/roots.pem"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong variable is a usage error that names it, before anything starts, and never repeats a header."""
    monkeypatch.setenv(ALL + name, value)
    with pytest.raises(ValueError, match=ALL + name) as caught:
        parse_endpoint("http://localhost:4317")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("", ""),
        ("localhost:4317", "http://localhost:4317"),
        ("http://localhost:4317/", "http://localhost:4317"),
        ("https://[::1]:4317", "https://[::1]:4317"),
    ],
)
def test_an_endpoint_is_read(text: str, endpoint: str) -> None:
    """Addresses with and without scheme are one form within."""
    assert parse_endpoint(text) == endpoint


@pytest.mark.parametrize("text", ["ftp://localhost:4317", "localhost", "http://", "http://localhost:4317/v1/traces"])
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    """The refusal says how to write it."""
    with pytest.raises(ValueError, match=r"host:port"):
        parse_endpoint(text)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def real_collector(sink_address: str, folder: Path) -> Iterator[str]:
    """rotel, a collector as operators run them, that passes on what it takes; its address."""
    port, http_port = free_port(), free_port()
    agent = Path(rotel.__file__).with_name("rotel-agent")
    options = {
        "--otlp-grpc-endpoint": f"127.0.0.1:{port}",
        "--otlp-http-endpoint": f"127.0.0.1:{http_port}",
        "--exporter": "otlp",
        "--otlp-exporter-protocol": "grpc",
        "--otlp-exporter-endpoint": f"http://{sink_address}",
        "--pid-file": str(folder / "pid"),
        "--log-file": str(folder / "log"),
    }
    command = [str(agent), "start", *(word for option in options.items() for word in option)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), "the collector listens")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_real_collector_takes_and_passes_on_every_span(compression: str, tmp_path: Path) -> None:
    """Through a collector that is not ours every span comes out once and whole, with its ids and attributes."""
    sink, direct = Sink(), Sink()
    with (
        running(sink) as behind,
        real_collector(behind, tmp_path) as address,
        sending(Collector(f"http://{address}", compression)) as sender,
    ):
        ids = send(sender, 2000)
        wait_until(lambda: sender.sent == 2000, "all are taken")
        assert (sender.dropped, sender.error) == (0, "")
        wait_until(lambda: len(sink.spans) >= 2000, "all are passed on")
    assert sorted(sink.ids) == sorted(ids)
    with running(direct) as address, sending(Collector(f"http://{address}")) as sender:
        send(sender, 1)
        wait_until(lambda: sender.sent == 1, "it is sent")
    passed, sent = sink.spans[0], direct.spans[0]
    assert {each.key for each in passed.attributes} == {each.key for each in sent.attributes}
    assert (passed.name, passed.kind, len(passed.trace_id)) == (sent.name, sent.kind, 16)
    resource = {each.key for each in sink.taken[0].resource_spans[0].resource.attributes}
    assert {"service.name", "service.instance.id"} <= resource
