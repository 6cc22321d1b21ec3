"""``sardonyx-server check``: loads and proves what a server would serve, and says of each version how it went."""

from __future__ import annotations

import time
from concurrent.futures import wait
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from sardonyx.errors import SardonyxError
from sardonyx.registry import Log, Registry
from sardonyx_server import apart
from sardonyx_server.bounds import Bounds
from sardonyx_server.life.golden import rows_of
from sardonyx_server.life.loader import LoadFailed, given_up, load
from sardonyx_server.life.session import Runtime, Stop
from sardonyx_server.life.states import State
from sardonyx_server.typed import proof

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sardonyx.registry.routes import Routes
    from sardonyx_server.config import Config
    from sardonyx_server.life.loader import Loaded

_HEADINGS: Final = ("model", "version", "route", "state", "golden rows", "one row", "loaded in", "service", "reason")
_RIGHT: Final = frozenset({"version", "golden rows", "one row", "loaded in"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of one version.

    Attributes:
        model: its model.
        version: its number.
        routes: what leads to it: live, canary 5 %, shadow 10 %.
        state: ready, or failed.
        golden_rows: how many rows proved it; 0 where none did.
        one_row_us: what one row costs on this host, microseconds.
        load_ms: how long it took until it was ready, milliseconds.
        service: its own one, which reads the golden rows as the Open Inference Protocol does; empty: it has none.
        reason: why it failed, and what to do.
    """

    model: str
    version: int
    routes: Sequence[str]
    state: str
    golden_rows: int = 0
    one_row_us: float = 0.0
    load_ms: float = 0.0
    service: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found.

    Attributes:
        registry: where it looked.
        versions: every version that some route leads to.
        problems: what is wrong beyond single versions, each a sentence.
    """

    registry: str
    versions: Sequence[Checked]
    problems: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether a server would serve all of it."""
        return not self.problems and all(version.state == _name(State.READY) for version in self.versions)

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def check_registry(config: Config, progress: Callable[[str], None]) -> Report:
    """Load every version that a server of this configuration would serve, one after the other, and let it go again.

    Args:
        config: the server's.
        progress: told what is done next, a line each.

    Raises:
        RegistryError: the registry cannot be opened or listed.
    """
    registry = Registry(config.registry)
    routes, problems = _read(registry, config.models)
    checked: list[Checked] = []
    for model, led in routes.items():
        for version, names in led.items():
            progress(f"{model} {version} ({', '.join(names)}) …")
            checked.append(_check(registry, model, version, names, config))
    return Report(registry.location, checked, problems)


def shown(report: Report) -> str:
    """The report for people: a table, then what is wrong, then the verdict."""
    lines = [*_table(report.versions), *report.problems] if report.versions else list(report.problems)
    failed = sum(version.state != _name(State.READY) for version in report.versions)
    if not report.versions and report.passed:
        lines.append(f"Nothing is live in {report.registry}: a server would start and wait. Promote a version.")
    elif failed:
        lines.append(click.style(f"Of {_counted(len(report.versions))} {failed} would not serve.", fg="red"))
    elif report.passed:
        lines.append(click.style(f"{_counted(len(report.versions))}: all would serve.", fg="green"))
    return "\n".join(lines)


def _read(registry: Registry, only: Sequence[str]) -> tuple[dict[str, dict[int, list[str]]], list[str]]:
    """By model and version, the routes that lead there; and why some model's cannot be read.

    Args:
        registry: where to look.
        only: the models that are asked for; none: all of them.
    """
    found: dict[str, dict[int, list[str]]] = {}
    models = registry.models()
    problems = [f"There is no model {name!r} in {registry.location}." for name in only if name not in models]
    for model in models:
        if only and model not in only:
            continue
        try:
            found[model] = _led(registry.routes(model))
        except SardonyxError as error:
            problems.append(error.message)
    return found, problems


def _led(routes: Routes) -> dict[int, list[str]]:
    """The routes by the version that they lead to: a version that two lead to is loaded once."""
    led: dict[int, list[str]] = {}
    for _, state in sorted(routes.majors.items()):
        led.setdefault(state.live, []).append("live")
        for name, share in (("canary", state.canary), ("shadow", state.shadow)):
            if share is not None:
                led.setdefault(share.version, []).append(f"{name} {share.percent:g} %")
    return led


def _check(registry: Registry, model: str, version: int, routes: Sequence[str], config: Config) -> Checked:
    bounds = Bounds(config.queue_rows_max, config.text_bytes_max)
    started = time.perf_counter()
    try:
        loaded = _loaded(registry, model, version, config)
        took_ms = (time.perf_counter() - started) * 1e3
        if loaded.typed is not None:
            proof.prove(loaded, loaded.typed, bounds)
    except (LoadFailed, proof.ServiceDiffers) as error:
        return Checked(model, version, routes, _name(State.FAILED), reason=str(error))
    return Checked(
        *(model, version, routes, _name(State.READY), rows_of(loaded.manifest)),
        one_row_us=round(loaded.cost.of(1) * 1e6, 1),
        load_ms=round(took_ms, 1),
        service=loaded.typed.name if loaded.typed else "",
    )


def _loaded(registry: Registry, model: str, version: int, config: Config) -> Loaded:
    """A version, loaded as a server does it, and given up when a server would.

    Raises:
        LoadFailed: a step failed, or did not come to its end.
    """
    states, stop = [State.LOADING], Stop()
    work = partial(
        load,
        *(registry, model, version),
        known=Log(),
        runtime=Runtime(config.onnx_threads, config.providers),
        enter=states.append,
        stop=stop,
    )
    loading = apart.begin(work, f"load {model} {version}")
    if not wait((loading,), config.load_timeout_s).done:
        stop.tell()
        raise given_up(states[-1], config.load_timeout_s)
    return loading.result()


def _counted(versions: int) -> str:
    return "1 version" if versions == 1 else f"{versions} versions"


def _name(state: State) -> str:
    return state.name.lower()


def _table(versions: Iterable[Checked]) -> list[str]:
    rows = [dict(zip(_HEADINGS, _HEADINGS, strict=True)), *(_cells(version) for version in versions)]
    widths = {heading: max(len(row[heading]) for row in rows) for heading in _HEADINGS}
    return [_line(row, widths) for row in rows]


def _cells(version: Checked) -> dict[str, str]:
    ready = version.state == _name(State.READY)
    times = (f"{version.one_row_us:,.0f} µs", f"{version.load_ms:,.0f} ms")
    figures = (f"{version.golden_rows}", *times, version.service)
    named = (version.model, str(version.version), ", ".join(version.routes), version.state)
    return dict(zip(_HEADINGS, (*named, *(figures if ready else ("",) * len(figures)), version.reason), strict=True))


def _line(row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    cells = [
        row[heading].rjust(widths[heading]) if heading in _RIGHT else row[heading].ljust(widths[heading])
        for heading in _HEADINGS
    ]
    return "  ".join(cells).rstrip()
