"""What goes wrong, as a page for people and as JSON below /api."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from grpc import StatusCode
from starlette.exceptions import HTTPException

from sardonyx import status
from sardonyx.errors import NotFound, SardonyxError, Unavailable
from sardonyx.guard import to_internal
from sardonyx_monitor.log import LOG
from sardonyx_monitor.web.api import to_json
from sardonyx_monitor.web.templates import render

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

#: google.rpc's own mapping to HTTP (google/rpc/code.proto), for the codes that views can raise.
HTTP_STATUS: Final = {
    StatusCode.INVALID_ARGUMENT: 400,
    StatusCode.NOT_FOUND: 404,
    StatusCode.UNAVAILABLE: 503,
    StatusCode.INTERNAL: 500,
}


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, SardonyxError)  # noqa: S101 - registered for these alone
    return _answer(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these alone
    if error.status_code == 404:
        return _answer(request, NotFound(f"There is no page at {request.url.path!r}. Start at /."))
    return _write(request, error.status_code, error.detail, error.detail, error.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    return _answer(request, to_internal(error, LOG))


#: For Starlette.
HANDLERS: Final[Mapping[Any, Any]] = {SardonyxError: _known, HTTPException: _http, Exception: _unexpected}


def _answer(request: Request, error: SardonyxError) -> Response:
    code = status.code_of(error)
    wait = {"retry-after": str(math.ceil(error.retry_after_s))} if isinstance(error, Unavailable) else {}
    return _write(request, HTTP_STATUS.get(code, 500), code.name, error.message, wait)


def _write(request: Request, status_code: int, code: str, message: str, headers: Mapping[str, str] | None) -> Response:
    if request.url.path.startswith("/api/"):
        return to_json({"error": {"code": code, "message": message}}, status_code, headers)
    return render("error.html", status_code, headers, code=code, message=message, section="")
