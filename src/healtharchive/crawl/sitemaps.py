"""Site maps: XML (with hreflang, images, videos), lists of site maps, feeds used as such, plain text; each also gzipped.

Format: sitemaps.org. Read leniently (`crawl.xmlscan`), because a site map that is cut or not well-formed still names pages that
nothing else may lead to.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

from healtharchive.crawl.xmlscan import attributes, tokens
from healtharchive.warc import charset
from healtharchive.warc.urls import normalize

BYTES_MAX: Final = 64 * 1024 * 1024  # sitemaps.org: 50 MB uncompressed
URLS_MAX: Final = 200_000  # sitemaps.org: 50,000; many exceed it

_GZIP: Final = b"\x1f\x8b"
DEPTH_MAX: Final = 16
_ENTRIES: Final = frozenset({"url", "sitemap", "item", "entry"})
_DATES: Final = frozenset({"lastmod", "pubdate", "updated"})
_MEDIA: Final = frozenset({"loc", "content_loc", "thumbnail_loc", "player_loc"})


@dataclass(frozen=True)
class Sitemap:
    """`urls` are (location, lastmod as written or None); `media` are images and videos; `cut` says that a limit was reached."""

    urls: tuple[tuple[str, str | None], ...] = ()
    sitemaps: tuple[str, ...] = ()
    media: tuple[str, ...] = ()
    cut: bool = False


def parse(payload: bytes, url: str) -> Sitemap:
    """What the site map at `url` names, normalized, each address once. Never raises; what is no site map names nothing."""
    plain, cut = inflate(payload)
    text = charset.decode(plain, kind="xml")
    found = _Found(url)
    if text.lstrip()[:1] == "<":
        _read_xml(text, found)
    else:
        for line in text.splitlines():
            if line.strip().lower().startswith(("http://", "https://")):
                found.page(line, None)
    return Sitemap(tuple(found.pages.items()), tuple(found.sitemaps), tuple(found.media), cut or found.is_full)


def inflate(payload: bytes, limit: int = BYTES_MAX) -> tuple[bytes, bool]:
    """`payload` without its gzip layer, at most `limit` bytes, and whether something is missing. Keeps what damage left."""
    if not payload.startswith(_GZIP):
        return payload[:limit], len(payload) > limit
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(payload, limit)
    except zlib.error:
        return _inflate_damaged(payload, limit), True
    return plain, not stream.eof


def _inflate_damaged(payload: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    plain = bytearray()
    try:
        for start in range(0, len(payload), 1024):
            plain += stream.decompress(payload[start : start + 1024], limit - len(plain) or 1)
            if len(plain) >= limit:
                break
    except zlib.error:
        pass
    return bytes(plain[:limit])


class _Found:
    """The addresses of a site map, each once, in order."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.pages: dict[str, str | None] = {}
        self.sitemaps: dict[str, None] = {}
        self.media: dict[str, None] = {}
        self.is_full = False

    def page(self, location: str, lastmod: str | None) -> None:
        url = self._url(location)
        if url is not None and self.pages.setdefault(url, lastmod) is None:
            self.pages[url] = lastmod

    def sitemap(self, location: str) -> None:
        url = self._url(location)
        if url is not None and url != self.base:
            self.sitemaps.setdefault(url)

    def show(self, location: str) -> None:
        url = self._url(location)
        if url is not None:
            self.media.setdefault(url)

    def _url(self, location: str) -> str | None:
        if len(self.pages) + len(self.sitemaps) + len(self.media) >= URLS_MAX:
            self.is_full = True
            return None
        return normalize(location.strip(), self.base) if location.strip() else None


def _read_xml(text: str, found: _Found) -> None:
    """One pass over `url`, `sitemap`, `item` and `entry` elements; a `loc` deeper down is that of an image or a video."""
    parents: list[str] = []
    held = ""
    location = lastmod = None
    for token in tokens(text):
        if token.kind == "text":
            held += token.text
        elif token.kind == "start":
            held = ""
            parents = [*parents[-DEPTH_MAX:], token.name]
            if token.name in _ENTRIES:
                location = lastmod = None
            elif token.name == "link" and (address := attributes(token.text).get("href")):
                # hreflang of a page, or the address of an Atom entry
                if "entry" in parents:
                    location = location or address
                else:
                    found.page(address, None)
        elif token.kind == "end" and parents and token.name == parents[-1]:
            parents.pop()
            parent = parents[-1] if parents else ""
            if token.name in ("loc", "link") and parent in _ENTRIES:
                location = held or location
            elif token.name in _MEDIA and parent not in _ENTRIES:
                found.show(held)
            elif token.name in _DATES and parent in _ENTRIES:
                lastmod = held.strip() or None
            elif token.name in _ENTRIES and location:
                if token.name == "sitemap":
                    found.sitemap(location)
                else:
                    found.page(location, lastmod)
                location = None
            held = ""
    if location:
        # Cut in the middle of its last entry.
        found.page(location, lastmod)
