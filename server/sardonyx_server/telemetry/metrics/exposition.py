"""Answers Prometheus over HTTP, in its own format, by its own library."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from sardonyx_server.telemetry.metrics.names import METRICS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import Metric as Family

    from sardonyx_server.telemetry.metrics.names import Metric
    from sardonyx_server.telemetry.metrics.totals import Totals
    from sardonyx_server.telemetry.metrics.values import Values


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


def start(host: str, port: int, totals: Totals) -> WSGIServer:
    """Begin to answer, on a thread.

    Raises:
        OSError: the address is taken or does not exist.
    """
    registry = CollectorRegistry()
    registry.register(_Families(totals))
    server, _ = start_http_server(port, host, registry)
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
