"""XML that names addresses: RSS, RDF and Atom feeds with the markup in their items, site maps, and any `xml-stylesheet`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from healtharchive.crawl import sitemaps
from healtharchive.crawl.hypertext import read_fragment
from healtharchive.crawl.references import Collector, Hop
from healtharchive.crawl.xmlscan import attributes, tokens
from healtharchive.warc import charset as charsets

MARKUP_ITEMS_MAX: Final = 5_000  # of one feed, whose markup is parsed

_FEEDS: Final = frozenset({"rss", "feed", "rdf"})
_SITEMAPS: Final = frozenset({"urlset", "sitemapindex"})
_MARKUP: Final = frozenset({"description", "encoded", "content", "summary", "subtitle"})
_IN_TEXT: Final[Mapping[str, Hop]] = {
    "link": Hop.LINK,
    "guid": Hop.LINK,
    "comments": Hop.LINK,
    "uri": Hop.LINK,
    "url": Hop.EMBED,  # of a channel's image
    "icon": Hop.EMBED,
    "logo": Hop.EMBED,
}
_IN_ATTRIBUTE: Final[Mapping[str, tuple[str, Hop]]] = {
    "link": ("href", Hop.LINK),
    "a": ("href", Hop.LINK),  # Atom may hold XHTML as elements
    "img": ("src", Hop.EMBED),
    "enclosure": ("url", Hop.EMBED),
    "content": ("url", Hop.EMBED),  # of Media RSS; Atom's is `src`
    "thumbnail": ("url", Hop.EMBED),
    "image": ("href", Hop.EMBED),
    "source": ("url", Hop.LINK),
}
_ADDRESS: Final = re.compile(r"(?:https?:)?/\S+|[\w.-]+/\S+", re.IGNORECASE)


def read(payload: bytes, charset: str | None, found: Collector) -> None:
    """Collect from XML, by what its first element is."""
    is_feed = False
    element, inside, held, markup_items = "", {}, "", 0
    root = ""
    for token in tokens(charsets.decode(payload, header=charset, kind="xml")):
        if token.kind == "pi":
            if token.name == "xml-stylesheet" and (address := attributes(token.text).get("href")):
                found.add(address, "xml-stylesheet", "href", Hop.EMBED)
        elif token.kind == "start":
            if not root:
                root, is_feed = token.name, token.name in _FEEDS
                if root in _SITEMAPS:
                    _read_sitemap(payload, found)
                if not is_feed:
                    return
            element, inside, held = token.name, attributes(token.text), ""
            name, hop = _IN_ATTRIBUTE.get(element, ("", Hop.LINK))
            if address := inside.get(name):
                found.add(address, element, name, hop)
        elif token.kind == "text":
            held += token.text
        elif element:
            text = held.strip()
            if element in _MARKUP and "<" in text and markup_items < MARKUP_ITEMS_MAX:
                read_fragment(text, found)
                markup_items += 1
            elif element in _IN_TEXT and inside.get("ispermalink") != "false" and _ADDRESS.fullmatch(text):
                found.add(text, element, "text", _IN_TEXT[element])
            element, held = "", ""


def _read_sitemap(payload: bytes, found: Collector) -> None:
    sitemap = sitemaps.parse(payload, found.base)
    for url in sitemap.sitemaps:
        found.add(url, "sitemap", "loc", Hop.SITEMAP)
    for url, _ in sitemap.urls:
        found.add(url, "url", "loc", Hop.LINK)
    for url in sitemap.media:
        found.add(url, "media", "loc", Hop.EMBED)
    found.text_was_cut = found.text_was_cut or sitemap.cut
