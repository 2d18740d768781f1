"""TLS and HTTP/2 with real servers: nginx, and the h2 library for what nginx never does."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from tests.rigs.certificates import Certificate, certificate
from tests.rigs.fetching import PROFILE, fetch_all, fetch_failure, fetch_one, record_one
from tests.rigs.http2server import http2_server
from tests.rigs.nginx import Site, nginx
from tests.rigs.rawserver import Script, raw_server

from healtharchive.crawl.exchange import Exchange, FetchRequest
from healtharchive.crawl.fetch import Fetcher

pytestmark = pytest.mark.drill

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A certificate for 127.0.0.1 and localhost whose authority this process trusts."""
    made = certificate(tmp_path / "tls", "127.0.0.1", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.authority))
    return made


def test_pages_come_over_http2_on_one_connection_and_are_recorded_as_such(trusted: Certificate, tmp_path: Path) -> None:
    root = tmp_path / "site"
    root.mkdir()
    for number in range(40):
        (root / f"{number}.html").write_text(f"<p>Page {number}</p>" * 2000)
    with nginx(tmp_path / "nginx", Site("s", root, extra=_https(trusted, "ssl http2") + "ssl_protocols TLSv1.3;")) as server:
        port = _https_port
        urls = [f"https://127.0.0.1:{port}/{number}.html" for number in range(40)]
        outcomes = fetch_all(urls, tmp_path, at_once=True)
        assert len({access.uri for access in server.accesses("s") if access.status == 200}) == 40
    exchanges = [outcome for outcome in outcomes if isinstance(outcome, Exchange)]
    assert len(exchanges) == 40
    for number, exchange in enumerate(exchanges):
        assert (exchange.status, exchange.protocol, exchange.tls, exchange.ip) == (200, "h2", "tls/1.3", "127.0.0.1")
        assert exchange.text_payload(1 << 20) == f"<p>Page {number}</p>".encode() * 2000
    _, written = record_one(exchanges[0], tmp_path)
    response = written[-1]
    assert response.block.startswith(b"HTTP/1.1 200 OK\r\nserver: nginx")
    assert b"\r\n\r\n\x1f\x8b" in response.block, "the body is as it came: compressed"
    assert response.headers["WARC-Protocol"] in ("h2", "tls/1.3")
    assert written[1].block.startswith(b"GET /0.html HTTP/1.1\r\nHost: 127.0.0.1:")


def test_more_exchanges_than_one_connection_may_carry(trusted: Certificate, tmp_path: Path) -> None:
    root = tmp_path / "site"
    root.mkdir()
    (root / "a.html").write_text("a")
    extra = _https(trusted, "ssl http2") + "keepalive_requests 2000;"
    with nginx(tmp_path / "nginx", Site("s", root, extra=extra)) as server:
        outcomes = fetch_all([f"https://127.0.0.1:{_https_port}/a.html"] * 1000, tmp_path, at_once=True)
        assert sum(1 for access in server.accesses("s") if access.uri == "/a.html") == 1000
    assert {outcome.status for outcome in outcomes if isinstance(outcome, Exchange)} == {200}


def test_http2_connection_that_the_server_closed_meanwhile_is_replaced(trusted: Certificate, tmp_path: Path) -> None:
    root = tmp_path / "site"
    root.mkdir()
    (root / "a.html").write_text("a")

    async def go(url: str) -> tuple[list[int], int]:
        fetcher = Fetcher(PROFILE, tmp_path)
        statuses = []
        for _ in range(3):
            statuses.append((await fetcher.fetch(FetchRequest(url))).status)
            await asyncio.sleep(1.5)
        kept = len(fetcher._open)
        await fetcher.close()
        return statuses, kept

    extra = _https(trusted, "ssl http2") + "keepalive_timeout 1s;"
    with nginx(tmp_path / "nginx", Site("s", root, extra=extra)):
        assert asyncio.run(go(f"https://127.0.0.1:{_https_port}/a.html")) == ([200, 200, 200], 1)


