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

PATH = "/inference.GRPCInferenceService/ModelInfer"


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


def require_h2load() -> None:
    """End with a sentence where h2load is not installed."""
    if shutil.which("h2load") is None:
        sys.exit("make bench needs h2load. Install it: apt-get install nghttp2-client")


def frame(message: bytes) -> bytes:
    """A gRPC message as it travels: not compressed, its length, itself."""
    return struct.pack(">BI", 0, len(message)) + message


def measure(
    port: int, body: Path, answer_bytes: int, *, requests: int, connections: int, streams: int, cpu: int
) -> Figures:
    """Post one body many times.

    Args:
        port: the server's.
        body: a file with a gRPC frame.
        answer_bytes: how long each answer's frame is. A failed call is HTTP 200 without a frame, so the sum tells.
        requests: how many, in all.
        connections: how many HTTP/2 connections.
        streams: how many requests are in flight on each.
        cpu: the processor that h2load runs on.

    Raises:
        RuntimeError: a request failed.
    """
    with tempfile.NamedTemporaryFile(suffix=".tsv") as log:
        command = [
            *("taskset", "-c", str(cpu), "h2load", f"-n{requests}", f"-c{connections}", f"-m{streams}", "-t1"),
            *("-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"),
            *(f"--log-file={log.name}", f"http://127.0.0.1:{port}{PATH}"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        latencies_us = [float(line.split("\t")[2]) for line in Path(log.name).read_text().splitlines()]
    succeeded = re.search(r"(\d+) succeeded, 0 failed, 0 errored", done.stdout)
    rate = re.search(r"finished in .*?, ([\d.]+) req/s", done.stdout)
    data = re.search(r"\((\d+)\) data", done.stdout)
    answered = succeeded and data and int(succeeded[1]) == requests and int(data[1]) == requests * answer_bytes
    if not answered or not rate:
        raise RuntimeError(f"h2load saw failures:\n{done.stdout}")
    hundredths = statistics.quantiles(latencies_us, n=100)
    return Figures(float(rate[1]), statistics.median(latencies_us), hundredths[98])
