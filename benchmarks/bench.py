"""sardonyx beside its peers, in one run, as ratios with targets.

    make bench
    make bench ARGS="--only unary --rounds 9"
    make bench ARGS="--json"

Every comparison measures its sides in turn, several rounds over, so that a change in the machine's speed hits all of
them alike; the medians are compared. Servers and load have a processor each where the machine has two, and every
server has one worker.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from contenders.process import LOAD_CPU
from jobs import callers, neighbours, start, stream, swaps, trees, typed, unary
from jobs.measuring import Findings, Plan
from load import require_h2load
from table import show

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS: Final[dict[str, Callable[[Plan], Findings]]] = {
    "unary": unary.measure,
    "callers": callers.measure,
    "trees": trees.measure,
    "stream": stream.measure,
    "swaps": swaps.measure,
    "neighbours": neighbours.measure,
    "typed": typed.measure,
    "start": start.measure,
}


def main() -> None:
    """Parse the command line, measure, print; status 0 whether the targets are met or not."""
    options = _parser().parse_args()
    require_h2load()
    # What this process does between measurements must not take the server's processor.
    os.sched_setaffinity(0, {LOAD_CPU})
    console = Console(stderr=options.json)
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(Path(folder), options.rounds, options.seconds, lambda text: console.print(f"[dim]{text} …[/dim]"))
        found = [JOBS[name](plan) for name in options.only or JOBS]
    figures = [figure for each in found for figure in each.figures]
    measured = [row for each in found for row in each.measured]
    if options.json:
        data = {
            "figures": [figure.as_data() for figure in figures],
            "measured": [row.as_data() for row in measured],
        }
        json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        show(console, figures, measured)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=JOBS, help="one measurement; may be repeated (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="how long each time (default 1.5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser


if __name__ == "__main__":
    main()
