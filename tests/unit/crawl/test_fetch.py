"""Who may be asked, and what a fetch without an answer is called."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from pathlib import Path

import pytest
from tests.rigs.fetching import PROFILE, fetch_all, fetch_failure, fetch_one
from tests.rigs.rawserver import Pause, Script, raw_server

from healtharchive.crawl.exchange import Exchange, FetchError, FetchRequest
from healtharchive.crawl.fetch import Fetcher

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
def test_private_address_is_refused_before_anything_is_sent(host: str, tmp_path: Path) -> None:
    with raw_server({"/": Script(PAGE)}, host=host) as server:
        failure = fetch_failure(server.url("/"), tmp_path, allow_private=False)
        assert server.connections == 0
    assert failure.kind == "private"
    assert "loopback" in failure.message


def test_private_address_is_reached_when_the_profile_allows_it(tmp_path: Path) -> None:
    with raw_server({"/": Script(PAGE)}, host="localhost") as server:
        assert fetch_one(server.url("/"), tmp_path).ip in ("127.0.0.1", "::1")


def test_name_that_nobody_knows_is_a_dns_failure(tmp_path: Path) -> None:
    # A label that is too long: refused by the resolver's library, no question leaves this machine.
    failure = fetch_failure(f"http://{'a' * 64}.invalid/", tmp_path)
    assert (failure.kind, failure.is_local) == ("dns", False)


def test_port_where_nobody_listens_refuses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failure = fetch_failure(f"http://127.0.0.1:{port}/", tmp_path)
    assert (failure.kind, failure.is_local) == ("refused", False)


def test_lack_of_file_descriptors_is_our_machine_s_fault(tmp_path: Path) -> None:
    async def go() -> None:
        fetcher = Fetcher(PROFILE, tmp_path)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        held: list[socket.socket] = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
            while len(held) < 64:
                with contextlib.suppress(OSError):
                    held.append(socket.socket())
                    continue
                break
            await fetcher.fetch(FetchRequest("http://127.0.0.1:1/"))
        finally:
            for one in held:
                one.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            await fetcher.close()

    with pytest.raises(FetchError) as caught:
        asyncio.run(go())
    assert caught.value.is_local


def test_request_is_sent_as_it_is_recorded(tmp_path: Path) -> None:
    with raw_server({"/p?q=1": Script(PAGE)}) as server:
        exchange = fetch_one(
            FetchRequest(server.url("/p?q=1"), (("If-None-Match", '"a"'),)), tmp_path, user_agent="Archive/1 (+x)"
        )
    assert server.requests == [exchange.request]
    lines = exchange.request.decode().split("\r\n")
    assert lines[0] == "GET /p?q=1 HTTP/1.1"
    assert lines[1] == f"Host: 127.0.0.1:{server.port}"
    assert lines[2:] == [
        "User-Agent: Archive/1 (+x)",
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "Accept-Encoding: gzip, br, zstd",
        'If-None-Match: "a"',
        "",
        "",
    ]


def test_header_with_a_line_end_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line end"):
        fetch_all([FetchRequest("http://127.0.0.1/", (("Referer", "x\r\nEvil: 1"),))], tmp_path)


def test_no_more_connections_at_once_than_the_profile_says(tmp_path: Path) -> None:
    slow = Script(b"HTTP/1.1 200 OK\r\n", Pause(0.05), b"Content-Length: 2\r\n\r\nok", ending="keep")
    with raw_server({"/": slow}) as server:
        outcomes = fetch_all([server.url("/")] * 12, tmp_path, connections=3, at_once=True)
    assert all(isinstance(outcome, Exchange) for outcome in outcomes)
    assert server.connections == 3


def test_body_that_cannot_be_kept_is_an_os_error(tmp_path: Path) -> None:
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2_000_000)}) as server, pytest.raises(FileNotFoundError):
        fetch_all([server.url("/")], tmp_path / "gone")


def test_cancelled_fetch_leaves_no_connection_behind(tmp_path: Path) -> None:
    async def go(url: str) -> int:
        fetcher = Fetcher(PROFILE, tmp_path)
        task = asyncio.ensure_future(fetcher.fetch(FetchRequest(url)))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        left = len(fetcher._open)
        await fetcher.close()
        return left

    with raw_server({"/": Script(ending="hang")}) as server:
        assert asyncio.run(go(server.url("/"))) == 0
