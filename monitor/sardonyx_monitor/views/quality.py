"""How right a version was, over all of a window and in steps of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sardonyx_monitor.statistics import promise as promises
from sardonyx_monitor.statistics.quality import OF_CONFUSION, Confusion, Evidence, Figure, Sums, of_classes, of_values
from sardonyx_monitor.views import shapes
from sardonyx_monitor.views.traffic import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sardonyx_monitor.catalog import Version
    from sardonyx_monitor.store.reader import Query
    from sardonyx_monitor.views.window import Window

_WEIGHTED: Final = (
    "answered",
    "labelled",
    "unreadable",
    "correct",
    "log_loss",
    "log_loss_squares",
    "brier",
    "brier_squares",
    "absolute",
    "squares",
    "quartics",
)
#: The step of what is not in steps.
_WHOLE: Final = 0


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one version.

    Attributes:
        model: its model's name.
        number: of the version.
        version: what the registry says of it, if it does.
        window: the time of the predictions.
        route: only what came by it; empty for everything that a caller was answered.
    """

    model: str
    number: int
    version: Version | None
    window: Window
    route: str = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """For queries."""
        classes = list(self.version.classes) if self.version else []
        return self.window.parameters | {
            "model": self.model,
            "version": self.number,
            "route": self.route,
            "classes": classes,
            "binary": len(classes) == 2,
            "regression": self.version is not None and self.version.regression,
        }


def read_quality(query: Query, answers: Answers) -> shapes.Quality:
    """How right they were, over all of the window."""
    version = answers.version
    (row,) = _rows(query, answers, over_time=False)
    sums = _sums(row)
    figures = _figures(sums, version, _confusions(query, answers, over_time=False).get(_WHOLE))
    return shapes.Quality(
        answered=counted(sums.answered),
        labelled=counted(sums.labelled),
        coverage=sums.coverage,
        unreadable=counted(sums.unreadable),
        delay_s=None if row["delay_ns"] is None else max(0.0, row["delay_ns"] / 1e9),
        comparisons=_compare(figures, version),
    )


def read_quality_series(query: Query, answers: Answers, quality: shapes.Quality) -> shapes.QualitySeries:
    """The primary metric in steps, by the time of the prediction; ``quality`` is that of all of them."""
    comparison, window = to_look_at_first(quality, answers.version), answers.window
    rows = _rows(query, answers, over_time=True)
    confusions = _confusions(query, answers, over_time=True) if comparison.name in OF_CONFUSION else {}
    figures = [_figure(row, comparison.name, answers.version, confusions.get(row["step"])) for row in rows]
    settled_ns = window.until_ns - int((quality.delay_s or 0) * 1e9)
    return shapes.QualitySeries(
        version=answers.number,
        metric=comparison.name,
        promise=comparison.promise,
        time_ns=[window.time_of(row["step"]) for row in rows],
        value=[figure.value if figure else None for figure in figures],
        low=[figure.low if figure else None for figure in figures],
        high=[figure.high if figure else None for figure in figures],
        labelled=[counted(row["labelled"]) for row in rows],
        coverage=[row["labelled"] / row["answered"] for row in rows],
        mature=[window.since_ns + (row["step"] + 1) * window.step_ns <= settled_ns for row in rows],
    )


def to_look_at_first(quality: shapes.Quality, version: Version | None) -> shapes.Comparison:
    """The primary metric, if practice can know it; else the plainest one of the task."""
    wanted = "mae" if version is not None and version.regression else "accuracy"
    if quality.primary is not None and quality.primary.practice is not None:
        wanted = quality.primary.name
    nothing = shapes.Comparison(wanted, None, None, promises.Verdict.OPEN)
    return next((each for each in quality.comparisons if each.name == wanted), nothing)


def _compare(figures: Iterable[Figure], version: Version | None) -> list[shapes.Comparison]:
    """Every metric that practice or promise has, the primary one first if practice knows it."""
    practice = {figure.name: figure for figure in figures}
    promised = dict(version.metrics) if version else {}
    primary = version.primary if version else ""
    names = sorted({**practice, **promised}, key=lambda name: (name not in practice, name != primary))
    return [
        shapes.Comparison(
            name=name,
            practice=practice.get(name),
            promise=_promise(version, name) if version else None,
            verdict=promises.judge(practice.get(name), promised.get(name)),
        )
        for name in names
    ]


def _promise(version: Version, name: str) -> shapes.Promise | None:
    metric = version.metrics.get(name)
    if metric is None:
        return None
    return shapes.Promise(name, metric.value, metric.low, metric.high, version.holdout_rows, metric.higher_is_better)


def _figure(row: Mapping[str, Any], name: str, version: Version | None, confusion: Confusion | None) -> Figure | None:
    return next((figure for figure in _figures(_sums(row), version, confusion) if figure.name == name), None)


def _figures(sums: Sums, version: Version | None, confusion: Confusion | None = None) -> list[Figure]:
    """What is known of a version; of one that the registry does not hold, whatever its answers are."""
    if version is None:
        return of_classes(sums) + of_values(sums)
    return of_values(sums) if version.regression else of_classes(sums, confusion)


def _rows(query: Query, answers: Answers, *, over_time: bool) -> list[dict[str, Any]]:
    return query.rows(
        "quality",
        answers.parameters,
        over_time=over_time,
        of_route=bool(answers.route),
        sampled=answers.window.sampled,
    )


def _confusions(query: Query, answers: Answers, *, over_time: bool) -> dict[int, Confusion]:
    """By step, or the one of the whole; none where the classes are not known."""
    parameters = answers.parameters
    size = len(parameters["classes"])
    if not size:
        return {}
    confusions: dict[int, Confusion] = {}
    for row in query.rows("confusion", parameters, of_route=bool(answers.route), over_time=over_time):
        step = row["step"] if over_time else _WHOLE
        weights, seen = confusions.get(step) or Confusion(np.zeros((size, size)), 0)
        weights[row["truth"] - 1, row["chosen"] - 1] = row["weight"]
        confusions[step] = Confusion(weights, seen + row["row_count"])
    return confusions


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(
        **{name: row[name] for name in _WEIGHTED},
        readable=_evidence(row, "readable"),
        scored=_evidence(row, "scored"),
        measured=_evidence(row, "measured"),
    )


def _evidence(row: Mapping[str, Any], name: str) -> Evidence:
    return Evidence(row[f"{name}_rows"], row[f"{name}_weight"], row[f"{name}_squares"])