def test_machine_without_certificates_of_authorities_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    made = certificate(tmp_path / "tls", "127.0.0.1")
    with raw_server({"/": Script(PAGE)}, tls=made.server_context()) as server:
        failure = fetch_failure(server.url("/"), tmp_path)
    assert (failure.kind, failure.is_local) == ("tls", True)
    assert "apt-get install ca-certificates" in failure.message


def test_server_with_http1_only_is_asked_over_tls(trusted: Certificate, tmp_path: Path) -> None:
    with raw_server({"/": Script(PAGE, ending="keep")}, tls=trusted.server_context("http/1.1")) as server:
        outcomes = fetch_all([server.url("/"), server.url("/")], tmp_path)
    assert [(o.protocol, o.tls) for o in outcomes if isinstance(o, Exchange)] == [("http/1.1", "tls/1.3")] * 2
    assert server.connections == 1


def test_http2_can_be_switched_off(trusted: Certificate, tmp_path: Path) -> None:
    with raw_server({"/": Script(PAGE)}, tls=trusted.server_context("h2", "http/1.1")) as server:
        assert fetch_one(server.url("/"), tmp_path, http2=False).protocol == "http/1.1"


@pytest.mark.parametrize("nonsense", [b"this is no frame at all, not by far", b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0d"])
def test_server_that_offers_http2_and_cannot_do_it_is_asked_over_http1(
    nonsense: bytes, trusted: Certificate, tmp_path: Path
) -> None:
    scripts = {"*": Script(nonsense), "/": Script(PAGE)}  # the HTTP/2 preface reads as a request for "*"
    with raw_server(scripts, tls=trusted.server_context("h2", "http/1.1")) as server:
        outcomes = fetch_all([server.url("/"), server.url("/")], tmp_path)
    assert [o.protocol for o in outcomes if isinstance(o, Exchange)] == ["http/1.1", "http/1.1"]
    assert sum(request.startswith(b"PRI") for request in server.requests) == 1, "it is remembered"


def test_certificate_of_an_unknown_authority_is_a_tls_failure(tmp_path: Path) -> None:
    unknown = certificate(tmp_path / "tls", "127.0.0.1")
    with raw_server({"/": Script(PAGE)}, tls=unknown.server_context()) as server:
        failure = fetch_failure(server.url("/"), tmp_path)
    assert failure.kind == "tls"
    assert "certificate was not accepted" in failure.message


def test_certificate_for_another_host_is_a_tls_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = certificate(tmp_path / "tls", "example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(other.authority))
    with raw_server({"/": Script(PAGE)}, tls=other.server_context()) as server:
        assert fetch_failure(server.url("/"), tmp_path).kind == "tls"


def test_server_without_tls_is_a_tls_failure(tmp_path: Path) -> None:
    with raw_server({"/": Script(PAGE)}) as server:
        failure = fetch_failure(server.url("/").replace("http:", "https:"), tmp_path, timeout_seconds=0.5)
    assert failure.kind in ("tls", "timeout")


def test_body_until_close_over_tls_is_whole_without_a_closing_alert(trusted: Certificate, tmp_path: Path) -> None:
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100_000)}, tls=trusted.server_context()) as server:
        exchange = fetch_one(server.url("/"), tmp_path)
    assert (exchange.body.size, exchange.truncated) == (100_000, None)


HEAD = [(":status", "200"), ("content-type", "text/html"), ("transfer-encoding", "chunked"), ("x-order", "kept")]


def _answer(*, body: bytes = b"hello", end: bool = True) -> Callable[[H2Connection, int], None]:
    def part(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, HEAD)
        h2.send_data(stream, body, end_stream=end)

    return part


