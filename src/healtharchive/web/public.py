"""The pages that a reader sees: search, history, one copy's details, sources. Server-rendered, no script, no cookie."""

from __future__ import annotations

import logging
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.datastructures import QueryParams

from healtharchive.access import replay
from healtharchive.errors import HealthArchiveError, NotFound
from healtharchive.warc import urls
from healtharchive.web import pages, results, serving
from healtharchive.web.i18n import Code, words
from healtharchive.web.reading import Overview, Reading

HISTORY_MAX: Final = 2_000
"""Captures that one history page lists."""

_VALUES_MAX: Final = 20
_log = logging.getLogger(__name__)

Language = Literal["en", "fr"]


class Renderer:
    """Puts a page's own values together with what every page shows."""

    def __init__(self, reading: Reading, origins: serving.Origins) -> None:
        self.reading = reading
        self.origins = origins

    def page(
        self, request: Request, template: str, code: Code, *, status: int = 200, active: str = "", **values: Any
    ) -> HTMLResponse:
        context = {
            "w": words(code),
            "links": self.origins.links(request),
            "archive": self.reading.archive_name,
            "other_url": pages.other_language(request.url.path, request.url.query, code),
            "active": active,
            "status": status,
            **values,
        }
        return HTMLResponse(serving.render(template, context), status, {"Content-Language": code})

    def error(self, request: Request, status: int, text: str = "") -> HTMLResponse:
        """An error page in the reader's language; `text` where ours says more than the general one."""
        code = serving.language_of(request)
        w = words(code)
        known = status if status in (400, 404, 500, 503) else 400 if status < 500 else 500
        shown = text or (w(f"error.{known}") if known != 400 else "")
        return self.page(request, "error.html", code, status=status, heading=w(f"error.{known}_heading"), text=shown)


def routes(renderer: Renderer) -> APIRouter:
    """Every public page, under `/en/` and `/fr/`."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    reading = renderer.reading

    @router.get("/")
    def choose_language(request: Request) -> Response:
        code = serving.language_of(request)
        return RedirectResponse(f"/{code}/", 302, {"Vary": "Accept-Language", "Cache-Control": "private, max-age=0"})

    @router.get("/{code}")
    def add_slash(code: Language) -> Response:
        return RedirectResponse(f"/{code}/", 308)

    @router.get("/{code}/")
    def home(request: Request, code: Language) -> Response:
        return renderer.page(request, "home.html", code, active="search", overview=reading.overview())

    @router.get("/{code}/search")
    def search(request: Request, code: Language) -> Response:
        form = form_of(request.query_params)
        if not form.is_asked:
            return renderer.page(request, "search.html", code, active="search", form=form, view=None, unavailable=False)
        overview = reading.overview()
        try:
            found = reading.search(form.query(), limit=results.PAGE_HITS, offset=(form.page - 1) * results.PAGE_HITS)
        except HealthArchiveError as error:
            _log.warning("search.unavailable error=%s", error)
            return renderer.page(request, "search.html", code, status=503, form=form, view=None, unavailable=True)
        view = results.search_view(form, found, words=words(code), links=renderer.origins.links(request), overview=overview)
        return renderer.page(request, "search.html", code, active="search", form=form, view=view, unavailable=False)

    @router.get("/{code}/history")
    def history(
        request: Request,
        code: Language,
        url: Annotated[str, Query(max_length=urls.URL_BYTES_MAX)] = "",
        source: Annotated[str, Query(max_length=100)] = "",
    ) -> Response:
        overview = reading.overview()
        wanted = replay.complete_url(url)
        if wanted is None:
            return _no_history(request, code, overview, typed=url)
        found = reading.history(wanted, source=source or None, limit=HISTORY_MAX)
        if not found.captures:
            return _no_history(request, code, overview, typed=url, wanted=wanted)
        view = pages.history_view(
            found.url, found.captures, total=found.total, words=words(code), links=renderer.origins.links(request)
        )
        return renderer.page(request, "history.html", code, view=view, url=found.url, typed=url, overview=overview)

    def _no_history(request: Request, code: Code, overview: Overview, *, typed: str, wanted: str = "") -> Response:
        status = 404 if wanted else 400 if typed else 200
        host = urls.split(wanted).host if wanted else ""
        return renderer.page(
            request, "history.html", code, status=status, view=None, url=wanted, host=host, typed=typed, overview=overview
        )

    @router.get("/{code}/snapshot/{capture_id}")
    def snapshot(request: Request, code: Language, capture_id: int) -> Response:
        try:
            capture = reading.capture(capture_id)
        except NotFound:
            return renderer.error(request, 404)
        view = pages.snapshot_view(
            capture,
            words=words(code),
            links=renderer.origins.links(request),
            overview=reading.overview(),
            archive=reading.archive_name,
        )
        return renderer.page(request, "snapshot.html", code, view=view)

    @router.get("/{code}/sources")
    def sources(request: Request, code: Language) -> Response:
        return renderer.page(request, "sources.html", code, active="sources", overview=reading.overview())

    @router.get("/{code}/about")
    def about(request: Request, code: Language) -> Response:
        return renderer.page(request, "about.html", code, active="about")

    @router.get("/{code}/data")
    def data(request: Request, code: Language) -> Response:
        return renderer.page(request, "data.html", code, operations=operations(request.app.openapi()))

    @router.get("/static/{name}")
    def static(request: Request, name: str) -> Response:
        return serving.static(request, name) or renderer.error(request, 404)

    return router


def form_of(parameters: QueryParams) -> results.SearchForm:
    """The search form in an address; what cannot be meant is dropped, so that no address is an error."""

    def several(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value[:100] for value in parameters.getlist(name) if value))[:_VALUES_MAX]

    number = parameters.get("page", "1")
    sort = parameters.get("sort", "")
    return results.SearchForm(
        text=parameters.get("q", "")[:1000].replace("\0", " ").strip(),
        sources=several("source"),
        languages=several("language"),
        types=several("type"),
        date_from=parameters.get("from", "")[:20].strip(),
        date_to=parameters.get("to", "")[:20].strip(),
        view="captures" if parameters.get("view") == "captures" else "pages",
        sort="newest" if sort == "newest" else "oldest" if sort == "oldest" else "relevance",
        page=min(results.PAGE_MAX, max(1, int(number))) if number.isascii() and number.isdigit() and len(number) < 9 else 1,
    )


def operations(description: dict[str, Any]) -> list[dict[str, Any]]:
    """The API's requests, for people, out of its OpenAPI description."""
    listed = []
    for path, methods in description.get("paths", {}).items():
        for operation in methods.values():
            names = [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"]
            listed.append({"path": path, "summary": operation.get("summary", ""), "parameters": names})
    return listed
