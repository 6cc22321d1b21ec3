"""What was found: tables for people, JSON for scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from soak.acts import ACTS
from soak.faults import FAULTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from soak.disturbance import Struck
    from soak.ledger import Ledger
    from soak.memory import Life
    from soak.verdicts import Verdict

_PERCENTILES: Final = (50, 90, 99, 99.9)


class Report(NamedTuple):
    """Everything that a soak found.

    Attributes:
        seed: of everything that was drawn.
        repeat: the command that draws the same again.
        seconds: how long callers called.
        ledger: what they saw.
        struck: what disturbed them.
        lives: the memory of each process.
        monitor: the monitor's figures.
        verdicts: the promises.
        told: the first violations, in words.
    """

    seed: int
    repeat: str
    seconds: float
    ledger: Ledger
    struck: Sequence[Struck]
    lives: Sequence[Life]
    monitor: dict[str, Any]
    verdicts: Sequence[Verdict]
    told: Sequence[str]

    @property
    def held(self) -> bool:
        """Whether every promise did."""
        return all(verdict.held for verdict in self.verdicts)

    def as_data(self) -> dict[str, Any]:
        """For scripts."""
        ledger = self.ledger
        return {
            "held": self.held,
            "seed": self.seed,
            "repeat": self.repeat,
            "seconds": round(self.seconds, 1),
            "requests": len(ledger.ends),
            "answers": [
                {"model": model, "version": version, "route": route, "count": count}
                for (model, version, route), count in sorted(ledger.answers.items())
            ],
            "failures": [
                {"caller": caller, "code": code, "cause": cause or None, "count": count}
                for (caller, code, cause), count in sorted(ledger.failures.items())
            ],
            "latencies_ms": [
                {"caller": caller, "model": model, "count": len(taken), **_percentiles(taken)}
                for (caller, model), taken in sorted(ledger.latencies_ms.items())
            ],
            "disturbances": [
                {
                    "name": each.name,
                    "began_s": round(each.began_s, 1),
                    "ended_s": round(each.ended_s, 1),
                    "answers": each.answers,
                    "failures": [
                        {"code": code, "cause": cause or None, "count": count}
                        for (code, cause), count in sorted(each.failures.items())
                    ],
                }
                for each in self.struck
            ],
            "memory": [life._asdict() for life in self.lives],
            "monitor": self.monitor,
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
            "violations": list(self.told),
        }

    def show(self, console: Console) -> None:
        """For people."""
        for table in (_disturbances(self.struck), _failures(self.ledger), _answers(self.ledger)):
            console.print(table)
        for table in (_latencies(self.ledger), _memory(self.lives), _verdicts(self.verdicts)):
            console.print(table)
        requests = len(self.ledger.ends)
        rate = requests / self.seconds if self.seconds else 0.0
        console.print(f"{requests:,} requests in {self.seconds:.0f} s ({rate:,.0f} a second), seed {self.seed}")
        if not self.held:
            for line in self.told:
                console.print(Text(line, style="red"), soft_wrap=True)
            console.print(f"Repeat it with: {self.repeat}", soft_wrap=True)


def _percentiles(taken: Sequence[float]) -> dict[str, float]:
    values = np.percentile(np.asarray(taken), _PERCENTILES)
    return {f"p{name:g}": round(float(value), 2) for name, value in zip(_PERCENTILES, values, strict=True)}


def _table(title: str, *headings: str, right: Sequence[str] = ()) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in right else "left")
    return table


def _disturbances(struck: Sequence[Struck]) -> Table:
    table = _table(
        "faults and acts: what callers saw while they lasted, the wait for the registry included",
        *("what", "how", "times", "seconds", "answers", "failures"),
        right=("times", "seconds", "answers"),
    )
    by_name: defaultdict[str, list[Struck]] = defaultdict(list)
    for each in struck:
        by_name[each.name].append(each)
    for kind in (*FAULTS, *ACTS):
        lasted = by_name[kind.name]
        failures: Counter[tuple[str, str]] = Counter()
        for each in lasted:
            failures.update(each.failures)
        seconds = sum(each.ended_s - each.began_s for each in lasted)
        seen = ", ".join(
            f"{count:,} {code} ({cause or 'NOT ALLOWED'})" for (code, cause), count in failures.most_common()
        )
        answers = sum(each.answers for each in lasted)
        table.add_row(kind.name, kind.meaning, str(len(lasted)), f"{seconds:.0f}", f"{answers:,}", seen or "none")
    return table


def _failures(ledger: Ledger) -> Table:
    table = _table("failures by caller", "caller", "code", "cause", "count", right=("count",))
    for (caller, code, cause), count in sorted(ledger.failures.items()):
        table.add_row(caller, code, cause or Text("not allowed", "red"), f"{count:,}")
    return table


def _answers(ledger: Ledger) -> Table:
    table = _table("answers by version and route", "model", "route", "versions", "answers", right=("answers",))
    routes: defaultdict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for (model, version, route), count in ledger.answers.items():
        routes[model, route][version] = count
    for (model, route), counts in sorted(routes.items()):
        shown = ", ".join(f"{version}: {count:,}" for version, count in sorted(counts.items()))
        table.add_row(model, route, shown, f"{sum(counts.values()):,}")
    return table


def _latencies(ledger: Ledger) -> Table:
    names = [f"p{name:g}" for name in _PERCENTILES]
    table = _table("latency of answers, ms", "caller", "model", "answers", *names, right=("answers", *names))
    for (caller, model), taken in sorted(ledger.latencies_ms.items()):
        table.add_row(caller, model, f"{len(taken):,}", *(f"{value:,.1f}" for value in _percentiles(taken).values()))
    return table


def _memory(lives: Sequence[Life]) -> Table:
    numbers = ("watched s", "first MiB", "last MiB", "peak MiB", "MiB a minute")
    table = _table("memory: the two longest lives of each kind", "process", *numbers, right=numbers)
    shown: Counter[str] = Counter()
    for life in lives:
        shown[life.kind] += 1
        if shown[life.kind] <= 2:
            slope = "–" if life.mib_per_minute is None else f"{life.mib_per_minute:+.2f}"
            sizes = (f"{value:.1f}" for value in (life.first_mib, life.last_mib, life.peak_mib))
            table.add_row(life.kind, f"{life.seconds:.0f}", *sizes, slope)
    return table


def _verdicts(verdicts: Sequence[Verdict]) -> Table:
    table = _table("promises", "promise", "", "by")
    for verdict in verdicts:
        word = Text("held", "green") if verdict.held else Text("BROKEN", "red")
        table.add_row(verdict.promise, word, verdict.detail)
    return table
