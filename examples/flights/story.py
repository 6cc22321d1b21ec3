"""The demo from its first line to its summary."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from flights import summary
from flights.callers import OLD_CALLER
from flights.data import load
from flights.folder import FolderRefused, emptied
from flights.live import Life, Setting
from flights.monitored import read_settled
from flights.processes import Child, ChildFailed, beside
from flights.replay import Tally
from flights.screen import Screen
from flights.train import MODEL, PRIMARY, train_all
from sardonyx.errors import RuleBroken
from sardonyx_exporter import promote, retire_major

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    import pandas as pd

    from flights.train import Candidate

#: Two everywhere, so that the demo is the same on every machine.
WORKERS: Final = 2
#: How soon the server sees that another version was promoted.
POLL_INTERVAL_S: Final = 0.25


def tell(options: Namespace) -> tuple[bool, bool]:
    """All of it: whether it came to its end, and whether all went well.

    Raises:
        KeyboardInterrupt: it was ended before there was anything to sum up.
    """
    screen = Screen()
    try:
        with emptied(options.folder) as folder:
            with screen.working("Reading the flights that left New York in 2013"):
                flights = load(options.sample)
            return _serve(options, screen, folder, flights, _choose(screen, flights, folder / "registry"))
    except (ChildFailed, FolderRefused, OSError) as error:
        screen.fail(str(error))
        return False, False


def _choose(screen: Screen, flights: pd.DataFrame, registry: Path) -> tuple[Candidate, Candidate]:
    """Train and export both candidates, promote the better one, which is the first."""
    with screen.working("Training two candidates on January and February, exporting them with March held out"):
        best, other = train_all(flights, registry)
    for candidate in (best, other):
        screen.note(summary.of_candidate(candidate))
    promote(MODEL, best.result.version, registry=str(registry), reason=f"the better {PRIMARY} on March")
    screen.say(summary.of_choice(best, other))
    return best, other


def _serve(
    options: Namespace, screen: Screen, folder: Path, flights: pd.DataFrame, candidates: tuple[Candidate, Candidate]
) -> tuple[bool, bool]:
    """Start the monitor and the server, let the model live, sum up; both have ended when this returns."""
    registry = folder / "registry"
    with ExitStack() as children:
        monitor = children.enter_context(_monitor(options, folder, registry))
        otlp, page = monitor.wait_for(r"otlp on (\S+)\n"), monitor.wait_for(r"page on (\S+)\n")
        server = children.enter_context(_server(options, folder, registry, otlp))
        address = server.wait_for(r"listening on (\S+)\n")
        screen.say(f"The server answers on {address}. [bold]The monitor's page: [cyan]{page}[/cyan][/bold]")
        setting = Setting(
            folder=folder,
            registry=registry,
            flights=flights,
            share=options.sample,
            kind=candidates[0].kind,
            rate=options.rate,
            server=server,
            workers=WORKERS,
            address=address,
            otlp=otlp,
        )
        tally = Tally()
        life = Life(setting, screen, tally)
        finished = _live(life, options, monitor, server)
        with screen.working("Summing up" if finished else "Stopped; summing up"):
            seen = read_settled(page, MODEL, tally.answered.total(), tally.reported)
        notes = [summary.of_choice(*candidates), summary.of_months(flights)]
        refusal = _try_to_retire(registry, page) if life.weathered else ""
        if refusal:
            notes.append(summary.of_refusal(refusal))
        summary.show(screen.console, tally, seen, [*notes, summary.of_page(page, once=options.once)])
        with screen.working("Ending the server and the monitor"):
            children.close()
    expected = {candidates[0].result.version, life.retrained, life.weathered} if finished else set()
    well = _well(screen, tally, expected)
    if life.weathered and OLD_CALLER not in refusal:
        screen.fail(f"The refusal to retire v1 was to name {OLD_CALLER}, who calls it.")
        well = False
    return finished, well


def _try_to_retire(registry: Path, page: str) -> str:
    """Try to retire the interface that is still called; why that is refused, or nothing where it is not."""
    try:
        retire_major(MODEL, 1, registry=str(registry), monitor=page)
    except RuleBroken as refused:
        return str(refused)
    return ""


def _well(screen: Screen, tally: Tally, versions: set[int | None]) -> bool:
    """Whether every request and every report was taken, and each of these versions answered some."""
    silent = versions - tally.answered.keys()
    if silent:
        screen.fail(f"Version {', '.join(map(str, silent))} answered nothing.")
    if tally.failed or tally.unreported:
        screen.fail("Not every request was answered, or not every truth was taken: see above.")
    return not (silent or tally.failed or tally.unreported)


def _live(life: Life, options: Namespace, *children: Child) -> bool:
    """Whether it came to its end, and was not ended by Ctrl-C."""
    try:
        asyncio.run(beside(life.live(once=options.once), *children))
    except KeyboardInterrupt:
        return False
    return True


def _monitor(options: Namespace, folder: Path, registry: Path) -> Child:
    addresses = ("--otlp", f"127.0.0.1:{options.otlp_port}", "--web", f"127.0.0.1:{options.web_port}")
    arguments = ("--registry", registry, "--data", folder / "monitor", *addresses)
    return Child("sardonyx_monitor", *arguments, logs=folder)


def _server(options: Namespace, folder: Path, registry: Path, otlp: str) -> Child:
    arguments = (
        *("--registry", registry, "--listen", f"127.0.0.1:{options.server_port}"),
        *("--otlp-endpoint", f"http://{otlp}", "--workers", WORKERS, "--poll-interval-s", POLL_INTERVAL_S),
    )
    return Child("sardonyx_server", *arguments, logs=folder)
