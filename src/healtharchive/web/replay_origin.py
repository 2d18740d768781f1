"""The replay origin: other people's pages, on an address where nothing else lives.

    /{lang}/{collection}/{timestamp}/{url}     the player's page: our bar, and a frame with the copy
    /{lang}/{collection}/{timestamp}nj_/{url}  the same, the copy without scripts
    /{collection}/{timestamp}/{url}            the same, in the language that the browser prefers
    /{collection}/{timestamp}ir_/{url}         raw: original body, type and status of the nearest copy
    /{collection}/{timestamp}mp_/{url}         what the frame shows. The worker answers; a browser without it is sent on to plain
    /-/worker/{collection}/{timestamp}ir_/{url}      raw, as the player's worker reads it
    /-/plain/{lang}/{collection}/{timestamp}/{url}   a page, or a part of one, without scripts
    /-/copy/{lang}/{collection}/{timestamp}/{url}    facts for the bar when the reader has followed a link in the frame
    /sw.js, /-/...                             the worker, its licence, our own files

Addresses are read from the raw path, because a URL inside a path must not be decoded, normalized or split at its own query.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final, Literal

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from healtharchive.access import replay, rewrite
from healtharchive.access.model import Capture, Payload
from healtharchive.access.replay import Address
from healtharchive.errors import HealthArchiveError, StorageUnavailable
from healtharchive.instance import Instance
from healtharchive.warc import urls
from healtharchive.web import assets, security, serving
from healtharchive.web.i18n import LANGUAGES, Code, Words, words
from healtharchive.web.links import PLAIN_MODIFIER, RESERVED, Links
from healtharchive.web.reading import Reading

RETRY_SECONDS: Final = 120
_log = logging.getLogger(__name__)

Absence = Literal["never", "away", "damaged", "invalid", "down"]
"""Why there is nothing to show: down means that not even the database answers, so that nobody knows what was captured."""

_ABSENCE_STATUS: Final[dict[Absence, int]] = {"never": 404, "away": 503, "damaged": 502, "invalid": 400, "down": 503}
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
        return Response(status_code=error.status_code)

    def on_ours(request: Request, error: Exception) -> Response:
        _log.warning("replay.unavailable path=%s error=%s", request.url.path, error)
        return site.absent(request, "down")

    def on_bug(request: Request, error: Exception) -> Response:
        _log.error("replay.failed path=%s", request.url.path, exc_info=error)
        return Response("The fault is ours and was logged.\n", 500, dict(security.REPLAY | security.RAW), "text/plain")

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
        return Response(path.read_bytes(), media_type="text/javascript", headers=dict(security.WORKER))

    @app.get(f"/{RESERVED}/licences")
    def licences() -> Response:
        texts = [assets.VENDOR / "SOURCE.txt", assets.VENDOR / "LICENSE"]
        shown = "\n\n".join(path.read_text(encoding="utf-8") for path in texts if path.is_file())
        return Response(shown or f"{assets.missing()}\n", media_type="text/plain; charset=utf-8")

    @app.get(f"/{RESERVED}/static/{{name}}")
    def static(request: Request, name: str) -> Response:
        return serving.static(request, name) or site.absent(request, "invalid")

    @app.get("/robots.txt")
    def robots() -> Response:
        # Copies must not compete with the pages they are copies of.
        return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")


@dataclass(frozen=True)
class Asked:
    """A request as its path says it."""

    form: Literal["page", "raw", "worker", "frame", "plain", "facts"]
    code: Code | None
    address: Address


def read_path(raw: str) -> Asked | None:
    """What a raw path (with its query, without its first slash) asks for; None if it is no address of ours."""
    if raw.startswith(f"{RESERVED}/"):
        return _read_reserved(raw)
    code, rest = _language(raw)
    address = Address.parse(rest)
    if address is None:
        return None
    match address.modifier:
        case "" | "nj_":
            return Asked("page", code, address)
        case "ir_" | "id_" if code is None:
            return Asked("raw", None, address)
        case "mp_" if code is None:
            return Asked("frame", None, address)
    return None


def _read_reserved(raw: str) -> Asked | None:
    form, _, rest = raw.removeprefix(f"{RESERVED}/").partition("/")
    if form == "worker":
        address = Address.parse(rest)
        return Asked("worker", None, address) if address else None
    code, rest = _language(rest)
    address = Address.parse(rest)
    if code is None or address is None:
        return None
    match form:
        case "plain":
            return Asked("plain", code, address)
        case "copy":
            return Asked("facts", code, address)
    return None


def _language(raw: str) -> tuple[Code | None, str]:
    for code in LANGUAGES:
        if raw.startswith(f"{code}/"):
            return code, raw[len(code) + 1 :]
    return None, raw


class _Site:
    """The answers of the replay origin."""

    def __init__(self, reading: Reading, origins: serving.Origins) -> None:
        self.reading = reading
        self.origins = origins

    def answer(self, request: Request) -> Response:
        raw = request.scope.get("raw_path") or request.url.path.encode()
        path = raw.decode("latin-1").partition("?")[0].removeprefix("/")
        query = request.scope["query_string"].decode("latin-1")
        if not path:
            return RedirectResponse(self.origins.links(request).home(serving.language_of(request)), 302)
        asked = read_path(f"{path}?{query}" if query else path)
        if asked is None:
            return self.absent(request, "invalid")
        capture = self.reading.locate(asked.address)
        match asked.form:
            case "frame":
                links = self._here(request)
                code = serving.language_of(request)
                return RedirectResponse(
                    links.plain_part(code, asked.address.collection, asked.address.timestamp, asked.address.url), 302
                )
            case "facts":
                return self._facts(request, asked, capture)
            case "raw" | "worker":
                return self._raw(request, asked, capture)
            case "plain":
                return self._plain(request, asked, capture)
            case "page":
                return self._page(request, asked, capture)

    def _here(self, request: Request) -> Links:
        """Addresses on this origin as paths, so that they work behind whatever name the reader used."""
        return Links(self.origins.links(request).public, "")

    # -- the copy itself -----------------------------------------------------------------------------------------------

    def _raw(self, request: Request, asked: Asked, capture: Capture | None) -> Response:
        if capture is None:
            return self.absent(request, "never", asked=asked)
        try:
            payload = self.reading.payload(capture)
        except HealthArchiveError as error:
            return self._unreadable(request, asked, capture, error)
        headers = self._memento(request, asked, capture) | dict(security.RAW)
        for name in _KEPT_HEADERS:
            value = payload.header(name)
            if value is not None and value.isprintable():
                headers[name] = value
        status = payload.status if 200 <= payload.status <= 599 else 200
        location = payload.header("Location")
        target = urls.normalize(location, capture.url) if location is not None and 300 <= status < 400 else None
        if asked.form == "worker":
            # The worker follows redirects itself and shows a page of its own for 403 or 500, which may be what was captured:
            # so it is told what the site answered in headers that it knows, under our own 200.
            headers["X-Redirect-Status"] = str(status)
            headers |= {"X-Orig-Location": target} if target else {}
            status = 200
        elif target is not None:
            headers["Location"] = f"/{asked.address.collection}/{asked.address.timestamp}ir_/{target}"
        if status in (204, 304):
            return Response(status_code=status, headers=_latin(headers))
        answer = Response(replay.decoded_body(payload), status, _latin(headers))
        content_type = payload.header("Content-Type")
        if content_type is not None and content_type.isprintable():
            answer.headers["Content-Type"] = content_type.encode("latin-1", "replace").decode("latin-1")
        return answer

    def _plain(self, request: Request, asked: Asked, capture: Capture | None) -> Response:
        if capture is None:
            return self.absent(request, "never", asked=asked, bare=True)
        try:
            payload = self.reading.payload(capture)
        except HealthArchiveError as error:
            return self._unreadable(request, asked, capture, error, bare=True)
        code, address = asked.code or "en", asked.address
        links = self._here(request)

        def link(url: str, use: rewrite.Use) -> str:
            if use is rewrite.Use.FOLLOW:
                return links.copy_at(code, address.collection, address.timestamp, url, plain=True)
            return links.plain_part(code, address.collection, address.timestamp, url)

        headers = self._memento(request, asked, capture) | dict(security.PLAIN)
        location = payload.header("Location")
        target = urls.normalize(location, capture.url) if location is not None and 300 <= payload.status < 400 else None
        if target is not None and target != capture.url:
            return RedirectResponse(link(target, rewrite.Use.FRAME), 302, _latin(headers))
        view = replay.plain_view(payload, link=link)
        status = payload.status if payload.status >= 400 else 200
        return Response(view.body, status, _latin(headers), view.content_type)

    def _memento(self, request: Request, asked: Asked, capture: Capture) -> dict[str, str]:
        """RFC 7089: when the copy was made, and what it is a copy of."""
        base = self.origins.links(request).replay
        exact = f"{base}/{capture.source}/{capture.timestamp}ir_/{capture.url}"
        return {
            "Memento-Datetime": http_date(capture.captured_at),
            "Link": f'<{link_target(capture.url)}>; rel="original"',
            "Content-Location": exact if asked.form != "page" else exact.replace("ir_/", "/", 1),
        }

    # -- pages around it -----------------------------------------------------------------------------------------------

    def _page(self, request: Request, asked: Asked, capture: Capture | None) -> Response:
        if capture is None:
            return self.absent(request, "never", asked=asked)
        try:
            payload = self.reading.payload(capture)  # so that the page itself can say that it is away
        except HealthArchiveError as error:
            return self._unreadable(request, asked, capture, error)
        code = asked.code or serving.language_of(request)
        w, here = words(code), self._here(request)
        plain = asked.address.modifier == PLAIN_MODIFIER
        collection, stamp = asked.address.collection, capture.timestamp
        script = f"/{RESERVED}/static/player.js"
        context = self._chrome(request, w, asked.address, capture) | {
            "bar": self._bar(request, w, asked.address, capture, payload, plain=plain),
            "plain": plain,
            "script": script,
            "worker": assets.player() is not None and not plain,
            "collection": collection,
            "frame_url": here.framed(collection, stamp, capture.url),
            "plain_frame_url": here.plain_part(code, collection, stamp, capture.url),
            "facts_prefix": f"/{RESERVED}/copy/{code}/",
            "sandbox": security.PLAIN_SANDBOX,
        }
        origin = f"{request.url.scheme}://{request.headers['host']}"
        headers = self._memento(request, asked, capture) | {
            "Content-Security-Policy": security.player_policy(origin, script),
            "X-Content-Type-Options": "nosniff",
            "Content-Language": code,
            "Vary": "Accept-Language",
        }
        return HTMLResponse(serving.render("player.html", context), 200, _latin(headers))

    def _chrome(self, request: Request, w: Words, address: Address | None, capture: Capture | None) -> dict[str, Any]:
        """What every page of this origin shows around its content."""
        links = self.origins.links(request)
        url = capture.url if capture else address.url if address else ""
        other = links.home(w.other)
        if address is not None:
            plain = address.modifier == PLAIN_MODIFIER
            other = self._here(request).copy_at(w.other, address.collection, address.timestamp, address.url, plain=plain)
        return {
            "w": w,
            "archive": self.reading.archive_name,
            "links": links,
            "home_url": links.home(w.code),
            "history_url": links.history(w.code, url) if url else links.page(w.code, "history"),
            "other_url": other,
        }

    def _bar(
        self, request: Request, w: Words, address: Address, capture: Capture, payload: Payload, *, plain: bool
    ) -> dict[str, Any]:
        """The facts of the bar, as the page and the player's script show them."""
        links = self.origins.links(request)
        here = self._here(request)
        title = capture.title or payload.holder.title or capture.url
        return {
            "state": "here",
            "title": title,
            "page_title": w("replay.title", title=title, date=w.date(capture.captured_at)),
            "frame_title": w("replay.frame", title=title),
            "date": w.date(capture.captured_at),
            "minute": w.minute(capture.captured_at),
            "iso": capture.captured_at.isoformat(),
            "source": self.reading.overview().title(capture.source),
            "url": capture.url,
            "history_url": links.history(w.code, capture.url),
            "details_url": links.snapshot(w.code, capture.id),
            "toggle_url": here.copy_at(w.code, address.collection, capture.timestamp, capture.url, plain=not plain),
            "other_url": here.copy_at(w.other, address.collection, capture.timestamp, capture.url, plain=plain),
            "page_url": here.copy_at(w.code, address.collection, capture.timestamp, capture.url, plain=plain),
        }

    def _facts(self, request: Request, asked: Asked, capture: Capture | None) -> Response:
        w = words(asked.code or "en")
        fresh = {"Cache-Control": "no-cache"}
        absence: Absence = "never"
        if capture is not None:
            try:
                payload = self.reading.payload(capture)
                return JSONResponse(self._bar(request, w, asked.address, capture, payload, plain=False), headers=fresh)
            except HealthArchiveError as error:
                absence = "away" if isinstance(error, StorageUnavailable) else "damaged"
        url = capture.url if capture else asked.address.url
        heading = w(f"replay.{absence}_heading")
        history = self.origins.links(request).history(w.code, url)
        return JSONResponse({"state": absence, "heading": heading, "url": url, "history_url": history}, headers=fresh)

    # -- honest absence ------------------------------------------------------------------------------------------------

    def _unreadable(
        self, request: Request, asked: Asked, capture: Capture, error: HealthArchiveError, *, bare: bool = False
    ) -> Response:
        _log.warning("replay.unreadable capture=%d error=%s", capture.id, error)
        absence: Absence = "away" if isinstance(error, StorageUnavailable) else "damaged"
        return self.absent(request, absence, asked=asked, capture=capture, bare=bare)

    def absent(
        self,
        request: Request,
        absence: Absence,
        *,
        asked: Asked | None = None,
        capture: Capture | None = None,
        bare: bool = False,
    ) -> Response:
        """Never captured, captured but away, damaged, or no address at all: four answers, each in both languages.

        Where it stands alone the reader's language comes first. In a frame (`bare`, or raw) the bar around it is there already.
        """
        code = (asked.code if asked else None) or serving.language_of(request)
        framed = bare or (asked is not None and asked.form in ("raw", "worker"))
        url = capture.url if capture else asked.address.url if asked else ""
        told = []
        for w in (words(code), words("fr" if code == "en" else "en")):
            if absence == "down":
                heading, text = w("error.503_heading"), w("error.503")
            else:
                date = w.date(capture.captured_at) if capture else ""
                heading, text = w(f"replay.{absence}_heading"), w(f"replay.{absence}", url=url, date=date)
            told.append({"w": w, "heading": heading, "text": text})
        address = asked.address if asked else None
        context = self._chrome(request, words(code), address, capture) | {
            "told": told,
            "framed": framed,
            "absence": absence,
            "style": (serving.STATIC / "replay.css").read_text(encoding="utf-8") if framed else "",
        }
        headers = {
            "Content-Security-Policy": security.ABSENT_POLICY,
            "Content-Language": code,
            "X-Content-Type-Options": "nosniff",
            "Access-Control-Allow-Origin": "*",
            "Vary": "Accept-Language",
        }
        if absence in ("away", "down"):
            headers["Retry-After"] = str(RETRY_SECONDS)
        status = _ABSENCE_STATUS[absence]
        if asked is not None and asked.form == "worker":
            headers["X-Redirect-Status"] = str(status)
            status = 200
        return HTMLResponse(serving.render("absent.html", context), status, headers)


def http_date(at: datetime) -> str:
    """`Fri, 03 Jan 2025 15:04:05 GMT`"""
    return format_datetime(at.replace(microsecond=0), usegmt=True)


def link_target(url: str) -> str:
    """A URL as it may stand between the angle brackets of a Link header."""
    return url.replace("<", "%3C").replace(">", "%3E")


def _latin(headers: dict[str, str]) -> dict[str, str]:
    """Headers as HTTP can carry them; what a site sent in other letters is not worth failing for."""
    return {name: value.encode("latin-1", "replace").decode("latin-1") for name, value in headers.items()}
