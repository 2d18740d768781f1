"""URLs as browsers read them, the two identities derived from them, and their parts.

Fetching and identity use the WHATWG href: case, slashes, `www`, query order and escapes stay as the site wrote them, because
folding any of them could make two pages one and so lose a URL. Only the CDXJ key is lossy, by intent: it is a SURT.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes

from ada_url import join_url

URL_BYTES_MAX: Final = 16_384
"""Longer URLs are not fetched: no common server accepts a request line above 16 KiB, and a page can be one giant attribute."""

_NO_BASE: Final = "about:blank"  # a base that no relative reference can be joined to
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_HTTP: Final = ("http://", "https://")
_OTHER_SCHEME: Final = re.compile(r"(?!https?:|javascript:)[a-z][a-z0-9+.-]*://[^/?#]")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class UrlParts(NamedTuple):
    """Parts of a normalized URL. `query` lacks its `?`; `target` is what a request line asks for, a bare `?` included."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    origin: str
    target: str


def normalize(url: str, base: str | None = None) -> str | None:
    """The WHATWG href of `url`, joined to `base`, without fragment and userinfo; None if it is nothing that we can fetch.

    `\\\\host/x` and `////b` lead to another host, as they do in a browser (evidence/crawl.md section 7). Idempotent: the href of
    an href is itself. None for another scheme than http and https, an invalid host or port, and more than URL_BYTES_MAX bytes.
    """
    if len(url) > URL_BYTES_MAX:
        return None
    try:
        href = join_url(base or _NO_BASE, url)
    except ValueError:
        # The one failure that is not the URL's: WHATWG reads strings without lone surrogates, Python's may have them.
        if not _SURROGATE.search(url):
            return None
        return normalize(_SURROGATE.sub("\ufffd", url), base)
    if not href.startswith(_HTTP):
        return None
    # In an href `#` and, before the path, `@` are delimiters only: everywhere else they are escaped.
    if "#" in href:
        href = href[: href.index("#")]
    if "@" in href:
        start = href.index("//") + 2
        end = href.index("/", start)
        at = href.rfind("@", start, end)
        if at >= 0:
            href = href[:start] + href[at + 1 :]
    return href if len(href) <= URL_BYTES_MAX else None


def unfetched(url: str, base: str | None = None) -> str | None:
    """The href of an address that names a host by a scheme that we do not speak, such as `ftp` or `gopher`; else None.

    Such a link is no page that we could have, but somebody will ask why it is not there. What names no host (`mailto:`,
    `data:`, `javascript:`) is no address of anything.
    """
    if len(url) > URL_BYTES_MAX:
        return None
    try:
        href = join_url(base or _NO_BASE, url)
    except ValueError:
        return None
    return href if _OTHER_SCHEME.match(href) and len(href) <= URL_BYTES_MAX else None


def encode_query(url: str, charset: str) -> str:
    """`url` with what is not ASCII in its query escaped in the document's own `charset` (a Python codec), as browsers do.

    A windows-1252 page that links to `?q=é` means `%E9`; a server that was built for it may not know `%C3%A9`. Characters that
    the charset lacks become `&#NNN;`, escaped (WHATWG URL, percent-encode after encoding).
    """
    head, question, query = url.partition("?")
    if not question or query.isascii():
        return url
    query, hash_, fragment = query.partition("#")
    encoded = "".join(
        char if char.isascii() else quote_from_bytes(char.encode(charset, "xmlcharrefreplace"), safe="")
        for char in _SURROGATE.sub("\ufffd", query)
    )
    return f"{head}?{encoded}{hash_}{fragment}"


def url_key(href: str) -> bytes:
    """BLAKE2b-128 of a normalized href: the identity of a URL in the frontier and in the capture table. 16 bytes."""
    return blake2b(href.encode(), digest_size=16).digest()


def split(href: str) -> UrlParts:
    """The parts of a normalized href; the host in lower-case ASCII, IPv6 without brackets. Raises ValueError on anything else."""
    if not href.startswith(_HTTP):
        raise ValueError(f"not a normalized http(s) URL: {href[:200]!r}")
    scheme, _, rest = href.partition("://")
    authority, slash, rest = rest.partition("/")
    if not slash:
        raise ValueError(f"not a normalized http(s) URL: {href[:200]!r}")
    target = "/" + rest
    path, _, query = target.partition("?")
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        port = port[1:]
    else:
        host, _, port = authority.partition(":")
    return UrlParts(scheme, host, int(port) if port else _DEFAULT_PORTS[scheme], path, query, f"{scheme}://{authority}", target)


# What surt leaves as it is, but for case: no escapes, no empty path segments, no opening parentheses in the path (ASP session
# ids), no host that could be an address. Everything else goes to surt itself.
_PLAIN: Final = re.compile(
    r"(https?)://(?:www\d*\.)?([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(\d+))?"
    r"((?:/[A-Za-z0-9\-._~!$&'*+,;=:@)]+)*/?)(?:\?([A-Za-z0-9\-._~!$&'()*+,;=:@/?]*))?"
)
_SESSION: Final = re.compile(r"sid=|sessionid|cfid=", re.IGNORECASE)


def surt_key(href: str) -> str:
    """The CDXJ key of a URL: `com,example)/path?query`, equal to `surt.surt(href)` and three times as fast on common URLs.

    Lossy by intent (no scheme, no `www`, lower case, sorted query, session ids removed), so never an identity for fetching.
    """
    plain = _PLAIN.fullmatch(href)
    if plain is not None:
        scheme, host, port, path, query = plain.groups()
        if not host[-1].isdigit() and not (query and _SESSION.search(query)):
            key = ",".join(reversed(host.split(".")))
            if port and int(port) != _DEFAULT_PORTS[scheme]:
                key += f":{int(port)}"
            path = path.lower() or "/"
            key += ")" + (path[:-1] if len(path) > 1 and path[-1] == "/" else path)
            if query:
                key += "?" + _sorted_query(query.lower())
            return key
    from surt import surt  # imported late: it loads a public suffix list that most processes never need

    return str(surt(href))


def _sorted_query(query: str) -> str:
    if "&" not in query:
        return query
    return "&".join("=".join(pair) for pair in sorted(argument.split("=", 1) for argument in query.split("&")))
