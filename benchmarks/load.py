"""Load from nghttp2's h2load, which is written in C and is never the bottleneck of a Python server."""

from __future__ import annotations

import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PATH: Final = "/inference.GRPCInferenceService/ModelInfer"
STREAM_PATH: Final = "/inference.GRPCInferenceService/ModelStreamInfer"
#: A few callers with several calls each.
CONNECTIONS_MAX: Final = 4
#: Enough to warm a server up and to learn its pace.
WARM_UP_REQUESTS: Final = 200
RUN_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What one measurement found.

    Attributes:
        requests_per_s: answered requests a second.
        latency_p50_us: median latency, microseconds.
        latency_p99_us: 99th percentile of latency, microseconds.
    """

    requests_per_s: float
    latency_p50_us: float
    latency_p99_us: float


@dataclass(frozen=True, slots=True)
class Load:
    """The same request, again and again.

    Attributes:
        port: the server's.
        body: a file with a gRPC frame, or with the frames of a whole stream.
        answer_bytes: how long the answer's frames are. A failed call is HTTP 200 without a frame, so the sum tells.
        in_flight: requests under way at once.
        cpu: the processor that h2load runs on.
        path: the method.
    """

    port: int
    body: Path
    answer_bytes: int
    in_flight: int
    cpu: int
    path: str = PATH

    def warm_up(self, seconds: float) -> int:
        """Make a short run; how many requests fill a time."""
        pace = self.run(max(WARM_UP_REQUESTS, self.in_flight)).requests_per_s
        return max(2 * self.in_flight, int(pace * seconds))

    def run(self, requests: int) -> Figures:
        """Send so many requests.

        Raises:
            RuntimeError: one failed.
        """
        connections = min(self.in_flight, CONNECTIONS_MAX)
        with tempfile.NamedTemporaryFile(suffix=".tsv") as log:
            command = [
                *("taskset", "-c", str(self.cpu), "h2load", f"-n{requests}", "-t1"),
                *(f"-c{connections}", f"-m{self.in_flight // connections}"),
                *("-d", str(self.body), "-H", "content-type: application/grpc", "-H", "te: trailers"),
                *(f"--log-file={log.name}", f"http://127.0.0.1:{self.port}{self.path}"),
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=True)
            latencies_us = [float(line.split("\t")[2]) for line in Path(log.name).read_text().splitlines()]
        return self._read(done.stdout, requests, latencies_us)

    def _read(self, said: str, requests: int, latencies_us: list[float]) -> Figures:
        succeeded = re.search(r"(\d+) succeeded, 0 failed, 0 errored", said)
        rate = re.search(r"finished in .*?, ([\d.]+) req/s", said)
        data = re.search(r"\((\d+)\) data", said)
        answered = succeeded and data and int(succeeded[1]) == requests and int(data[1]) == requests * self.answer_bytes
        if not answered or not rate:
            raise RuntimeError(f"h2load saw failures:\n{said}")
        hundredths = statistics.quantiles(latencies_us, n=100)
        return Figures(float(rate[1]), statistics.median(latencies_us), hundredths[98])


def require_h2load() -> None:
    """End with a sentence where h2load is not installed."""
    if shutil.which("h2load") is None:
        sys.exit("make bench needs h2load. Install it: apt-get install nghttp2-client")


def frame(message: bytes) -> bytes:
    """A gRPC message as it travels: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message