def _interim_and_trailers(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [(":status", "103"), ("link", "</a.css>")])
    h2.send_headers(stream, HEAD)
    h2.send_data(stream, b"hello")
    h2.send_headers(stream, [("x-checksum", "5d41")], end_stream=True)


def _reset_in_body(h2: H2Connection, stream: int) -> None:
    _answer(end=False)(h2, stream)
    h2.reset_stream(stream, ErrorCodes.INTERNAL_ERROR)


def _go_away_in_body(h2: H2Connection, stream: int) -> None:
    _answer(end=False)(h2, stream)
    h2.close_connection()


def _flood(h2: H2Connection, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200"), *((f"x-{number}", "a" * 1000) for number in range(100))], end_stream=True)


def _forbid(h2: H2Connection, stream: int) -> None:
    h2.reset_stream(stream, ErrorCodes.HTTP_1_1_REQUIRED)


def _only_h2(trusted: Certificate) -> ssl.SSLContext:
    return trusted.server_context("h2")


def test_interim_responses_and_trailers_of_http2_are_kept(trusted: Certificate, tmp_path: Path) -> None:
    with http2_server({"/": _interim_and_trailers}, _only_h2(trusted)) as server:
        exchange = fetch_one(server.url("/"), tmp_path)
    assert exchange.head == b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nx-order: kept\r\n\r\n"
    assert exchange.interim == b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    assert exchange.trailers == b"x-checksum: 5d41\r\n"
    assert exchange.body.read() == b"hello"
    record_one(exchange, tmp_path)


@pytest.mark.parametrize("part", [_reset_in_body, _go_away_in_body])
def test_http2_response_that_breaks_off_is_kept_as_far_as_it_came(
    part: Callable[[H2Connection, int], None], trusted: Certificate, tmp_path: Path
) -> None:
    with http2_server({"/": part}, _only_h2(trusted)) as server:
        exchange = fetch_one(server.url("/"), tmp_path)
    assert (exchange.body.read(), exchange.truncated) == (b"hello", "disconnect")


def test_http2_response_that_stalls_is_cut(trusted: Certificate, tmp_path: Path) -> None:
    with http2_server({"/": _answer(end=False), "/next": _answer()}, _only_h2(trusted)) as server:
        outcomes = fetch_all([server.url("/"), server.url("/next")], tmp_path, timeout_seconds=0.5)
    assert [(o.body.read(), o.truncated) for o in outcomes if isinstance(o, Exchange)] == [(b"hello", "time"), (b"hello", None)]
    assert server.connections == 1, "one slow stream does not cost the connection"


def test_http2_body_above_the_limit_is_cut_there(trusted: Certificate, tmp_path: Path) -> None:
    with http2_server({"/": _answer(body=b"x" * 10_000)}, _only_h2(trusted)) as server:
        exchange = fetch_one(server.url("/"), tmp_path, body_bytes_max=1000)
    assert (exchange.body.size, exchange.truncated) == (1000, "length")


def test_http2_flood_of_headers_is_one_outcome(trusted: Certificate, tmp_path: Path) -> None:
    with http2_server({"/": _flood}, _only_h2(trusted)) as server:
        assert fetch_failure(server.url("/"), tmp_path, timeout_seconds=1.0).kind == "toobig"


def test_http2_stream_that_wants_http1_gets_it(trusted: Certificate, tmp_path: Path) -> None:
    with http2_server({"/": _forbid}, trusted.server_context("h2", "http/1.1")) as server:
        fetch_failure(server.url("/"), tmp_path, timeout_seconds=1.0)
        assert server.connections == 2, "a second connection, without h2"


_https_port = 0


def _https(made: Certificate, how: str) -> str:
    """nginx configuration for one more, encrypted, port."""
    import socket

    global _https_port
    with socket.create_server(("127.0.0.1", 0)) as free:
        _https_port = free.getsockname()[1]
    return f"listen 127.0.0.1:{_https_port} {how}; ssl_certificate {made.chain}; ssl_certificate_key {made.key};"
