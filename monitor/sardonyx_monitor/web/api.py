"""Everything that a page shows, as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from sardonyx_monitor.views.views import Views


class Api:
    """One method an address; each takes the same query as its page.

    Args:
        views: what is shown.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    async def models(self, request: Request) -> Response:
        """All models: shapes.ModelsPage."""
        return to_json(await self._views.models(request.query_params))

    async def model(self, request: Request) -> Response:
        """One model: shapes.ModelPage."""
        return to_json(await self._views.model(request.path_params["name"], request.query_params))

    async def inputs(self, request: Request) -> Response:
        """The newest captured rows of one model: inputs.InputsPage."""
        return to_json(await self._views.inputs(request.path_params["name"], request.query_params))

    async def callers(self, request: Request) -> Response:
        """Who calls which interface of one model: shapes.CallersPage."""
        return to_json(await self._views.callers(request.path_params["name"], request.query_params))

    async def traces(self, request: Request) -> Response:
        """A search: trace_shapes.TracesPage."""
        return to_json(await self._views.traces(request.query_params))

    async def trace(self, request: Request) -> Response:
        """One trace: trace_shapes.TracePage."""
        return to_json(await self._views.trace(request.path_params["trace_id"]))

    async def health(self, _request: Request) -> Response:
        """The monitor about itself: health.HealthPage."""
        return to_json(await self._views.health())


def to_json(view: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer in JSON."""
    text = json.dumps(plain(view), allow_nan=False, ensure_ascii=False)
    return Response(text, status_code, dict(headers or {}) | {"cache-control": "no-store"}, "application/json")


def plain(value: Any, name: str = "") -> Any:
    """A view as JSON has it.

    A field whose name ends in ``_ns`` is a time: it becomes text (ISO 8601, UTC), under the name without the ending,
    because JSON's readers have no 64-bit integers. NaN becomes null.
    """
    if is_dataclass(value):
        return {each.name.removesuffix("_ns"): plain(getattr(value, each.name), each.name) for each in fields(value)}
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, name) for each in value]
    if isinstance(value, int) and name.endswith("_ns"):
        return iso(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def iso(time_ns: int) -> str:
    """Nanoseconds since 1970 as ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(time_ns, 10**9)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
