"""What one worker has of telemetry, put together as its configuration says."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from sardonyx_server.telemetry.capture import Capture
from sardonyx_server.telemetry.collector import Collector
from sardonyx_server.telemetry.metrics.counting import Metrics
from sardonyx_server.telemetry.recorder import Recorder
from sardonyx_server.telemetry.requestlog import RequestLog
from sardonyx_server.telemetry.sampling import Sampler
from sardonyx_server.telemetry.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Container

    from sardonyx_server.config import Config


class Pipeline:
    """From a record of each prediction to spans, metrics and log lines; made inside the event loop.

    Args:
        config: what of it is wanted.
        models: the names that exist.

    Attributes:
        sender: sends spans; None: nowhere.
        metrics: counts; None: nobody asks.
        recorder: takes the records; None: nobody wants them.
    """

    def __init__(self, config: Config, models: Container[str]) -> None:
        self.sender = _sender(config) if config.otlp_endpoint else None
        self.metrics = Metrics(models) if config.metrics_port else None
        log = RequestLog() if config.log_requests else None
        takers = [taker for taker in (self.sender, self.metrics, log) if taker is not None]
        capture = Capture(config.capture_rows_per_s if self.sender else 0.0)
        later = asyncio.get_running_loop().call_later
        self.recorder = Recorder(capture, takers, later) if takers else None

    def start(self) -> None:
        """Begin."""
        if self.recorder:
            self.recorder.start()
        if self.sender:
            self.sender.start()

    def settle(self) -> None:
        """Take in the last predictions, on the event loop."""
        if self.recorder:
            self.recorder.settle()

    def stop(self, timeout_s: float) -> None:
        """Hand on what waits, for so long at most; once all has settled, and nobody waits for this thread."""
        until = time.monotonic() + timeout_s
        if self.recorder:
            self.recorder.stop(timeout_s)
        if self.sender:
            self.sender.stop(max(0.0, until - time.monotonic()))


def _sender(config: Config) -> Sender:
    collector = Collector.of(config.otlp_endpoint, config.otlp_compression)
    return Sender(collector, config.address, Sampler(config.trace_ratio, config.slow_ms / 1000))
