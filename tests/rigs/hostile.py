"""A website that does everything wrong that a website can do, and what each wrong thing has to come to in the ledger.

Every entry of `hostile_site` is one URL that the start page refers to, with the outcome that a crawl must record for it: its
state, and words that its reason or rule must hold so that a person understands it.
"""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tests.rigs.certificates import certificate
from tests.rigs.rawserver import RawServer, Repeat, Script, raw_server

MIB = 1 << 20
BODY_BYTES_MAX = 3 * MIB
REDIRECTS_MAX = 8
TIMEOUT_SECONDS = 1.0
TEN_GIGABYTES = 10 * 1024 * MIB
DEAD = 8  # pages that never answer: more failures in a row than a host is given before it is called silent

PROFILE = {
    "timeout_seconds": TIMEOUT_SECONDS,
    "url_retries": 2,
    "retry_seconds": 0.1,
    "body_bytes_max": BODY_BYTES_MAX,
    "redirects_max": REDIRECTS_MAX,
}


@dataclass(frozen=True)
class Bad:
    """One thing that is wrong. `words` must occur in the reason or the rule of its row."""

    name: str
    url: str
    state: str
    words: str = ""


@dataclass(frozen=True)
class HostileSite:
    """The site's start page, what it refers to, and its servers."""

    start: str
    bad: tuple[Bad, ...]
    found: tuple[str, ...]  # URLs that only a damaged page names
    main: RawServer
    authority: Path  # the one authority to trust: not that of the site with a certificate of its own making


@contextmanager
def hostile_site(directory: Path) -> Iterator[HostileSite]:
    """Serve all of it on addresses of the loopback network until the block ends."""
    trusted, untrusted = (certificate(directory / name, "127.0.0.1") for name in ("trusted", "untrusted"))
    with contextlib.ExitStack() as servers:

        def serve(address: str, robots: Script) -> RawServer:
            paths = {"/robots.txt": robots, "/robots.txt?": robots, "/i.png": _ok(b"PNG", "image/png")}
            return servers.enter_context(raw_server(paths, address=address))

        https = servers.enter_context(raw_server({}, tls=untrusted.server_context()))
        robots = {name: serve(f"127.0.1.{n}", script) for n, (name, script) in enumerate(_ROBOTS.items(), 1)}
        elsewhere = [
            Bad("a scheme that nobody knows", "gopher://127.0.0.1/menu", "excluded", "scheme"),
            Bad("a name that does not resolve", "http://nowhere.invalid/i.png", "failed", "nowhere.invalid cannot be resolved"),
            Bad("a port where nobody listens", "http://127.0.2.1:1/i.png", "failed", "refused"),
            Bad("a certificate of its own making", https.url("/i.png"), "failed", "its certificate was not accepted"),
            Bad(
                "no TLS at all",
                robots["is HTML"].url("/i.png").replace("http:", "https:"),
                "robots",
                "did not complete the TLS handshake",
            ),
            *(Bad(f"robots.txt {name}", server.url("/i.png"), *_ROBOTS_MEAN[name]) for name, server in robots.items()),
        ]
        refers = "".join(f'<a href="{path}">{path}</a>\n' for path in (*_MEAN, "/around/0"))
        refers += "".join(f'<{_element(each.url)}="{escape(each.url)}">\n' for each in elsewhere)
        start = _ok(f"<!doctype html><title>All that is wrong</title><p>wickedness {refers}".encode())
        main = servers.enter_context(raw_server({"/": start, **_PAGES}))
        bad = [*elsewhere, *(Bad(path, main.url(path), *meaning) for path, meaning in _MEAN.items())]
        bad.append(Bad("an endless redirect", main.url(f"/around/{REDIRECTS_MAX + 1}"), "failed", "redirects in a row"))
        yield HostileSite(main.url("/"), tuple(bad), tuple(map(main.url, _FOUND)), main, trusted.authority)


def _element(url: str) -> str:
    """What a crawl of the host follows to other hosts are the images of a page, not its links."""
    return "img src" if url.endswith(".png") else "a href"


