"""A reference from one response to another address, and the collector that all readers of documents fill."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from healtharchive.warc.urls import encode_query, normalize, unfetched

LINKS_MAX: Final = 200_000  # of one document: ten times what the largest real page has, and some 100 MB of memory
RESOLVED_MAX: Final = 16_384
RESOLVED_LENGTH_MAX: Final = 512  # of an address and of a directory: with it the memory stays below 40 MB
UNFETCHED_MAX: Final = 1_000  # links of one document by schemes that are not ours

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


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
    """What a response refers to. `canonical` and `refresh` are among the links too; `truncated`: a limit cut something off.

    `unfetched` are links by schemes that are not ours; their `url` is no normalized one.
    """

    links: tuple[Link, ...] = ()
    unfetched: tuple[Link, ...] = ()
    canonical: str | None = None
    refresh: str | None = None
    truncated: bool = False


class Collector:
    """Resolves what readers find; keeps each URL once a hop, where it stood first. The document's own URL is no link."""

    def __init__(self, url: str) -> None:
        self._enter(url)
        self.charset = "utf-8"  # of the document: its queries are escaped in it
        self.canonical: str | None = None
        self.refresh: str | None = None
        self.text_was_cut = False
        self.is_full = False
        self._url = url
        self._seen: set[tuple[str, Hop]] = set()
        self._links: dict[tuple[str, Hop], Link] = {}
        self._unfetched: dict[str, Link] = {}

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
        if url is None:
            self._note_unfetched(address, tag, attribute, hop)
            return None
        if url == self._url:
            return None
        key = (url, hop)
        if key not in self._links:
            if len(self._links) >= LINKS_MAX:
                self.is_full = True
                return None
            self._links[key] = Link(url, tag, attribute, hop)
        return url

    def _note_unfetched(self, address: str, tag: str, attribute: str, hop: Hop) -> None:
        # What looks like an address in a script may be anything.
        if hop is Hop.SPECULATIVE or len(self._unfetched) >= UNFETCHED_MAX:
            return
        url = unfetched(address, self.base)
        if url is not None:
            self._unfetched.setdefault(url, Link(url, tag, attribute, hop))

    def resolve(self, address: str) -> str | None:
        """The URL that an address as written means in this document."""
        is_usual = len(self._directory) <= RESOLVED_LENGTH_MAX
        if is_usual and _PLAIN_NAME.fullmatch(address):
            # Half of all links: nothing in it needs escaping or could be a scheme, a host or a step up.
            return self._directory + address
        if self.charset != "utf-8" and "?" in address:
            address = encode_query(address, self.charset)
        if is_usual and _is_of_directory(address):
            return _resolved(self._directory, address)
        return normalize(address, self.base)

    @contextmanager
    def below(self, codebase: str | None) -> Iterator[None]:
        """Resolve against `codebase` (itself resolved) while the block runs, if there is one that can be."""
        outside = self.base
        self._enter((self.resolve(codebase) if codebase else None) or outside)
        try:
            yield
        finally:
            self._enter(outside)

    def _enter(self, base: str) -> None:
        self.base = base
        path = base.partition("?")[0]
        self._directory = path[: path.rindex("/") + 1]

    def extraction(self) -> Extraction:
        links, unfetched_ = tuple(self._links.values()), tuple(self._unfetched.values())
        return Extraction(links, unfetched_, self.canonical, self.refresh, self.text_was_cut or self.is_full)


def _is_of_directory(address: str) -> bool:
    """Whether an address means the same on every page of a directory: it is no bare query, and no `http:x` without slashes."""
    if len(address) > RESOLVED_LENGTH_MAX or address[:1] <= " " or address[0] == "?":
        return False
    return ":" not in address or address.startswith(("http://", "https://"))


@lru_cache(RESOLVED_MAX)
def _resolved(directory: str, address: str) -> str | None:
    """The pages of a site share their navigation, so that most addresses were resolved on the page before."""
    return normalize(address, directory)
