"""The player's page, the facts of its bar, and the pages that say honestly why there is no copy to show."""

from __future__ import annotations

from typing import Any, Final, Literal

from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from healtharchive.access import replay
from healtharchive.access.model import Capture, Payload
from healtharchive.access.replay import Address
from healtharchive.web import assets, pages, security, serving
from healtharchive.web.asked import Asked
from healtharchive.web.i18n import Words, words
from healtharchive.web.links import PLAIN_MODIFIER, RESERVED, Links
from healtharchive.web.memento import latin, memento
from healtharchive.web.reading import Reading

RETRY_SECONDS: Final = 120
_SCRIPT: Final = f"/{RESERVED}/static/player.js"
_FRESH: Final = {"Cache-Control": "no-cache"}

Absence = Literal["never", "away", "damaged", "invalid", "down", "elsewhere"]
"""Why there is nothing to show. Down: not even the database answers, so that nobody knows what was captured. Elsewhere: it is a
document that the frame cannot show; the player's page does."""

_STATUS: Final[dict[Absence, int]] = {"never": 404, "away": 503, "damaged": 502, "invalid": 400, "down": 503, "elsewhere": 200}


class Player:
    """What of the replay origin is ours to look at."""

    def __init__(self, reading: Reading, origins: serving.Origins) -> None:
        self._reading = reading
        self._origins = origins

    def here(self, request: Request) -> Links:
        """Addresses on this origin as paths, so that they work behind whatever name the reader used."""
        return Links(self._origins.links(request).public, "")

    def page(self, request: Request, asked: Asked, payload: Payload) -> Response:
        """The bar, and under it the copy: in the frame, in the browser's viewer, or as a download."""
        capture, code = payload.capture, asked.code or serving.language_of(request)
        w, here = words(code), self.here(request)
        plain = asked.address.modifier == PLAIN_MODIFIER
        collection, stamp = asked.address.collection, capture.timestamp
        context = self._chrome(request, w, asked.address, capture) | {
            "bar": self._bar(request, w, asked.address, payload, plain=plain),
            "plain": plain,
            "presentation": replay.presentation(payload),
            "document_url": here.document(code, collection, stamp, capture.url),
            "about": f"{pages.kind(replay.media_type(payload), w)}, {w.size(len(payload.body))}",
            "script": _SCRIPT,
            "worker": assets.player() is not None and not plain,
            "collection": collection,
            "frame_url": here.framed(collection, stamp, capture.url),
            "plain_frame_url": here.plain_part(code, collection, stamp, capture.url),
            "facts_prefix": f"/{RESERVED}/copy/{code}/",
            "sandbox": security.PLAIN_SANDBOX,
        }
        origin = f"{request.url.scheme}://{request.headers['host']}"
        headers = memento(self._origins.links(request), asked, capture) | {
            "Content-Security-Policy": security.player_policy(origin, _SCRIPT),
            "X-Content-Type-Options": "nosniff",
            "Content-Language": code,
            "Vary": "Accept-Language",
        }
        return HTMLResponse(serving.render("player.html", context), 200, latin(headers))

    def facts(self, request: Request, asked: Asked, payload: Payload) -> Response:
        """For the player's script, when the reader has followed a link in the frame."""
        return JSONResponse(self._bar(request, words(asked.code or "en"), asked.address, payload, plain=False), headers=_FRESH)

    def _chrome(self, request: Request, w: Words, address: Address | None, capture: Capture | None) -> dict[str, Any]:
        """What every page of this origin shows around its content."""
        links = self._origins.links(request)
        url = capture.url if capture else address.url if address else ""
        other = links.home(w.other)
        if address is not None:
            plain = address.modifier == PLAIN_MODIFIER
            other = self.here(request).copy_at(w.other, address.collection, address.timestamp, address.url, plain=plain)
        return {
            "w": w,
            "archive": self._reading.archive_name,
            "links": links,
            "home_url": links.home(w.code),
            "history_url": links.history(w.code, url) if url else links.page(w.code, "history"),
            "other_url": other,
        }

    def _bar(self, request: Request, w: Words, address: Address, payload: Payload, *, plain: bool) -> dict[str, Any]:
        """The facts of the bar, as the page and the player's script show them."""
        capture = payload.capture
        links = self._origins.links(request)
        here = self.here(request)
        title = capture.title or payload.holder.title or capture.url
        return {
            "state": "here",
            "presentation": replay.presentation(payload),
            "title": title,
            "page_title": w("replay.title", title=title, date=w.date(capture.captured_at)),
            "frame_title": w("replay.frame", title=title),
            "date": w.date(capture.captured_at),
            "minute": w.minute(capture.captured_at),
            "iso": capture.captured_at.isoformat(),
            "source": self._reading.overview().title(capture.source),
            "url": capture.url,
            "history_url": links.history(w.code, capture.url),
            "details_url": links.snapshot(w.code, capture.id),
            "toggle_url": here.copy_at(w.code, address.collection, capture.timestamp, capture.url, plain=not plain),
            "other_url": here.copy_at(w.other, address.collection, capture.timestamp, capture.url, plain=plain),
            "page_url": here.copy_at(w.code, address.collection, capture.timestamp, capture.url, plain=plain),
        }

    def absent(
        self, request: Request, absence: Absence, *, asked: Asked | None = None, capture: Capture | None = None
    ) -> Response:
        """Never captured, captured but away, damaged, or no address at all: different answers, each in both languages.

        Where it stands alone the reader's language comes first. In a frame the bar around it is there already.
        """
        code = (asked.code if asked else None) or serving.language_of(request)
        form = asked.form if asked else "page"
        url = capture.url if capture else asked.address.url if asked else ""
        told = [_told(w, absence, url, capture) for w in (words(code), words(words(code).other))]
        if form == "facts":
            history = self._origins.links(request).history(code, url)
            heading = told[0]["heading"]
            return JSONResponse({"state": absence, "heading": heading, "url": url, "history_url": history}, headers=_FRESH)
        framed = form in ("raw", "worker", "plain")
        context = self._chrome(request, words(code), asked.address if asked else None, capture) | {
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
        status = _STATUS[absence]
        if form == "worker":
            headers["X-Redirect-Status"] = str(status)
            status = 200
        return HTMLResponse(serving.render("absent.html", context), status, headers)


def _told(w: Words, absence: Absence, url: str, capture: Capture | None) -> dict[str, Any]:
    if absence == "down":
        return {"w": w, "heading": w("error.503_heading"), "text": w("error.503")}
    date = w.date(capture.captured_at) if capture else ""
    return {"w": w, "heading": w(f"replay.{absence}_heading"), "text": w(f"replay.{absence}", url=url, date=date)}
