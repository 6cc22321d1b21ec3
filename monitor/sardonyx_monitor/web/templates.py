"""Templates, and how they write numbers and times."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from sardonyx_monitor.statistics.promise import ROWS_MIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from sardonyx_monitor.views.shapes import Comparison

#: Where a figure is not known.
NOTHING: Final = "–"
_SHARES: Final = frozenset({"accuracy", "balanced_accuracy"})
_NAMES: Final = {
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}


def render(template: str, status_code: int = 200, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
    """A page."""
    text = _TEMPLATES.get_template(template).render(now_ns=time.time_ns(), **values)
    return HTMLResponse(text, status_code, dict(headers or {}) | {"cache-control": "no-store"})


def count(value: float | None) -> str:
    """1234567 as 1,234,567."""
    return NOTHING if value is None else f"{value:,.0f}"


def rate(value: float) -> str:
    """Requests a second, with three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def number(value: float) -> str:
    """A number as short as it can be said: 5, 12.5, 0.0013."""
    return f"{value:.4g}"


def shown(value: Any) -> str:
    """A captured value: text as it is, numbers short, lists with commas; nothing where there is none."""
    if isinstance(value, list):
        return ", ".join(shown(each) for each in value)
    if value is None:
        return NOTHING
    return number(value) if isinstance(value, float) else str(value)


def ms(value: float | None) -> str:
    """Milliseconds with three digits."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage; never rounded to all or nothing where it is neither."""
    if share is None or math.isnan(share):
        return NOTHING
    least = 10 ** -(digits + 2)
    if 0 < share < least:
        return f"<{100 * least:.{digits}f} %"
    if 1 - least < share < 1:
        return f">{100 * (1 - least):.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def metric(value: float, name: str) -> str:
    """A metric's value: shares as percentages."""
    if math.isnan(value):
        return NOTHING
    return f"{100 * value:.1f} %" if name in _SHARES else f"{value:.4g}"


def metric_name(name: str) -> str:
    """A metric's name for people."""
    return _NAMES.get(name, name)


def seconds(value: float | None) -> str:
    """A span of time in the largest unit that leaves a number above one."""
    if value is None:
        return NOTHING
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:.1f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def moment(time_ns: int | None) -> str:
    """A time in UTC, to the second."""
    return NOTHING if time_ns is None else datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


class Strip(NamedTuple):
    """Two intervals on one scale, in percent of its width: [start, width] each, and where practice stands."""

    promise: tuple[float, float]
    practice: tuple[float, float]
    practice_at: float


def strip(comparison: Comparison) -> Strip | None:
    """Practice beside promise, drawn; None where either has no interval."""
    practice, promise = comparison.practice, comparison.promise
    if practice is None or promise is None or math.isnan(practice.low):
        return None
    low, high = min(practice.low, promise.low), max(practice.high, promise.high)
    margin = (high - low) * 0.15 or 0.01
    low, width = low - margin, high - low + 2 * margin

    def at(value: float) -> float:
        return round(100 * (value - low) / width, 2)

    return Strip(
        promise=(at(promise.low), round(at(promise.high) - at(promise.low), 2)),
        practice=(at(practice.low), round(at(practice.high) - at(practice.low), 2)),
        practice_at=at(practice.value),
    )


_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["ROWS_MIN"] = ROWS_MIN
_TEMPLATES.filters |= {
    each.__name__: each
    for each in (count, rate, number, shown, ms, percent, metric, metric_name, seconds, moment, strip)
}
