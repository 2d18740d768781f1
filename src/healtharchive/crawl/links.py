"""What a response refers to: everything that a browser would fetch or let a person follow, and nothing else.

`extract` reads HTML, XHTML, SVG, style sheets, feeds, site maps, scripts, JSON-LD, web manifests, and the headers `Link`,
`Location` and `Refresh`. Addresses come out normalized, each once a hop, with the element and the attribute that named them.

Hostile input costs bounded time and memory: at most TEXT_BYTES_MAX of a text are read and LINKS_MAX links kept, and a document
that was cut says so (`Extraction.truncated`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from healtharchive.crawl import feeds, hypertext, scripts
from healtharchive.crawl.references import LINKS_MAX, Collector, Extraction, Hop, Link
from healtharchive.warc import charset as charsets

__all__ = ["LINKS_MAX", "TEXT_BYTES_MAX", "Extraction", "Hop", "Link", "extract"]

TEXT_BYTES_MAX: Final = 16 * 1024 * 1024

Reader = Callable[[bytes, str | None, Collector], None]


def extract(
    payload: bytes, *, url: str, mime: str, charset: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> Extraction:
    """The links of a response. `payload` is content-decoded; `charset` is that of its Content-Type. Never raises.

    `url` is the normalized address that the response came from. A type that nothing can be read from gives the headers' links
    only.
    """
    found = Collector(url)
    for name, value in headers:
        read_header = _HEADERS.get(name.lower())
        if read_header is not None:
            read_header(value, found)
    if len(payload) > TEXT_BYTES_MAX:
        payload, found.text_was_cut = payload[:TEXT_BYTES_MAX], True
    reader = _reader(mime.partition(";")[0].strip().lower(), payload)
    if reader is not None:
        reader(payload, charset, found)
    return found.extraction()


# -- by type ---------------------------------------------------------------------------------------------------------------------


def _css(payload: bytes, charset: str | None, found: Collector) -> None:
    hypertext.follow_css(charsets.decode(payload, header=charset, kind="css"), "css", "url", found)


def _program(payload: bytes, charset: str | None, found: Collector) -> None:
    hypertext.follow_strings(charsets.decode(payload, header=charset, kind="text"), "script", "text", found)


def _linked_data(payload: bytes, charset: str | None, found: Collector) -> None:
    hypertext.follow_linked_data(charsets.decode(payload, header=charset, kind="text"), "script", found)


def _manifest(payload: bytes, charset: str | None, found: Collector) -> None:
    for address, is_media in scripts.web_manifest(charsets.decode(payload, header=charset, kind="text")):
        found.add(address, "manifest", "src" if is_media else "start_url", Hop.EMBED if is_media else Hop.LINK)


_READERS: Final[Mapping[str, Reader]] = {
    "text/html": hypertext.read,
    "application/xhtml+xml": hypertext.read_xhtml,
    "application/vnd.wap.xhtml+xml": hypertext.read_xhtml,
    "image/svg+xml": hypertext.read_xhtml,
    "text/css": _css,
    "application/ld+json": _linked_data,
    "application/manifest+json": _manifest,
    **dict.fromkeys(scripts.PROGRAM_TYPES - {"", "module"}, _program),
}
_HTML_START: Final = re.compile(
    rb"\s*(?:\xef\xbb\xbf)?\s*(?:<!--.{0,512}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)


def _reader(mime: str, payload: bytes) -> Reader | None:
    reader = _READERS.get(mime)
    if reader is not None:
        return reader
    if mime in ("text/xml", "application/xml") or mime.endswith("+xml"):
        return hypertext.read_xhtml if _HTML_START.match(payload) else feeds.read
    if not mime and payload[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        # A server that does not say what it sends; browsers sniff as well.
        return feeds.read if payload.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<?xml") else hypertext.read
    return None


def bears_links(mime: str) -> bool:
    """Whether a payload of this type is read for links at all; one without a type may be."""
    return not mime or mime in _READERS or mime.endswith(("/xml", "+xml"))


# -- headers ---------------------------------------------------------------------------------------------------------------------

_LINK_VALUE: Final = re.compile(r"""<([^<>]*+)>((?:[^,"<]|"(?:[^"\\]|\\.)*+"?)*+)""")
_REL: Final = re.compile(r""";\s*+rel\s*+=\s*+(?:"([^"]*+)"?|([^\s;,"]++))""", re.IGNORECASE)


def _link_header(value: str, found: Collector) -> None:
    """`Link: <address>; rel="preload", ...` (RFC 8288). A link for another context (`anchor`) is none of this page's."""
    for address, parameters in _LINK_VALUE.findall(value):
        rel = _REL.search(parameters)
        if "anchor=" not in parameters.lower():
            hypertext.follow_link((rel.group(1) or rel.group(2) or "") if rel else "", address.strip(), "header", found)


def _location_header(value: str, found: Collector) -> None:
    found.add(_utf8(value), "header", "location", Hop.REDIRECT)


def _refresh_header(value: str, found: Collector) -> None:
    hypertext.follow_refresh(_utf8(value), "header", "refresh", found)


def _utf8(value: str) -> str:
    """A header value whose bytes came as Latin-1; browsers read UTF-8 in addresses."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


_HEADERS: Final[Mapping[str, Callable[[str, Collector], None]]] = {
    "link": _link_header,
    "location": _location_header,
    "refresh": _refresh_header,
}
