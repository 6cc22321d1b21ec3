"""The whole life of a model on real data: which flights from New York will arrive more than 15 minutes late.

Trains two models on January and February 2013, exports both, serves the better one, replays April as single gRPC
requests, reports each truth once its flight has landed, retrains, swaps the version while requests run, replays May.
In May the weather joins the inputs: that is another interface, v2, served beside v1, whose callers go on calling it.
Then it goes on until Ctrl-C; with --once it ends. Either way it prints a summary and leaves no process behind.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Final

# A script finds what lies beside it; these modules are called flights.data and so on, here as everywhere else.
sys.path[0] = str(Path(__file__).resolve().parents[1])

EXAMPLES: Final = """\
examples:
  make demo                                              until Ctrl-C
  make demo ONCE=1                                       a minute or two
  .venv/bin/python examples/flights/demo.py --once --sample 0.1
  .venv/bin/python examples/flights/demo.py --web-port 8080
"""
FOLDER: Final = Path(__file__).resolve().parents[2] / "var" / "demo"
#: Less leaves too few flights to train on.
SHARE_MIN: Final = 0.01
#: Of a program that a signal ended, as shells say it.
INTERRUPTED: Final = 128 + signal.SIGINT


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="end after May")
    parser.add_argument("--sample", type=_share, default=1.0, metavar="SHARE", help="the share of flights to use (1)")
    parser.add_argument("--rate", type=_rate, metavar="N", help="requests a second at most (as many as are answered)")
    parser.add_argument("--server-port", type=int, default=0, metavar="PORT", help="of the server (a free one)")
    parser.add_argument("--otlp-port", type=int, default=0, metavar="PORT", help="of the monitor's OTLP (a free one)")
    parser.add_argument("--web-port", type=int, default=0, metavar="PORT", help="of the monitor's page (a free one)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="made anew at each start (var/demo)")
    return parser.parse_args()


def main() -> int:
    """Run the demo; the exit status."""
    options = parse()
    # A shell that starts this in the background lets it ignore Ctrl-C's signal: whoever sends it means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: _interrupt(terminated, number))
    status = _tell(options)
    return 128 + terminated[0] if terminated else status


def _tell(options: argparse.Namespace) -> int:
    try:
        # What it imports takes seconds, and Ctrl-C is to end that too.
        from flights.story import tell

        finished, well = tell(options)
    except KeyboardInterrupt:
        print("Stopped, without a summary.")
        finished, well = False, True
    if not well:
        return 1
    return INTERRUPTED if options.once and not finished else 0


def _interrupt(received: list[int], number: int) -> None:
    """End as with Ctrl-C."""
    received.append(number)
    signal.raise_signal(signal.SIGINT)


def _share(text: str) -> float:
    share = float(text)
    if not SHARE_MIN <= share <= 1:
        raise argparse.ArgumentTypeError(f"choose from {SHARE_MIN} to 1")
    return share


def _rate(text: str) -> float:
    rate = float(text)
    if rate <= 0:
        raise argparse.ArgumentTypeError("a rate is above 0")
    return rate


if __name__ == "__main__":
    sys.exit(main())
