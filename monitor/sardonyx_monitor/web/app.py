"""The routes: pages for people, the same values below /api for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import plotly
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sardonyx_monitor.web.api import Api
from sardonyx_monitor.web.failures import HANDLERS
from sardonyx_monitor.web.headers import SecurityHeaders
from sardonyx_monitor.web.pages import Pages

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from sardonyx_monitor.views.views import Views

_STATIC: Final = Path(__file__).parent / "static"
#: The charts' library comes with its Python package: nothing is loaded from elsewhere.
_PLOTLY: Final = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
_DAY_S: Final = 86_400


def build(views: Views) -> Starlette:
    """The web application over the views."""
    pages, api = Pages(views), Api(views)
    return Starlette(
        routes=[
            Route("/", pages.models),
            Route("/models/{name}", pages.model),
            Route("/traces", pages.traces),
            Route("/traces/{trace_id}", pages.trace),
            Route("/health", pages.health),
            Route("/api/models", api.models),
            Route("/api/models/{name}", api.model),
            Route("/api/models/{name}/inputs", api.inputs),
            Route("/api/models/{name}/callers", api.callers),
            Route("/api/traces", api.traces),
            Route("/api/traces/{trace_id}", api.trace),
            Route("/api/health", api.health),
            Route("/static/plotly.min.js", _plotly),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders), Middleware(GZipMiddleware)],
        exception_handlers=HANDLERS,
    )


async def _plotly(_request: Request) -> Response:
    return FileResponse(_PLOTLY, headers={"cache-control": f"max-age={_DAY_S}"})
