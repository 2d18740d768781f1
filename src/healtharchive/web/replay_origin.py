"""The replay origin: other people's pages, on an address where nothing else lives.

    /{lang}/{collection}/{timestamp}/{url}     the player's page: our bar, and a frame with the copy
    /{lang}/{collection}/{timestamp}nj_/{url}  the same, the copy without scripts
    /{collection}/{timestamp}/{url}            the same, in the language that the browser prefers
    /{collection}/{timestamp}ir_/{url}         raw: original body, type and status of the nearest copy
    /{collection}/{timestamp}mp_/{url}         what the frame shows. The worker answers; a browser without it is sent on to plain
    /-/worker/{collection}/{timestamp}ir_/{url}      raw, as the player's worker reads it
    /-/plain/{lang}/{collection}/{timestamp}/{url}   a page, or a part of one, without scripts
    /-/document/{lang}/{collection}/{timestamp}/{url}  a PDF for the browser's own viewer, or a file to download
    /-/copy/{lang}/{collection}/{timestamp}/{url}    facts for the bar when the reader has followed a link in the frame
    /sw.js, /-/...                             the worker, its licence, our own files

Addresses are read from the raw path, because a URL inside a path must not be decoded, normalized or split at its own query.
"""

from __future__ import annotations

import logging
import re
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from healtharchive.access import replay, rewrite
from healtharchive.access.model import Payload
from healtharchive.errors import HealthArchiveError, StorageUnavailable
from healtharchive.instance import Instance
from healtharchive.warc import urls
from healtharchive.web import assets, security, serving
from healtharchive.web.asked import Asked, read_path
from healtharchive.web.links import RESERVED
from healtharchive.web.memento import latin, memento
from healtharchive.web.player import Absence, Player
from healtharchive.web.reading import Reading

_log = logging.getLogger(__name__)

_BODILESS: Final = (204, 205, 304)
_MARKUP: Final = re.compile(r"html|xml|xsl|multipart|unknown|^[^/]*$|\*")
# Raw answers keep these; connection, cookie and policy headers of the original mean nothing here, or harm.
_KEPT_HEADERS: Final = ("Content-Language", "Content-Disposition", "Last-Modified")


def create_replay_app(instance: Instance, *, origins: serving.Origins | None = None) -> FastAPI:
    """Replay of one instance, to be served on an origin of its own. `origins` says where readers reach both."""
    app = FastAPI(title="Replay", openapi_url=None, docs_url=None, redoc_url=None)
    site = _Site(Reading(instance), origins or serving.Origins.of(instance.settings.web))
    _own_files(app, site)

    @app.get("/{path:path}")
    def everything(request: Request) -> Response:
        return site.answer(request)

    def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Response(status_code=error.status_code, headers=dict(error.headers or {}))

    def on_ours(request: Request, error: Exception) -> Response:
        _log.warning("replay.unavailable path=%s error=%s", request.url.path, error)
        return site.player.absent(request, "down")

    def on_bug(request: Request, error: Exception) -> Response:
        _log.error("replay.failed path=%s", request.url.path, exc_info=error)
        return Response("The fault is ours and was logged.\n", 500, {**security.REPLAY, **security.RAW}, "text/plain")

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(HealthArchiveError, on_ours)
    app.add_exception_handler(Exception, on_bug)
    app.add_middleware(security.HeadAsGet)
    app.add_middleware(security.Headers, headers=security.REPLAY)
    app.add_middleware(security.KnownHost)
    return app


def _own_files(app: FastAPI, site: _Site) -> None:
    @app.get("/sw.js")
    def worker() -> Response:
        path = assets.player()
        if path is None:
            return Response(assets.missing() or "", 404, media_type="text/plain")
        # In one file, because what is first in it listens first.
        script = (serving.STATIC / "warden.js").read_bytes() + path.read_bytes()
        return Response(script, media_type="text/javascript", headers=dict(security.WORKER))

    @app.get(f"/{RESERVED}/licences")
    def licences() -> Response:
        texts = [assets.VENDOR / "SOURCE.txt", assets.VENDOR / "LICENSE"]
        shown = "\n\n".join(path.read_text(encoding="utf-8") for path in texts if path.is_file())
        return Response(shown or f"{assets.missing()}\n", media_type="text/plain; charset=utf-8")

    @app.get(f"/{RESERVED}/static/{{name}}")
    def static(request: Request, name: str) -> Response:
        return serving.static(request, name) or site.player.absent(request, "invalid")

    @app.get("/robots.txt")
    def robots() -> Response:
        # Copies must not compete with the pages they are copies of.
        return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")


