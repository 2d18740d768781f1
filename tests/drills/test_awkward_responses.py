"""Awkward responses, sent by a raw socket: stored byte for byte, marked where they are not whole, readable by every client."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.fetching import fetch_all, fetch_failure, fetch_one, record_all, record_one
from tests.rigs.rawserver import Ending, Pause, Repeat, Script, raw_server

from healtharchive.crawl.exchange import Exchange
from healtharchive.crawl.recorder import Recorder
from healtharchive.warc.reader import read

pytestmark = pytest.mark.drill

HTML = b"<!doctype html><title>Awkward</title><p>A page.</p>"


@dataclass(frozen=True)
class Awkward:
    """A response, and how it must be understood. `block` is what the record must hold; all that was sent, if not given."""

    name: str
    sent: tuple[bytes | Pause, ...]
    ending: Ending = "close"
    status: int = 200
    entity: bytes = HTML
    truncated: str | None = None
    block: bytes | None = None
    header: tuple[str, str] | None = None
    interim: bytes = b""

    @property
    def stored(self) -> bytes:
        return b"".join(piece for piece in self.sent if isinstance(piece, bytes)) if self.block is None else self.block


LENGTH = b"Content-Length: %d\r\n" % len(HTML)
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\n%s\r\n%x\r\n%s\r\n" % (HTML[:5], len(HTML) - 5, HTML[5:])

AWKWARD = (
    Awkward("ordinary", (b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML,), "keep"),
    Awkward(
        "folded header",
        (b"HTTP/1.1 200 OK\r\nX-Long: one\r\n two\r\n\tthree\r\n" + LENGTH + b"\r\n" + HTML,),
        "keep",
        header=("x-long", "one two three"),
    ),
    Awkward("folded before any header", (b"HTTP/1.1 200 OK\r\n folded\r\n" + LENGTH + b"\r\n" + HTML,), "keep"),
    Awkward("LF only", (b"HTTP/1.1 200 OK\nContent-Length: %d\nX: y\n\n" % len(HTML) + HTML,), "keep", header=("x", "y")),
    Awkward("LF and CRLF mixed", (b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: %d\n\r\n" % len(HTML) + HTML,), "keep"),
    Awkward("until close", (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", Pause(0.05), HTML)),
    Awkward("HTTP/1.0 until close", (b"HTTP/1.0 200 OK\r\n\r\n" + HTML,)),
    Awkward("no reason phrase", (b"HTTP/1.1 200\r\n" + LENGTH + b"\r\n" + HTML,), "keep"),
    Awkward("lower-case protocol without version", (b"http 200 fine\r\n\r\n" + HTML,)),
    Awkward(
        "short body",
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + HTML,),
        truncated="disconnect",
    ),
    Awkward(
        "reset in the body",
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + HTML, Pause(0.1)),
        "reset",
        truncated="disconnect",
    ),
    Awkward("reset of a body until close", (b"HTTP/1.1 200 OK\r\n\r\n" + HTML, Pause(0.1)), "reset", truncated="disconnect"),
    Awkward(
        "reset in the head",
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Len", Pause(0.1)),
        "reset",
        entity=b"",
        truncated="disconnect",
        header=("content-type", "text/html"),
    ),
    Awkward(
        "stall in the body", (b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML[:20],), "hang", entity=HTML[:20], truncated="time"
    ),
    Awkward("chunked", (CHUNKED + CHUNKS + b"0\r\n\r\n",), "keep"),
    Awkward("chunked in many pieces", tuple(bytes([byte]) for byte in CHUNKED + CHUNKS + b"0\r\n\r\n"), "keep"),
    Awkward(
        "chunk extensions and spaces", (CHUNKED + b"5 ;a=b\r\n%s\r\n2e;x\r\n%s\r\n0;last\r\n\r\n" % (HTML[:5], HTML[5:]),), "keep"
    ),
    Awkward("chunks with LF only", (CHUNKED + (CHUNKS + b"0\r\n\r\n").replace(b"\r\n", b"\n"),), "keep"),
    Awkward(
        "two transfer codings",
        (CHUNKED.replace(b"chunked", b"identity\r\nTransfer-Encoding: chunked") + CHUNKS + b"0\r\n\r\n",),
        "keep",
    ),
    Awkward(
        "identity coding with a length",
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + HTML,),
        "keep",
    ),
    Awkward("trailers", (CHUNKED + CHUNKS + b"0\r\nX-Checksum: abc\r\nX-More: d\r\n\r\n",), "keep"),
    Awkward(
        "bad chunk", (CHUNKED + b"5\r\n%s\r\nzz\r\nrest" % HTML[:5],), entity=HTML[:5] + b"zz\r\nrest", truncated="disconnect"
    ),
    Awkward(
        "bad chunk on a connection that stays",
        (CHUNKED + b"5\r\n%s\r\nzz\r\nrest" % HTML[:5],),
        "hang",
        entity=HTML[:5] + b"zz\r\nrest",
        truncated="disconnect",
    ),
    Awkward("short chunk", (CHUNKED + b"40\r\n" + HTML,), truncated="disconnect"),
    Awkward("no last chunk", (CHUNKED + CHUNKS,), truncated="disconnect"),
    Awkward("Content-Length twice, the same", (b"HTTP/1.1 200 OK\r\n" + LENGTH * 2 + b"\r\n" + HTML,), "keep"),
    Awkward(
        "Content-Length twice, different; the larger is meant",
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n" + LENGTH + b"\r\n" + HTML,),
        "keep",
    ),
    Awkward(
        "Content-Length twice, different; the smaller is meant",
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n" + LENGTH + b"\r\n" + HTML,),
        "hang",
    ),
    Awkward("Content-Length that is no number", (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + HTML,)),
    Awkward(
        "Content-Length besides chunks",
        (CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\n") + CHUNKS + b"0\r\n\r\n",),
        "keep",
    ),
    Awkward(
        "bytes behind the body",
        (b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML + b"junk",),
        "keep",
        block=b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML,
    ),
    Awkward(
        "100 and 103 first",
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
            Pause(0.05),
            b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML,
        ),
        "keep",
        block=b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n" + HTML,
        interim=b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n",
    ),
    Awkward(
        "204 that claims a body", (b"HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n",), "keep", status=204, entity=b""
    ),
    Awkward(
        "space before colon",
        (b"HTTP/1.1 200 OK\r\nX-Spaced : yes\r\nContent-Length : %d\r\n\r\n" % len(HTML) + HTML,),
        "keep",
        header=("x-spaced", "yes"),
    ),
    Awkward(
        "bad header line", (b"HTTP/1.1 200 OK\r\nthis line says nothing\r\n: no name\r\n" + LENGTH + b"\r\n" + HTML,), "keep"
    ),
    Awkward(
        "NUL bytes",
        (b"HTTP/1.1 200 OK\r\nX-Nul: a\0b\r\n" + LENGTH + b"\r\n" + HTML[:-1] + b"\0",),
        "keep",
        entity=HTML[:-1] + b"\0",
    ),
    Awkward(
        "bytes that are not ASCII", ("HTTP/1.1 200 Très bien\r\nX-Nom: Montréal\r\n".encode() + LENGTH + b"\r\n" + HTML,), "keep"
    ),
    Awkward("status without a meaning", (b"HTTP/1.1 999 Request denied\r\n" + LENGTH + b"\r\n" + HTML,), "keep", status=999),
)


@pytest.mark.parametrize("case", AWKWARD, ids=lambda case: case.name)
def test_awkward_response_is_stored_byte_for_byte(case: Awkward, tmp_path: Path) -> None:
    with raw_server({"/page": Script(*case.sent, ending=case.ending)}) as server:
        exchange = fetch_one(server.url("/page"), tmp_path, timeout_seconds=1.0)
    assert exchange.status == case.status
    assert b"".join(exchange.entity()) == case.entity
    assert exchange.truncated == case.truncated
    assert exchange.interim == case.interim
    if case.header:
        assert exchange.header(case.header[0]) == case.header[1]
    stored, written = record_one(exchange, tmp_path)
    response = written[-1]
    assert response.kind == "response"
    assert response.block == case.stored
    assert response.headers.get("WARC-Truncated") == case.truncated
    assert (stored.offset, stored.length) == (response.offset, response.length)
    request = next(record for record in written if record.kind == "request")
    assert request.block == server.requests[0] == exchange.request


def test_interim_responses_are_kept_verbatim_beside_the_response(tmp_path: Path) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with raw_server({"/": Script(interim + final)}) as server:
        _, written = record_one(fetch_one(server.url("/"), tmp_path), tmp_path)
    info, request, metadata, response = written
    assert [record.kind for record in written] == ["warcinfo", "request", "metadata", "response"]
    assert response.block == final
    assert metadata.headers["WARC-Concurrent-To"] == response.headers["WARC-Record-ID"] == request.headers["WARC-Concurrent-To"]
    assert _field(metadata.block, "interim-responses-base64") == interim
    assert b"software: tests" in info.block


def test_a_crawl_goes_on_over_new_connections_after_every_awkward_response(tmp_path: Path) -> None:
    scripts = {
        f"/{number}": Script(*case.sent, ending=case.ending) for number, case in enumerate(AWKWARD) if case.ending != "hang"
    }
    with raw_server(scripts) as server:
        outcomes = fetch_all([server.url(path) for path in scripts], tmp_path)
    assert all(isinstance(outcome, Exchange) for outcome in outcomes)
    assert len(server.requests) == len(scripts)


def test_flood_of_headers_is_one_outcome_and_what_came_of_it_is_kept(tmp_path: Path) -> None:
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n", Repeat(b"X-Flood: " + b"a" * 1000 + b"\r\n", 100_000))}) as server:
        failure = fetch_failure(server.url("/"), tmp_path)
    assert failure.kind == "toobig"
    assert failure.received.startswith(b"HTTP/1.1 200 OK\r\nX-Flood: a")
    assert len(failure.received) <= 65_536
    at = datetime(2026, 1, 31, tzinfo=UTC)
    _, written = record_all(tmp_path, lambda recorder: recorder.add_failure(server.url("/"), failure, at=at))
    assert _field(written[-1].block, "received-base64") == failure.received


@pytest.mark.parametrize("flood", [b"\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_flood_of_what_comes_before_a_head_ends(flood: bytes, tmp_path: Path) -> None:
    with raw_server({"/": Script(Repeat(flood * 1000, 10_000))}) as server:
        assert fetch_failure(server.url("/"), tmp_path).kind == "toobig"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Script(), "reset"),
        (Script(ending="reset"), "reset"),
        (Script(ending="hang"), "timeout"),
        (Script(b"HTTP/1.1 2", ending="close"), "reset"),
        (Script(b"HTTP/1.1 2", ending="hang"), "timeout"),
        (Script(b"HTTP/1.1 100 Continue\r\n\r\n", ending="close"), "reset"),
        (Script(b"SSH-2.0-OpenSSH_9.2\r\n", ending="hang"), "protocol"),
        (Script(b"\0\0\0\0\0\0", ending="hang"), "protocol"),
        (Script(b"<html>no head at all</html>"), "protocol"),
        (Script(b"HTTP/1.1 OK\r\n\r\n"), "protocol"),
    ],
    ids=lambda value: repr(value.data) + value.ending if isinstance(value, Script) else None,
)
def test_what_is_no_response_is_one_failure_with_its_bytes(script: Script, kind: str, tmp_path: Path) -> None:
    with raw_server({"/": script}) as server:
        failure = fetch_failure(server.url("/"), tmp_path, timeout_seconds=0.5)
    assert failure.kind == kind
    assert failure.received == script.data
    assert not failure.is_local


def test_a_server_that_drips_for_ever_is_cut_at_the_total_limit(tmp_path: Path) -> None:
    drip = [piece for _ in range(100) for piece in (b"x", Pause(0.05))]
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n\r\n", *drip)}) as server:
        exchange = fetch_one(server.url("/"), tmp_path, timeout_seconds=5.0, fetch_seconds_max=0.5)
    assert exchange.truncated == "time"
    assert 2 <= exchange.body.size <= 20
    assert exchange.elapsed_ms < 2000


def test_a_body_above_the_limit_is_cut_there(tmp_path: Path) -> None:
    with raw_server({"/": Script(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000, ending="hang")}) as server:
        exchange = fetch_one(server.url("/"), tmp_path, body_bytes_max=1000)
        stored, written = record_one(exchange, tmp_path)
    assert exchange.truncated == "length"
    assert stored.payload_size == 1000
    assert written[-1].block == exchange.head + b"x" * 1000
    assert written[-1].headers["WARC-Truncated"] == "length"


def test_connection_is_kept_between_requests_and_asked_again_when_the_server_closed_it(tmp_path: Path) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    # The third request meets a connection that the server closes without an answer, as after an idle time-out.
    scripts: dict[str, Script | list[Script]] = {
        "/a": Script(page, ending="keep"),
        "/b": [Script(ending="close"), Script(page, ending="keep")],
    }
    with raw_server(scripts) as server:
        outcomes = fetch_all([server.url("/a"), server.url("/a"), server.url("/b")], tmp_path)
    assert [outcome.status for outcome in outcomes if isinstance(outcome, Exchange)] == [200, 200, 200]
    assert server.connections == 2


def test_an_awkward_warc_is_read_back_whole(tmp_path: Path) -> None:
    scripts = {
        f"/{number}": Script(*case.sent, ending=case.ending) for number, case in enumerate(AWKWARD) if case.ending != "hang"
    }
    with raw_server(scripts) as server:
        outcomes = fetch_all([server.url(path) for path in scripts], tmp_path)

    def add(recorder: Recorder) -> None:
        for outcome in outcomes:
            assert isinstance(outcome, Exchange)
            recorder.add(outcome)

    path, written = record_all(tmp_path, add)
    assert [record.block for record in written if record.kind == "response"] == [
        case.stored for case in AWKWARD if case.ending != "hang"
    ]
    for record in read(path):
        if record.kind == "response":
            assert record.http is not None


def _field(block: bytes, name: str) -> bytes:
    values = dict(line.split(b": ", 1) for line in block.splitlines())
    return b64decode(values[name.encode()])
