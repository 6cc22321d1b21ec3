"""The pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from sardonyx_monitor.views.search import ROUTES
from sardonyx_monitor.views.window import DEFAULT, WINDOWS
from sardonyx_monitor.web.templates import render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sardonyx_monitor.views.views import Views


class Pages:
    """One method a page.

    Args:
        views: what is shown.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    async def models(self, request: Request) -> Response:
        """All models."""
        page = await self._views.models(request.query_params)
        return render("models.html", page=page, windows=WINDOWS, section="models")

    async def model(self, request: Request) -> Response:
        """One model over time."""
        page = await self._views.model(request.path_params["name"], request.query_params)
        return render("model.html", page=page, windows=WINDOWS, section="models")

    async def traces(self, request: Request) -> Response:
        """The search; the id of a stored trace leads to it at once."""
        page = await self._views.traces(request.query_params)
        trace_id = page.search["text"].lower()
        if trace_id in [each.trace_id for each in page.traces]:
            return RedirectResponse(f"/traces/{trace_id}", status_code=303)
        chosen = request.query_params.get("window") or DEFAULT
        return render("traces.html", page=page, windows=WINDOWS, routes=ROUTES, window=chosen, section="traces")

    async def trace(self, request: Request) -> Response:
        """One trace as a waterfall."""
        return render("trace.html", page=await self._views.trace(request.path_params["trace_id"]), section="traces")

    async def health(self, _request: Request) -> Response:
        """The monitor about itself."""
        return render("health.html", page=await self._views.health(), section="health")
