"""The command line of the soak: ``make soak``."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

import soak
from soak.session import Plan, Soak

if TYPE_CHECKING:
    from soak.report import Report

INTERRUPTED = 130


def main() -> int:
    """Soak, print what was found; 0 when every promise held, 1 when one did not, 130 when it was interrupted."""
    options = _parser().parse_args()
    console = Console(stderr=options.json, highlight=False)
    if not console.is_terminal:
        console = Console(stderr=options.json, highlight=False, width=200)
    plan = Plan(options.minutes * 60, options.seed, options.load, options.once)
    console.print(f"seed {plan.seed}: {plan.repeat}", soft_wrap=True)
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(_run(plan, Path(folder), console))
    if report is None:
        console.print("interrupted")
        return INTERRUPTED
    if options.json:
        json.dump(report.as_data(), sys.stdout, indent=2, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        report.show(console)
    return 0 if report.held else 1


async def _run(plan: Plan, folder: Path, console: Console) -> Report | None:
    """A soak; None where Ctrl-C or SIGTERM ended it."""
    run = asyncio.create_task(Soak(plan, folder, lambda text: console.print(text, soft_wrap=True, style="dim")).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, run.cancel)
    try:
        return await run
    except asyncio.CancelledError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make soak", description=soak.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="repeats what another soak drew")
    parser.add_argument("--load", type=float, default=1.0, help="2 is twice as many calls (default 1)")
    parser.add_argument("--once", action="store_true", help="end when each fault and act has taken place once")
    parser.add_argument("--json", action="store_true", help="print JSON; progress goes to standard error")
    return parser


if __name__ == "__main__":
    sys.exit(main())
