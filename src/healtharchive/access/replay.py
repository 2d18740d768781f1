"""Which copy an address of the replay origin means, and that copy's body as a browser can have it.

An address is `/{collection}/{timestamp}{modifier}_/{url}`, as in other web archives: the collection is a source or `all`, the
timestamp four to fourteen digits (the nearest copy is meant) or none (the latest), the modifier says in which form. Serving is
`web.replay_origin`'s work.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from sqlalchemy.engine import Connection

from healtharchive.access import captures, rewrite
from healtharchive.access.model import Capture, Payload
from healtharchive.errors import NotFound, StorageUnavailable
from healtharchive.warc import charset, coding, urls
from healtharchive.warc.reader import WarcDamaged

ALL: Final = "all"
"""The collection of every source."""

BODY_BYTES_MAX: Final = 256 << 20
"""What a body may unpack to; the rest is cut. A gzip bomb must not cost the reading process its memory."""

_COLLECTION: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_ADDRESS: Final = re.compile(r"(?P<collection>[^/]+)/(?P<timestamp>\d{0,14})(?P<modifier>[a-z]{2}_)?/(?P<url>.+)", re.DOTALL)
# Proxies merge slashes, and people write no scheme.
_SCHEME: Final = re.compile(r"(https?):/{0,3}(?=[^/])", re.IGNORECASE)

_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})
_PASSIVE: Final = re.compile(
    r"(?:image|audio|video|font)/[a-z0-9.+-]+|application/(?:pdf|font-[a-z0-9]+|x-font-[a-z0-9]+|vnd\.ms-fontobject)"
)


@dataclass(frozen=True)
class Address:
    """A parsed replay address. `url` is normalized; `source` is None for the collection `all`, `at` for the latest copy."""

    collection: str
    timestamp: str
    modifier: str
    url: str

    @property
    def source(self) -> str | None:
        return None if self.collection == ALL else self.collection

    @property
    def at(self) -> datetime | None:
        return instant(self.timestamp) if self.timestamp else None

    def path(self, modifier: str | None = None) -> str:
        """`{collection}/{timestamp}{modifier}/{url}`, without a slash before it."""
        return f"{self.collection}/{self.timestamp}{self.modifier if modifier is None else modifier}/{self.url}"

    @classmethod
    def parse(cls, path: str) -> Address | None:
        """The address in `path` (no leading slash, escapes of the URL untouched, its query included); None if it is none."""
        match = _ADDRESS.fullmatch(path)
        if match is None or not _COLLECTION.fullmatch(match["collection"]):
            return None
        if match["timestamp"] and instant(match["timestamp"]) is None:
            return None
        url = complete_url(match["url"])
        return None if url is None else cls(match["collection"], match["timestamp"], match["modifier"] or "", url)


def complete_url(text: str) -> str | None:
    """A web address as people and proxies write it, normalized: no scheme means https, `https:/host` has lost a slash."""
    text = text.strip()
    scheme = _SCHEME.match(text)
    if scheme is not None:
        return urls.normalize(f"{scheme[1]}://{text[scheme.end() :]}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d)", text) or "." not in text.partition("/")[0]:
        return None
    return urls.normalize(f"https://{text}")


def instant(timestamp: str) -> datetime | None:
    """The start of the period that a timestamp names, aware UTC; None if there is no such year, day or time."""
    try:
        return captures.parse_timestamp(timestamp)
    except ValueError:
        return None


def locate(conn: Connection, address: Address) -> Capture | None:
    """The copy nearest in time; under the other of http and https if there is none under the given one. None: never captured."""
    at = address.at or datetime(9999, 12, 31, tzinfo=UTC)
    for url in both_schemes(address.url):
        capture = captures.nearest(conn, url, at, source=address.source)
        if capture is not None:
            return capture
    return None


def both_schemes(url: str) -> tuple[str, str]:
    """A normalized URL as given, then with the other scheme: sites move to https, and readers' links don't say when."""
    scheme, _, rest = url.partition("://")
    return url, f"{'http' if scheme == 'https' else 'https'}://{rest}"


def open_copy(conn: Connection, jobs_root: Path, capture: Capture) -> Payload:
    """What the capture answered. Raises StorageUnavailable if its file cannot be read now: it was captured, and is not lost."""
    try:
        return captures.payload_of(conn, jobs_root, capture)
    except OSError as error:
        raise _away(capture, error) from error


def read_member(jobs_root: Path, capture: Capture) -> bytes:
    """A capture's record as it lies in its file. Of a compressed WARC it is a gzip member, and so a whole WARC by itself.

    Raises StorageUnavailable if the file cannot be read, NotFound if it is one that has no records at offsets, WarcDamaged if
    it is shorter than it was.
    """
    if capture.length <= 0:
        raise NotFound(f"The record of capture {capture.id} cannot be read by itself: its file was compressed as one piece.")
    try:
        with (jobs_root / capture.warc_path).open("rb") as file:
            file.seek(capture.offset)
            member = file.read(capture.length)
    except OSError as error:
        raise _away(capture, error) from error
    if len(member) < capture.length:
        raise WarcDamaged(f"{capture.warc_name} ends within the record of capture {capture.id}.")
    return member


def _away(capture: Capture, error: OSError) -> StorageUnavailable:
    reason = error.strerror or str(error)
    return StorageUnavailable(f"{capture.warc_name} cannot be read: {reason}.", hint="The copy exists; its storage is away.")


def decoded_body(payload: Payload) -> bytes:
    """The body without content coding, at most BODY_BYTES_MAX of it."""
    return coding.decode([payload.body], payload.content_encoding, limit=BODY_BYTES_MAX)


Presentation = Literal["page", "document", "file"]
"""How a browser can show a copy: in the sealed frame, in its own viewer for PDF (which no sandbox admits), or not at all."""

_SHOWN: Final = re.compile(
    r"(?:text|image|audio|video)/.*|application/(?:json|javascript|ecmascript|(?:[a-z0-9.-]+\+)?(?:xml|json))|"
)


def media_type(payload: Payload) -> str:
    """The declared type in lower case, without parameters; empty if there is none."""
    return (payload.header("Content-Type") or "").partition(";")[0].strip().lower()


def presentation(payload: Payload) -> Presentation:
    """Redirects and errors are pages, whatever type they declare."""
    mime = media_type(payload)
    if payload.status >= 300 or _SHOWN.fullmatch(mime):
        return "page"
    return "document" if mime == "application/pdf" else "file"


@dataclass(frozen=True)
class PlainView:
    """A copy in a form that can run nothing."""

    body: bytes
    content_type: str


def plain_view(payload: Payload, *, link: rewrite.Link) -> PlainView:
    """The view without scripts of any body: HTML and CSS rewritten; pictures, sound, films and fonts as they are; else text.

    `link` gives our addresses. Only SVG among these could hold scripts, which never run in a picture, nor under our policy.
    """
    mime, _, parameters = (payload.header("Content-Type") or "").partition(";")
    mime = mime.strip().lower()
    body = decoded_body(payload)
    if mime in _HTML or (not mime and looks_like_html(body)):
        text = charset.decode(body, header=_charset(parameters), kind="html")
        page = rewrite.rewrite_html(text, url=payload.capture.url, link=link)
        return PlainView(page.encode("utf-8", "replace"), "text/html; charset=utf-8")
    if mime == "text/css":
        text = charset.decode(body, header=_charset(parameters), kind="css")
        sheet = rewrite.rewrite_css(text, base=payload.capture.url, link=link)
        return PlainView(sheet.encode("utf-8", "replace"), "text/css; charset=utf-8")
    if _PASSIVE.fullmatch(mime):
        return PlainView(body, mime)
    return PlainView(charset.decode(body, header=_charset(parameters), kind="text").encode("utf-8"), "text/plain; charset=utf-8")


def looks_like_html(body: bytes | memoryview) -> bool:
    """Whether a body without a type is a page, as browsers see it."""
    return bytes(body[:512]).lstrip().lower().startswith((b"<!doctype html", b"<html", b"<head", b"<body"))


def _charset(parameters: str) -> str | None:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'") or None
    return None
