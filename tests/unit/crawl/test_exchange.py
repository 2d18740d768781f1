"""What is derived from a response's bytes, and where its body is kept."""

from __future__ import annotations

import gzip
import os
import zlib
from datetime import UTC, datetime
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard

from healtharchive.crawl.exchange import MEMORY_BYTES_MAX, Body, Exchange
from healtharchive.crawl.wire import parse_headers


def exchange(headers: bytes, data: bytes = b"") -> Exchange:
    head = b"HTTP/1.1 200 OK\r\n" + headers + b"\r\n"
    return Exchange(
        url="http://a.test/",
        request=b"",
        head=head,
        body=Body(data=data),
        status=200,
        reason="OK",
        headers=parse_headers(head),
        protocol="http/1.1",
        ip="192.0.2.1",
        started_at=datetime(2026, 1, 31, tzinfo=UTC),
        elapsed_ms=1.0,
    )


@pytest.mark.parametrize("size", [0, 1000, MEMORY_BYTES_MAX, MEMORY_BYTES_MAX + 1, 5 * MEMORY_BYTES_MAX])
def test_body_gives_back_what_it_was_given_from_memory_or_file(size: int, tmp_path: Path) -> None:
    data = os.urandom(1000) * (size // 1000) + b"x" * (size % 1000)
    body = Body(tmp_path)
    for begin in range(0, size, 70_000):
        body.append(data[begin : begin + 70_000])
    assert body.size == size
    assert body.in_memory == (size <= MEMORY_BYTES_MAX)
    for _ in range(2):
        assert b"".join(body.chunks()) == data
        assert body.read() == data
        assert body.read(10) == data[:10]
    assert list(tmp_path.iterdir()) == [], "the file has no name that a crash could leave behind"
    body.close()
    assert body.size == size


def test_body_that_cannot_be_kept_says_so(tmp_path: Path) -> None:
    body = Body(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        body.append(b"x" * (MEMORY_BYTES_MAX + 1))


@pytest.mark.parametrize(
    ("value", "mime", "charset"),
    [
        (b"text/html", "text/html", None),
        (b'Text/HTML; Charset="UTF-8"', "text/html", "utf-8"),
        (b"text/html;charset=iso-8859-1;x=y", "text/html", "iso-8859-1"),
        (b"text/html\0evil", "text/html", None),
        (b"nonsense", "", None),
        (b"", "", None),
    ],
)
def test_media_type_is_read_from_what_servers_write(value: bytes, mime: str, charset: str | None) -> None:
    answer = exchange(b"Content-Type: " + value + b"\r\n")
    assert (answer.mime, answer.charset) == (mime, charset)


def test_first_of_repeated_headers_counts() -> None:
    assert exchange(b"ETag: a\r\netag: b\r\n").header("ETAG") == "a"
    assert exchange(b"").header("etag") is None


TEXT = b"Some text, over and over. " * 1000


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (b"gzip", gzip.compress(TEXT)),
        (b"x-gzip", gzip.compress(TEXT)),
        (b"deflate", zlib.compress(TEXT)),
        (b"br", brotli.compress(TEXT)),
        (b"zstd", zstandard.ZstdCompressor().compress(TEXT)),
        (b"gzip, br", brotli.compress(gzip.compress(TEXT))),
        (b"identity", TEXT),
        (b"gzip", TEXT),  # a server that says gzip and does not mean it
    ],
)
def test_text_is_decoded_and_cut(encoding: bytes, data: bytes) -> None:
    answer = exchange(b"Content-Encoding: " + encoding + b"\r\n", data)
    assert answer.text_payload(1 << 20) == TEXT
    assert answer.text_payload(100) == TEXT[:100]
    assert b"".join(answer.entity()) == data


def test_damaged_encoding_gives_what_could_be_decoded() -> None:
    data = gzip.compress(os.urandom(200_000))
    assert len(exchange(b"Content-Encoding: gzip\r\n", data[:100_000]).text_payload(1 << 20)) > 50_000


def test_chunked_body_is_joined_before_it_is_decoded() -> None:
    packed = gzip.compress(TEXT)
    framed = (
        b"".join(b"%x\r\n%s\r\n" % (len(packed[i : i + 7]), packed[i : i + 7]) for i in range(0, len(packed), 7)) + b"0\r\n\r\n"
    )
    answer = exchange(b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", framed)
    assert answer.text_payload(1 << 20) == TEXT
    assert b"".join(answer.entity()) == packed
