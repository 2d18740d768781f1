"""The framing of HTTP/1.x responses; awkward ones are in tests/drills/test_awkward_responses.py, cuts in tests/property."""

from __future__ import annotations

import pytest

from healtharchive.crawl.wire import (
    CHUNKS_MAX,
    HEAD_BYTES_MAX,
    ChunkScanner,
    HeadCut,
    HeadTooLong,
    NotHttp,
    ResponseReader,
    parse_headers,
)


def read(data: bytes, *, limit: int = 1 << 30) -> tuple[ResponseReader, bytes]:
    body: list[bytes] = []
    reader = ResponseReader(body.append, body_bytes_max=limit)
    reader.feed(data)
    return reader, b"".join(body)


@pytest.mark.parametrize(
    ("head", "can_reuse"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: foo, Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\n", False),
    ],
)
def test_connection_is_reused_only_if_the_end_of_the_response_is_certain(head: bytes, can_reuse: bool) -> None:
    reader, _ = read(head + b"\r\nx")
    assert reader.can_reuse is can_reuse


def test_bytes_behind_the_response_forbid_reuse() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy")
    assert (body, reader.is_done, reader.can_reuse) == (b"x", True, False)


@pytest.mark.parametrize("status", [204, 304])
def test_response_without_a_body_is_done_at_its_head(status: int) -> None:
    reader, _ = read(b"HTTP/1.1 %d x\r\nContent-Length: 10\r\n\r\n" % status)
    assert reader.is_done
    assert reader.can_reuse


def test_headers_are_read_as_a_browser_reads_them() -> None:
    head = b"HTTP/1.1 200 OK\r\nA: 1\r\n  2\r\nB : 3\nno colon\r\n: no name\r\nC:\xe9\r\nA: 4\r\n\r\n"
    assert parse_headers(head) == (("A", "1 2"), ("B", "3"), ("C", "é"), ("A", "4"))


def test_head_ends_where_the_limit_is() -> None:
    filler = b"X: " + b"a" * (HEAD_BYTES_MAX - 17 - 3 - 4) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\n" + filler + b"\r\n"
    assert len(head) == HEAD_BYTES_MAX
    assert read(head + b"body")[0].status == 200
    with pytest.raises(HeadTooLong) as caught:
        read(head.replace(b"aa", b"aaa", 1))
    assert len(caught.value.received) == HEAD_BYTES_MAX


def test_giving_up_tells_time_from_disconnect() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    reader.give_up("time")
    assert (reader.truncated, body) == ("time", b"abc")
    reader, _ = read(b"HTTP/1.1 2")
    with pytest.raises(HeadCut) as caught:
        reader.give_up("time")
    assert (caught.value.why, caught.value.received) == ("time", b"HTTP/1.1 2")


def test_noise_is_refused_at_its_first_bytes() -> None:
    reader = ResponseReader(lambda _: None, body_bytes_max=1)
    with pytest.raises(NotHttp):
        reader.feed(b"SSH-")


def test_contradicting_lengths_are_doubtful_from_the_smaller_one_on() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\na")
    doubts = [reader.is_doubtful]
    reader.feed(b"b")
    assert [*doubts, reader.is_doubtful] == [False, True]
    reader.give_up("time")
    assert reader.truncated is None, "two bytes are what one of the headers promised"


def test_flood_of_tiny_chunks_is_given_up() -> None:
    scanner = ChunkScanner()
    scanner._count = CHUNKS_MAX - 10
    scanner.feed(b"1\r\nx\r\n" * 20)
    assert scanner.is_broken


def test_chunk_line_without_an_end_breaks_the_body() -> None:
    reader, _ = read(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"x" * 10_000)
    assert reader.is_doubtful
    reader.end()
    assert reader.truncated == "disconnect"
