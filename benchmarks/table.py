"""What was found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from figures import Figure
    from jobs.measuring import Measured

_VERDICTS = {True: ("met", "green"), False: ("not met", "red"), None: ("not measured", "yellow")}


def show(console: Console, figures: Sequence[Figure], measured: Sequence[Measured]) -> None:
    """Print the targets, then what was measured on the way to them."""
    console.print(_targets(figures))
    if measured:
        console.print(_measured(measured))


def _targets(figures: Sequence[Figure]) -> Table:
    table = Table(title="targets: medians over the rounds of one run", title_justify="left")
    for heading in ("figure", "what", "target", "found", "", "of"):
        table.add_column(heading, justify="right" if heading in ("target", "found") else "left")
    for figure in figures:
        found = "–" if figure.value is None else f"{figure.value:.2f} {figure.target.unit}".rstrip()
        verdict, style = _VERDICTS[figure.met]
        detail = f"{figure.detail} {figure.spoiled}".strip()
        target = figure.target
        table.add_row(target.name, target.meaning, str(target), found, Text(verdict, style), detail)
    return table


def _measured(measured: Sequence[Measured]) -> Table:
    table = Table(title="measured", title_justify="left")
    for heading in ("load", "server", "requests/s", "p50 µs", "p99 µs"):
        table.add_column(heading, justify="left" if heading in ("load", "server") else "right")
    for each in measured:
        taken = each.figures
        cells = (f"{taken.requests_per_s:,.0f}", f"{taken.latency_p50_us:,.0f}", f"{taken.latency_p99_us:,.0f}")
        table.add_row(each.load, each.server, *cells)
    return table
