"""Answers Prometheus over HTTP, in its own format, by its own library."""

from __future__ import annotations

import contextlib
import itertools
import socket
import socketserver
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, MetricsHandler
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from sardonyx_server.log import LOG
from sardonyx_server.telemetry.metrics.names import METRICS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client import Metric as Family

    from sardonyx_server.telemetry.metrics.names import Metric
    from sardonyx_server.telemetry.metrics.totals import Totals
    from sardonyx_server.telemetry.metrics.values import Values


#: Connections at once, each with a thread: one more ends the oldest.
CONNECTIONS_MAX: Final = 32
#: How long a caller may say nothing, or take nothing.
TIMEOUT_S: Final = 10.0


class _Families(Collector):
    """Gives prometheus_client what the workers have reported."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Family]:
        """Every metric that has values."""
        values = self._totals.sum()
        for metric in METRICS.values():
            family = _histogram(metric, values) if metric.kind is Kind.HISTOGRAM else _numbers(metric, values)
            if family.samples:
                yield family

    def describe(self) -> Iterator[Family]:
        """Nothing: names are not checked against other collectors, there are none."""
        return iter(())


class _Handler(MetricsHandler):
    """Gives up on a caller that neither asks nor takes its answer."""

    timeout = TIMEOUT_S


class Server(socketserver.ThreadingTCPServer):
    """Answers on a thread for each connection, and on no more of them than it can spare.

    Who connects and stays makes room for who comes: a scrape takes milliseconds, so the oldest of many connections is
    not one.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = CONNECTIONS_MAX

    def __init__(self, host: str, port: int, handler: type) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._lock = threading.Lock()
        #: In the order in which they came.
        self._connections: dict[socket.socket, None] = {}
        super().__init__((host, port), handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a connection, and end the oldest where there are too many."""
        with self._lock:
            self._connections[request] = None
            if len(self._connections) > CONNECTIONS_MAX:
                oldest = next(iter(self._connections))
                del self._connections[oldest]
                with contextlib.suppress(OSError):
                    # Its thread closes it.
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Let go a connection."""
        with self._lock:
            self._connections.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature
        """Log what went wrong, unless it is that the caller went away."""
        if not isinstance(sys.exception(), OSError):
            LOG.exception("metrics could not be told")


def start(host: str, port: int, totals: Totals) -> Server:
    """Begin to answer, on a thread.

    Raises:
        OSError: the address is taken or does not exist.
    """
    registry = CollectorRegistry()
    registry.register(_Families(totals))
    server = Server(host, port, _Handler.factory(registry))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _numbers(metric: Metric, values: Values) -> Family:
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, number in values.numbers.get(metric.name, {}).items():
        family.add_metric(labels, number)
    return family


def _histogram(metric: Metric, values: Values) -> Family:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    bounds = [*(f"{bound:.6g}" for bound in metric.bounds), "+Inf"]
    for labels, distribution in values.distributions.get(metric.name, {}).items():
        cumulative = itertools.accumulate(distribution.counts)
        family.add_metric(labels, list(zip(bounds, cumulative, strict=True)), distribution.total)
    return family
