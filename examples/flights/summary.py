"""What the demo ends with: requests, latency, and each version's practice beside its promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from flights.data import TARGET
from flights.replay import IN_FLIGHT
from flights.train import MODEL, PRIMARY

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    import pandas as pd
    from rich.console import Console

    from flights.monitored import Compared, Figure, Monitored
    from flights.replay import Tally
    from flights.train import Candidate

#: The figures that both the hold-out and practice know.
METRICS: Final = {"accuracy": "accuracy", "log_loss": "log loss"}
VERDICTS: Final = {
    "kept": "[green]kept[/green]",
    "better": "[cyan]better[/cyan]",
    "worse": "[yellow]worse[/yellow]",
    "open": "[dim]too little known[/dim]",
}
FAILURES_SHOWN: Final = 5
#: Held out, replayed, replayed.
MONTHS: Final = {3: "March", 4: "April", 5: "May"}


def of_candidate(candidate: Candidate) -> str:
    """A candidate's promise in one line."""
    metrics = candidate.result.metrics
    figures = " · ".join(f"{name} {metrics[name]:.4f}" for name in (PRIMARY, "accuracy", "log_loss"))
    return f"version {candidate.result.version}, {candidate.kind}: {figures}"


def of_choice(best: Candidate, other: Candidate) -> str:
    """Which candidate was promoted, and why."""
    return (
        f"Version {best.result.version} ({best.kind}) was promoted, not version {other.result.version} ({other.kind}):"
        f" its {PRIMARY} on March is better, {best.score:.4f} against {other.score:.4f}"
    )


def of_months(flights: pd.DataFrame) -> str:
    """How many flights are late, by month: what moves accuracy while a model stays as it is."""
    late = flights.groupby("month")[TARGET].mean()
    shares = ", ".join(f"{late[month]:.1%} in {name}" for month, name in MONTHS.items())
    return f"Late flights, whatever a model says of them: {shares}"


def of_refusal(refusal: str) -> str:
    """What came of the attempt to retire the interface that is still called."""
    return f"[bold]sardonyx-exporter retire {MODEL} v1[/bold] is refused: {escape(refusal)}"


def of_page(page: str, *, once: bool) -> str:
    """Where everything could be seen."""
    again = "; [bold]make demo[/bold] without ONCE=1 keeps it open" if once else ""
    return f"The page was [cyan]{page}[/cyan]{again}"


def show(console: Console, tally: Tally, seen: Monitored, notes: Sequence[str]) -> None:
    """Print all of it, the notes last."""
    console.print()
    console.rule("[bold]Summary[/bold]", align="left")
    console.print(_requests(tally))
    _failures(console, "failed", tally.failures)
    _failures(console, "not reported", tally.unreported)
    console.print()
    console.print(_latency(tally, seen))
    console.print()
    console.print(_quality(seen))
    console.print()
    console.print(_callers(seen))
    console.print()
    _versions(console, tally, seen)
    for note in notes:
        console.print(note, soft_wrap=True)


def _requests(tally: Tally) -> str:
    by_version = ", ".join(f"version {number}: {count:,}" for number, count in sorted(tally.answered.items()))
    colour = "red" if tally.failed else "green"
    return (
        f"[bold]{tally.requests:,} requests[/bold], [{colour}]{tally.failed:,} failed[/{colour}]"
        f" ({by_version or 'none was answered'}); {tally.reported:,} truths reported"
    )


def _versions(console: Console, tally: Tally, seen: Monitored) -> None:
    for version in seen.versions:
        counts = f"{version.answers:,} answers, {version.labelled:,} truths"
        console.print(f"Version {version.number}: {escape(version.description)}; {counts}", soft_wrap=True)
    counted = sum(version.answers for version in seen.versions)
    if counted < tally.answered.total():
        console.print(
            f"[red]The monitor has only {counted:,} of the answers.[/red] Its log may say why", soft_wrap=True
        )


def _failures(console: Console, what: str, messages: Counter[str]) -> None:
    for message, count in messages.most_common(FAILURES_SHOWN):
        console.print(f"  [red]{count:,} {what}[/red]: {escape(message)}", soft_wrap=True)


def _latency(tally: Tally, seen: Monitored) -> Table:
    table = Table("latency", box=None, pad_edge=False)
    for share in ("p50", "p95", "p99"):
        table.add_column(f"{share} ms", justify="right")
    table.add_row(
        f"seen by the client, {IN_FLIGHT} in flight",
        *(_ms(tally.latency.quantile_ms(share)) for share in (0.5, 0.95, 0.99)),
    )
    table.add_row("in the server, from its spans", *map(_ms, (seen.p50_ms, seen.p95_ms, seen.p99_ms)))
    return table


def _quality(seen: Monitored) -> Table:
    table = Table("version", "metric", "promised by hold-out", "in practice", "promise", box=None, pad_edge=False)
    for version in seen.versions:
        first = str(version.number)
        for name, title in METRICS.items():
            if name in version.metrics:
                table.add_row(first, title, *_compared(version.metrics[name]))
                first = ""
    return table


def _callers(seen: Monitored) -> Table:
    table = Table("interface", "called by", box=None, pad_edge=False)
    for column in ("calls", "failed", "last answered by version"):
        table.add_column(column, justify="right")
    for caller in seen.callers:
        counts = f"{caller.calls:,}", f"{caller.failed:,}", str(caller.version)
        table.add_row(caller.interface, escape(caller.name), *counts)
    return table


def _compared(compared: Compared) -> tuple[str, str, str]:
    return _figure(compared.promise), _figure(compared.practice), VERDICTS.get(compared.verdict, compared.verdict)


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    interval = "" if figure.low is None or figure.high is None else f" [dim]({figure.low:.4f}–{figure.high:.4f})[/dim]"
    return f"{figure.value:.4f}{interval}"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
