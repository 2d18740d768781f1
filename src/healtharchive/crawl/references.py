"""A reference from one response to another address, and the collector that all readers of documents fill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from healtharchive.warc.urls import encode_query, normalize

LINKS_MAX: Final = 200_000  # of one document: ten times what the largest real page has, and some 100 MB of memory


class Hop(StrEnum):
    """How one came to a URL, in Heritrix' letters."""

    LINK = "L"
    EMBED = "E"
    REDIRECT = "R"
    SPECULATIVE = "X"
    PREREQUISITE = "P"
    SITEMAP = "M"


class Link(NamedTuple):
    """A reference: `url` is normalized; `tag` and `attribute` say where it stood (tag `header`: an HTTP header)."""

    url: str
    tag: str
    attribute: str
    hop: Hop


@dataclass(frozen=True)
class Extraction:
    """What a response refers to. `canonical` and `refresh` are among the links too; `truncated`: a limit cut something off."""

    links: tuple[Link, ...] = ()
    canonical: str | None = None
    refresh: str | None = None
    truncated: bool = False


class Collector:
    """Resolves what readers find; keeps each URL once a hop, where it stood first. The document's own URL is no link."""

    def __init__(self, url: str) -> None:
        self.base = url
        self.charset = "utf-8"  # of the document: its queries are escaped in it
        self.canonical: str | None = None
        self.refresh: str | None = None
        self.text_was_cut = False
        self.is_full = False
        self._url = url
        self._seen: set[tuple[str, Hop]] = set()
        self._links: dict[tuple[str, Hop], Link] = {}

    def add(self, address: str, tag: str, attribute: str, hop: Hop) -> str | None:
        """Take an address as written. Returns its URL, None if it is nothing to fetch or was seen before."""
        if "#" in address:
            # The first `#` begins the fragment, wherever it stands: a page's table of contents is resolved once.
            address = address[: address.index("#")]
        seen = (address, hop)
        if seen in self._seen or self.is_full:
            return None
        if len(self._seen) < 2 * LINKS_MAX:
            self._seen.add(seen)
        if hop is not Hop.LINK and not address.strip():
            return None  # an empty `src` shows nothing; an empty `href` leads to the base
        url = self.resolve(address)
        if url is None or url == self._url:
            return None
        key = (url, hop)
        if key not in self._links:
            if len(self._links) >= LINKS_MAX:
                self.is_full = True
                return None
            self._links[key] = Link(url, tag, attribute, hop)
        return url

    def resolve(self, address: str) -> str | None:
        """The URL that an address as written means in this document."""
        if self.charset != "utf-8" and "?" in address:
            address = encode_query(address, self.charset)
        return normalize(address, self.base)

    @contextmanager
    def below(self, codebase: str | None) -> Iterator[None]:
        """Resolve against `codebase` (itself resolved) while the block runs, if there is one that can be."""
        outside = self.base
        self.base = (self.resolve(codebase) if codebase else None) or outside
        try:
            yield
        finally:
            self.base = outside

    def extraction(self) -> Extraction:
        return Extraction(tuple(self._links.values()), self.canonical, self.refresh, self.text_was_cut or self.is_full)