def _head(mime: str = "text/html; charset=utf-8", *more: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Type: {mime}", *more, "", ""]).encode("latin-1")


def _ok(body: bytes, mime: str = "text/html; charset=utf-8", *more: str) -> Script:
    return Script(_head(mime, f"Content-Length: {len(body)}", *more), body)


def _redirect(to: str) -> Script:
    return Script(_head("text/html", f"Location: {to}", "Content-Length: 0", status="302 Found"))


# 40 of them unpack to 2.5 gigabytes of what is a page to a parser.
_GZIP_MEMBER = gzip.compress(b"<a href=/found-1>" * (64 * MIB // 17), 9)
_NOISE = os.urandom(4096) * 16

_PAGES: dict[str, Script] = {
    "/robots.txt": _ok(b"User-agent: *\nAllow: /\n", "text/plain"),
    "/sitemap.xml": _ok(b"<urlset><url><loc>http://[</loc></url><url", "application/xml"),
    "/i.png": _ok(b"PNG", "image/png"),
    "/wrong-charset": _ok("<title>Santé</title><a href='/found-1'>été</a>".encode("latin-1"), "text/html; charset=utf-8"),
    "/unknown-charset": _ok(b"<title>nuqneH</title><a href=/found-2>x</a>", "text/html; charset=klingon"),
    "/broken-html": _ok(b"<html><<body <p><a href='/found-3'<table></p></html><!-- <a b=\"></title><script>" + b"<div>" * 50_000),
    "/nul-bytes": Script(_head("text/html", "X-Nul: a\0b"), b"<title>N\0UL</title>\0<a href='/found-4'>\0</a>" + bytes(100_000)),
    "/gzip-bomb": Script(_head("text/html", "Content-Encoding: gzip"), Repeat(_GZIP_MEMBER, 40)),
    "/ten-gigabytes": Script(
        _head("video/mp4", f"Content-Length: {TEN_GIGABYTES}"), Repeat(_NOISE, TEN_GIGABYTES // len(_NOISE))
    ),
    "/endless-chunks": Script(_head("text/plain", "Transfer-Encoding: chunked"), Repeat(b"1\r\nx\r\n" * 5000, 1_000_000)),
    "/header-flood": Script(b"HTTP/1.1 200 OK\r\n", Repeat(b"X: " + b"a" * 65_000 + b"\r\n", 5_000)),
    "/many-headers": Script(b"HTTP/1.1 200 OK\r\n", Repeat(b"X: y\r\n" * 1000, 1_000)),
    "/stalls": Script(ending="hang"),
    "/stalls-in-the-head": Script(b"HTTP/1.1 200 OK\r\nContent-Ty", ending="hang"),
    "/stalls-in-the-body": Script(_head("text/html", "Content-Length: 1000"), b"<title>half", ending="hang"),
    "/says-nothing": Script(),
    "/closes-in-the-head": Script(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "/closes-in-the-body": Script(_head("text/html", "Content-Length: 1000"), b"<title>half"),
    "/resets-in-the-body": Script(_head("text/html", "Content-Length: 1000"), b"<title>half", ending="reset"),
    "/no-http": Script(b"SSH-2.0-OpenSSH_9.2p1\r\n" + _NOISE),
    "/damaged-gzip": _ok(_GZIP_MEMBER[:1000], "text/html", "Content-Encoding: gzip"),
    "/ping": _redirect("/pong"),
    "/pong": _redirect("/ping"),
    "/to-itself": _redirect("/to-itself"),
    "/to-ftp": _redirect("ftp://127.0.0.1/file"),
    "/to-nowhere": _redirect("http://nowhere.invalid/"),
    "/to-rubbish": _redirect("http://[::1"),
    "/wait": Script(_head("text/html", "Retry-After: soon", "Content-Length: 0", status="503 Wait")),
    **{f"/around/{n}": _redirect(f"/around/{n + 1}") for n in range(30)},
    **{f"/dead/{n}": Script(ending="hang") for n in range(DEAD)},
    **{f"/found-{n}": _ok(b"<title>found</title>") for n in (1, 2, 3, 4)},
}
_FOUND = tuple(f"/found-{n}" for n in (1, 2, 3, 4))

_CUT = "cut at the longest response stored"
_MEAN: dict[str, tuple[str, str]] = {
    "/wrong-charset": ("captured", ""),
    "/unknown-charset": ("captured", ""),
    "/broken-html": ("captured", ""),
    "/nul-bytes": ("captured", ""),
    "/gzip-bomb": ("captured", ""),
    "/ten-gigabytes": ("captured", _CUT),
    "/endless-chunks": ("captured", _CUT),
    "/header-flood": ("failed", "toobig"),
    "/many-headers": ("failed", "toobig"),
    "/stalls": ("failed", "timeout"),
    "/stalls-in-the-head": ("captured", "took too long"),
    "/stalls-in-the-body": ("captured", "took too long"),
    "/says-nothing": ("failed", "reset"),
    "/closes-in-the-head": ("captured", "the connection ended inside the response"),
    "/closes-in-the-body": ("captured", "the connection ended inside the response"),
    "/resets-in-the-body": ("captured", "the connection ended inside the response"),
    "/no-http": ("failed", "protocol"),
    "/damaged-gzip": ("captured", ""),
    "/ping": ("captured", ""),
    "/to-itself": ("captured", ""),
    "/to-ftp": ("captured", ""),
    "/to-nowhere": ("captured", ""),
    "/to-rubbish": ("captured", ""),
    "/wait": ("failed", "HTTP 503 Wait"),
    **{f"/dead/{n}": ("failed", "timeout") for n in range(DEAD)},
}

_ROBOTS: dict[str, Script] = {
    "answers 503": Script(_head("text/plain", "Content-Length: 0", status="503 No")),
    "stalls": Script(ending="hang"),
    "closes": Script(),
    "is noise": _ok(_NOISE, "text/plain"),
    "is no HTTP": Script(_NOISE),
    "has a megabyte": _ok(b"User-agent: *\nAllow: /\n" + b"Disallow: /x\n" * 80_000, "text/plain"),
    "is HTML": _ok(b"<html><body>Disallow: /", "text/html"),
    "redirects for ever": _redirect("/robots.txt?"),
}
_COULD_NOT = ("robots", "robots.txt could not be had")
_ROBOTS_MEAN: dict[str, tuple[str, str]] = {
    "answers 503": _COULD_NOT,
    "stalls": _COULD_NOT,
    "closes": _COULD_NOT,
    "is noise": ("captured", ""),
    "is no HTTP": _COULD_NOT,
    "has a megabyte": ("captured", ""),
    "is HTML": ("captured", ""),
    "redirects for ever": ("captured", ""),
}