class _Site:
    """The answers of the replay origin."""

    def __init__(self, reading: Reading, origins: serving.Origins) -> None:
        self.reading = reading
        self.origins = origins
        self.player = Player(reading, origins)

    def answer(self, request: Request) -> Response:
        if request.headers.get("service-worker") is not None:
            # An archived script as a worker of this origin would answer in the archive's name, for as long as browsers keep it.
            return self.player.absent(request, "invalid")
        raw = request.scope.get("raw_path") or request.url.path.encode()
        path = raw.decode("latin-1").partition("?")[0].removeprefix("/")
        query = request.scope["query_string"].decode("latin-1")
        if not path:
            return RedirectResponse(self.origins.links(request).home(serving.language_of(request)), 302)
        asked = read_path(f"{path}?{query}" if query else path)
        if asked is None:
            return self.player.absent(request, "invalid")
        if asked.form == "frame":
            code, address = serving.language_of(request), asked.address
            plain = self.player.here(request).plain_part(code, address.collection, address.timestamp, address.url)
            return RedirectResponse(plain, 302)
        return self._copy(request, asked)

    def _copy(self, request: Request, asked: Asked) -> Response:
        """The nearest copy in the form that was asked for, or which kind of nothing there is."""
        capture = self.reading.locate(asked.address)
        if capture is None:
            return self.player.absent(request, "never", asked=asked)
        try:
            payload = self.reading.payload(capture)
        except HealthArchiveError as error:
            _log.warning("replay.unreadable capture=%d error=%s", capture.id, error)
            absence: Absence = "away" if isinstance(error, StorageUnavailable) else "damaged"
            return self.player.absent(request, absence, asked=asked, capture=capture)
        match asked.form:
            case "page" | "frame":
                return self.player.page(request, asked, payload)
            case "facts":
                return self.player.facts(request, asked, payload)
            case "raw":
                return self._raw(request, asked, payload)
            case "worker":
                return self._worker(request, asked, payload)
            case "plain":
                return self._plain(request, asked, payload)
            case "document":
                return self._document(request, asked, payload)

    def _raw(self, request: Request, asked: Asked, payload: Payload) -> Response:
        headers = self._raw_headers(request, asked, payload)
        status = payload.status if 200 <= payload.status <= 599 else 200
        target = _redirect_target(payload)
        if target is not None:
            headers["Location"] = f"/{asked.address.collection}/{asked.address.timestamp}ir_/{target}"
        answer = _as_recorded(payload, status, headers)
        if _opens_markup(request, payload):
            # No policy stops the hints of a page, which connect to hosts that it names. A person gets its source to read.
            answer.headers["Content-Type"] = "text/plain"
            answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Vary"] = "Sec-Fetch-Mode"
        return answer

    def _worker(self, request: Request, asked: Asked, payload: Payload) -> Response:
        """Raw, for the player's worker, which knows two headers of its own.

        It follows redirects by itself, and shows a page of its own for 403 or 500, which may be what was captured: so what the
        site answered is told in headers, under a 200 of ours.
        """
        if replay.presentation(payload) != "page" and _wants_page(request):
            return self.player.absent(request, "elsewhere", asked=asked, capture=payload.capture)
        headers = self._raw_headers(request, asked, payload)
        # A frame stays where it was on an answer without a body, and the reader would wait for ever.
        headers["X-Redirect-Status"] = str(200 if payload.status in _BODILESS else payload.status)
        target = _redirect_target(payload)
        if target is not None:
            headers["X-Orig-Location"] = target
        answer = _as_recorded(payload, 200, headers)
        if "content-type" not in answer.headers and replay.looks_like_html(answer.body):
            # Browsers take it for a page. The worker has to know, or its scripts run without the guard.
            answer.headers["Content-Type"] = "text/html"
        return answer

    def _raw_headers(self, request: Request, asked: Asked, payload: Payload) -> dict[str, str]:
        headers = memento(self.origins.links(request), asked, payload.capture) | dict(security.RAW)
        for name in _KEPT_HEADERS:
            value = payload.header(name)
            if value is not None and value.isprintable():
                headers[name] = value
        return headers

    def _plain(self, request: Request, asked: Asked, payload: Payload) -> Response:
        code, address = asked.code or "en", asked.address
        here = self.player.here(request)

        def link(url: str, use: rewrite.Use) -> str:
            if use is rewrite.Use.FOLLOW:
                return here.copy_at(code, address.collection, address.timestamp, url, plain=True)
            return here.plain_part(code, address.collection, address.timestamp, url)

        headers = memento(self.origins.links(request), asked, payload.capture) | dict(security.PLAIN)
        target = _redirect_target(payload)
        if target is not None and target != payload.capture.url:
            return RedirectResponse(link(target, rewrite.Use.FRAME), 302, latin(headers))
        view = replay.plain_view(payload, link=link)
        return Response(view.body, payload.status if 400 <= payload.status <= 599 else 200, latin(headers), view.content_type)

    def _document(self, request: Request, asked: Asked, payload: Payload) -> Response:
        headers = memento(self.origins.links(request), asked, payload.capture) | dict(security.DOCUMENT)
        is_document = replay.presentation(payload) == "document"
        if not is_document:
            headers["Content-Disposition"] = f'attachment; filename="capture-{payload.capture.id}"'
        kind = "application/pdf" if is_document else "application/octet-stream"
        return Response(replay.decoded_body(payload), 200, latin(headers), kind)


def _redirect_target(payload: Payload) -> str | None:
    """Where an archived redirect led, normalized; None for anything else."""
    location = payload.header("Location")
    return urls.normalize(location, payload.capture.url) if location is not None and 300 <= payload.status < 400 else None


def _as_recorded(payload: Payload, status: int, headers: dict[str, str]) -> Response:
    """The body, with the type it was served with, or with none if it had none."""
    if status in _BODILESS:
        return Response(status_code=status, headers=latin(headers))
    answer = Response(replay.decoded_body(payload), status, latin(headers))
    content_type = payload.header("Content-Type")
    if content_type is not None and content_type.isprintable():
        answer.headers["Content-Type"] = content_type.encode("latin-1", "replace").decode("latin-1")
    return answer


def _opens_markup(request: Request, payload: Payload) -> bool:
    """Whether a browser would show the raw body as a document with links of its own, instead of a program reading it."""
    navigates = request.headers.get("sec-fetch-mode") == "navigate"
    return navigates and _MARKUP.search(replay.media_type(payload)) is not None


def _wants_page(request: Request) -> bool:
    """Whether the browser asked for something to navigate to: the worker passes on what it was asked with."""
    return request.headers.get("accept", "").startswith("text/html")
