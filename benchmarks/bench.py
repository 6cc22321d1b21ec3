"""sardonyx-server beside a bare grpc.aio server with the same session, in one run, as ratios.

    make bench
    make bench ARGS="--rounds 9 --seconds 3 --json"

Every scenario is measured on every server in turn, several rounds over, so that a change in the machine's speed hits
all of them alike; the medians over the rounds are compared. Server and load generator each have a processor of their
own where the machine has two.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table

from contenders import Contender, start_all
from load import PATH, Figures, frame, measure, require_h2load
from sardonyx.oip import messages as oip

COLUMNS = 30


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load.

    Attributes:
        rows: rows in each request.
        in_flight: requests under way at once.
    """

    rows: int
    in_flight: int

    @property
    def connections(self) -> int:
        """Over how many connections: a few callers with several calls each."""
        return min(self.in_flight, 4)

    def __str__(self) -> str:
        """For tables."""
        return f"{self.rows:,} row{'s' if self.rows > 1 else ''}, {self.in_flight} in flight"


SCENARIOS = [Scenario(rows, in_flight) for in_flight in (1, 32) for rows in (1, 32, 1000)]


def request_for(rows: int) -> bytes:
    """A ModelInferRequest with random features, shape [rows, 30], as raw FP64."""
    values = np.random.default_rng(0).normal(size=(rows, COLUMNS))
    request = oip.ModelInferRequest(model_name="bench", id="bench")
    request.inputs.add(name="features", datatype="FP64", shape=values.shape)
    request.raw_input_contents.append(values.tobytes())
    return request.SerializeToString()


def answer_bytes(port: int, request: bytes) -> int:
    """The length of the answer's gRPC frame; raises where the server refuses the request."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(PATH)
        return len(frame(call(request, timeout=10, wait_for_ready=True)))


def compare(scenario: Scenario, contenders: list[Contender], rounds: int, seconds: float) -> list[dict[str, object]]:
    """Measure one scenario on every contender, in turn, round by round; a row of medians for each."""
    request = request_for(scenario.rows)
    sizes = {contender.name: answer_bytes(contender.port, request) for contender in contenders}
    figures: dict[str, list[Figures]] = {contender.name: [] for contender in contenders}
    with tempfile.NamedTemporaryFile() as body:
        body.write(frame(request))
        body.flush()

        def once(contender: Contender, count: int) -> Figures:
            return measure(
                contender.port,
                Path(body.name),
                sizes[contender.name],
                requests=count,
                connections=scenario.connections,
                streams=scenario.in_flight // scenario.connections,
                cpu=max(os.sched_getaffinity(0)),
            )

        # A short run first: it warms up, and says how many requests fill the time.
        count = max(200, int(once(contenders[0], 200).requests_per_s * seconds))
        for turn in range(rounds):
            first = turn % len(contenders)
            for contender in contenders[first:] + contenders[:first]:
                figures[contender.name].append(once(contender, count))
    return [_row(scenario, name, taken) for name, taken in figures.items()]


def _row(scenario: Scenario, name: str, taken: list[Figures]) -> dict[str, object]:
    return {
        "rows": scenario.rows,
        "in_flight": scenario.in_flight,
        "scenario": str(scenario),
        "server": name,
        "requests_per_s": statistics.median(figure.requests_per_s for figure in taken),
        "latency_p50_us": statistics.median(figure.latency_p50_us for figure in taken),
        "latency_p99_us": statistics.median(figure.latency_p99_us for figure in taken),
    }


def show(rows: list[dict[str, object]], console: Console) -> None:
    """Print the table, each figure beside its ratio to the bare server's."""
    table = Table(title="medians over the rounds; ratios against the bare server of the same run")
    for heading in ("scenario", "server", "requests/s", "÷ bare", "p50 µs", "÷ bare", "p99 µs", "÷ bare"):
        table.add_column(heading, justify="left" if heading in ("scenario", "server") else "right")
    bare = {row["scenario"]: row for row in rows if row["server"] == "bare"}
    for row in rows:
        cells = [str(row["scenario"]), str(row["server"])]
        for figure in ("requests_per_s", "latency_p50_us", "latency_p99_us"):
            value, reference = float(str(row[figure])), float(str(bare[row["scenario"]][figure]))
            cells += [f"{value:,.0f}", f"{value / reference:.2f}"]
        table.add_row(*cells, end_section=row["server"] == rows[-1]["server"])
    console.print(table)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each pair is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each measurement takes (default 1.5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    require_h2load()
    console = Console(stderr=options.json)
    with ExitStack() as stack:
        contenders = start_all(stack, COLUMNS)
        rows: list[dict[str, object]] = []
        for scenario in SCENARIOS:
            console.print(f"[dim]{scenario} …[/dim]")
            rows += compare(scenario, contenders, options.rounds, options.seconds)
    if options.json:
        json.dump(rows, sys.stdout, indent=2)
    else:
        show(rows, console)


if __name__ == "__main__":
    main()
