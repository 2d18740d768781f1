from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.warc.coding import dechunk, decode, join

TEXT = "Les maladies évitables par la vaccination. ".encode() * 500
ENCODED = {
    "gzip": gzip.compress(TEXT),
    "x-gzip": gzip.compress(TEXT),
    "deflate": zlib.compress(TEXT),
    "br": brotli.compress(TEXT),
    "zstd": zstandard.compress(TEXT),
}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def chunked(data: bytes, size: int) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in cut(data, size)) + b"0\r\n\r\n"


@pytest.mark.parametrize("coding", ENCODED)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_is_decoded_however_it_is_cut(coding: str, size: int) -> None:
    assert decode(cut(ENCODED[coding], size), coding, limit=10**9) == TEXT


def test_raw_deflate_is_decoded_like_browsers_do() -> None:
    compressor = zlib.compressobj(wbits=-15)
    raw = compressor.compress(TEXT) + compressor.flush()
    assert decode(cut(raw, 3), "deflate", limit=10**9) == TEXT


def test_a_list_of_codings_is_undone_from_the_last_to_the_first() -> None:
    assert decode([brotli.compress(gzip.compress(TEXT))], "gzip, br", limit=10**9) == TEXT


def test_members_of_a_gzip_body_are_joined() -> None:
    assert decode(cut(gzip.compress(b"one ") + gzip.compress(b"two"), 5), "gzip", limit=100) == b"one two"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd", "unheard-of", ""])
def test_a_body_without_the_coding_that_its_headers_claim_passes_as_it_is(coding: str) -> None:
    assert decode(cut(TEXT, 11), coding, limit=10**9) == TEXT


@pytest.mark.parametrize("coding", ENCODED)
def test_a_short_body_gives_what_came(coding: str) -> None:
    noise = bytes(range(256)) * 40  # compresses badly, so that half of the input is about half of the output
    whole = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress}
    data = whole.get(coding, zstandard.compress)(noise * 50)
    got = decode(cut(data[: len(data) * 3 // 4], 50), coding, limit=10**9)
    assert (noise * 50).startswith(got)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_costs_no_more_than_the_limit(coding: str) -> None:
    bomb = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}[coding]
    assert decode([bomb(bytes(50_000_000))], coding, limit=1000) == bytes(1000)


@given(data=st.binary(max_size=300), size=st.integers(1, 50), cut_at=st.integers(1, 40))
def test_a_chunked_body_is_joined_however_it_is_cut(data: bytes, size: int, cut_at: int) -> None:
    assert b"".join(dechunk(cut(chunked(data, size), cut_at))) == data


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"5\nhello\n0\n\n", b"hello"),
        (b"5\r\nhel", b"hel"),
        (b"5\r\nhello\r\nzz\r\nrest", b"hellozz\r\nrest"),
        (b"<html>joined already</html>", b"<html>joined already</html>"),
        (b"", b""),
    ],
)
def test_damaged_framing_loses_nothing(raw: bytes, expected: bytes) -> None:
    assert b"".join(dechunk(cut(raw, 4))) == expected


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "br", "zstd"]))
def test_noise_never_raises(data: bytes, coding: str) -> None:
    decode(dechunk([data]), coding, limit=10_000)


def test_joining_asks_for_no_more_than_the_limit() -> None:
    asked = []

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            asked.append(number)
            yield b"abcd"

    assert join(pieces(), limit=6) == b"abcdab"
    assert asked == [0, 1]


def test_a_body_of_one_byte_chunks_takes_no_quadratic_time() -> None:
    body = chunked(bytes(100_000), 1)
    assert sum(map(len, dechunk([body]))) == 100_000  # 700 KB in one piece: 35 GB of copies if each chunk moved the rest
