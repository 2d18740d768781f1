"""The main application: search pages and the API. `serve` runs it and the replay origin in one process."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware

from healtharchive import __version__
from healtharchive.errors import HealthArchiveError, NotFound, StorageUnavailable, UsageError
from healtharchive.instance import Instance
from healtharchive.web import api, public, security, serving
from healtharchive.web.reading import Reading

RETRY_SECONDS = 120
_log = logging.getLogger(__name__)


def create_app(instance: Instance, *, origins: serving.Origins | None = None) -> FastAPI:
    """Search, histories, details and `/api/v1` of one instance. `origins` says where readers reach both, else the settings."""
    app = FastAPI(
        title=f"{instance.settings.web.archive_name} API",
        version=__version__,
        description="Dated copies of public websites: sources, search, captures, records. Read only, no key.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # the framework's pages load scripts from elsewhere; ours is /en/data
        redoc_url=None,
    )
    reading = Reading(instance)
    renderer = public.Renderer(reading, origins or serving.Origins.of(instance.settings.web))
    app.include_router(api.routes(reading, renderer.origins), prefix="/api/v1")
    app.include_router(public.routes(renderer))
    _answer_errors(app, renderer)
    app.add_middleware(GZipMiddleware, minimum_size=1000)
    app.add_middleware(security.HeadAsGet)
    app.add_middleware(security.Headers, headers=security.MAIN)
    app.add_middleware(security.KnownHost)
    return app


def _answer_errors(app: FastAPI, renderer: public.Renderer) -> None:
    """Every error in the shape of who asked: a page in the reader's language, or the API's one object."""

    def answer(request: Request, problem: api.Problem) -> Response:
        headers = {"Retry-After": str(RETRY_SECONDS)} if problem.status == 503 else None
        if request.url.path.startswith("/api/"):
            return problem.response(headers)
        page = renderer.error(request, problem.status)
        page.headers.update(headers or {})
        return page

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        response = answer(request, api.Problem.of_status(error.status_code, str(error.detail)))
        response.headers.update(error.headers or {})  # Allow, which a 405 must have
        return response

    def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if not request.url.path.startswith("/api/"):
            return answer(request, api.Problem.of_status(404))
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return answer(request, api.Problem("invalid_parameter", 400, f"Parameter {where}: {first['msg']}."))

    def on_ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, HealthArchiveError)
        problem = api.Problem.of_error(error)
        if problem.status >= 500:
            _log.warning("web.%s path=%s error=%s", problem.code, request.url.path, error)
        return answer(request, problem)

    def on_bug(request: Request, error: Exception) -> Response:
        _log.error("web.failed path=%s", request.url.path, exc_info=error)
        response = answer(request, api.Problem.of_status(500))
        response.headers.update(security.MAIN)  # answered outside of all middleware
        return response

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    for kind in (HealthArchiveError, NotFound, StorageUnavailable, UsageError):
        app.add_exception_handler(kind, on_ours)
    app.add_exception_handler(Exception, on_bug)
