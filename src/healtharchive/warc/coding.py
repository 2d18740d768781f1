"""Transfer and content codings of HTTP bodies, read as leniently as an archive must.

Everything is a generator of pieces, so that a body of any size, or one that unpacks to any size, costs little memory. Damage
is never an error here: what could be decoded is yielded, and a body whose headers claim a coding that it visibly does not have
(foreign WARCs keep `Transfer-Encoding: chunked` over bodies that their crawler joined) passes as it is.
Brotli alone has no mark to see it by.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any, Final, cast

import brotli  # type: ignore[import-untyped]
import zstandard
from isal import isal_zlib

InflateError: type[Exception] = cast(type[Exception], isal_zlib.error)  # its stub takes the class for an instance

PIECE_BYTES: Final = 65_536
_CHUNK_LINE_BYTES_MAX: Final = 4_096
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
# RFC 8878 allows windows up to 3.75 TB; browsers stop at 8 MiB.
_ZSTD_WINDOW_BYTES_MAX: Final = 8 << 20

_Decoder = Callable[[Iterator[bytes]], Iterator[bytes]]


def dechunk(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The body inside a chunked transfer coding; trailers are dropped.

    From the first thing on that is no chunk, everything passes unchanged.
    """
    buffer = _Buffer(chunks)
    while True:
        line = buffer.line(_CHUNK_LINE_BYTES_MAX)
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            yield from _chain(line, buffer.rest())
            return
        left = int(size[1], 16)
        if left == 0:
            return
        while left:
            piece = buffer.some(left)
            if not piece:
                return
            left -= len(piece)
            yield piece
        buffer.skip_line_end()


def decode(chunks: Iterable[bytes], content_encoding: str, *, limit: int) -> bytes:
    """At most `limit` bytes of the body inside its content codings.

    `content_encoding` is the header's value: gzip, x-gzip, deflate, br, zstd, or a list; an unknown coding passes unchanged.
    Never raises on damage: returns what came before it.
    """
    return join(decode_pieces(chunks, content_encoding), limit=limit)


def decode_pieces(chunks: Iterable[bytes], content_encoding: str) -> Iterator[bytes]:
    """As `decode`, without a limit, in pieces of bounded size."""
    pieces = iter(chunks)
    for name in reversed(content_encoding.lower().split(",")):
        decoder = _DECODERS.get(name.strip())
        if decoder is not None:
            pieces = decoder(pieces)
    return pieces


def join(pieces: Iterable[bytes], *, limit: int) -> bytes:
    """The first `limit` bytes of `pieces`; what follows is never asked for."""
    parts: list[bytes] = []
    left = limit
    for piece in pieces:
        parts.append(piece[:left])
        left -= len(parts[-1])
        if left <= 0:
            break
    return b"".join(parts)


class _Buffer:
    """Lines and pieces out of a stream of pieces cut anywhere."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._held = b""
        self._at = 0  # a body of one-byte chunks must not copy the rest of its piece for each of them

    def line(self, limit: int) -> bytes:
        """Up to and including the next newline, or `limit` bytes, or what is left."""
        parts = []
        length = 0
        while length < limit and self._hold():
            end = self._held.find(b"\n", self._at, self._at + limit - length) + 1
            parts.append(self.some(end - self._at if end else limit - length))
            length += len(parts[-1])
            if end:
                break
        return b"".join(parts)

    def some(self, limit: int) -> bytes:
        """From 1 to `limit` bytes; none at the end."""
        if not self._hold():
            return b""
        piece = self._held[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    def skip_line_end(self) -> None:
        for char in b"\r\n":
            if self._hold() and self._held[self._at] == char:
                self._at += 1

    def rest(self) -> Iterator[bytes]:
        return _chain(self._held[self._at :], self._chunks)

    def _hold(self) -> bool:
        """Have at least one byte at hand; False at the end."""
        while self._at >= len(self._held):
            piece = next(self._chunks, None)
            if piece is None:
                return False
            self._held, self._at = piece, 0
        return True


def _gunzip(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return _inflate(pieces, window_bits=31, error=InflateError, new=isal_zlib.decompressobj)


def _inflate_either(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """`deflate` means zlib, but some servers send the raw stream: the first two bytes tell them apart (RFC 1950 section 2.2)."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= 2:
            break
    is_zlib = len(first) >= 2 and first[0] & 0x0F == 8 and (first[0] << 8 | first[1]) % 31 == 0
    return _inflate(_chain(first, pieces), window_bits=15 if is_zlib else -15, error=zlib.error, new=zlib.decompressobj)


def _inflate(pieces: Iterator[bytes], *, window_bits: int, error: type[Exception], new: Callable[[int], Any]) -> Iterator[bytes]:
    decompressor = new(window_bits)
    yielded = False
    seen = b""  # what to pass on if it turns out not to be compressed
    for piece in pieces:
        data = piece
        seen = b"" if yielded else seen + piece
        while data:
            if decompressor.eof:
                if window_bits != 31:
                    return
                decompressor = new(window_bits)  # gzip bodies may have several members
            try:
                out = decompressor.decompress(data, PIECE_BYTES)
            except error:
                if not yielded:
                    yield from _chain(seen, pieces)
                return
            if out:
                yielded = True
                yield out
            data = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
            if not out and not decompressor.eof:
                break
    if not decompressor.eof:
        with suppress(error):
            yield from _chain(decompressor.flush(), iter(()))


def _unbrotli(pieces: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = brotli.Decompressor()
    yielded = False
    seen = b""
    for piece in pieces:
        data = piece
        seen = b"" if yielded else seen + piece
        while True:
            try:
                out = decompressor.process(data, output_buffer_limit=PIECE_BYTES)
            except brotli.error:
                if not yielded:
                    yield from _chain(seen, pieces)
                return
            data = b""
            if out:
                yielded = True
                yield out
            if decompressor.is_finished():
                return
            if decompressor.can_accept_more_data():
                break


class _Readable:
    """Pieces as the file object that zstandard reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._buffer = _Buffer(pieces)
        self.first = self._buffer.line(4)

    def read(self, size: int = PIECE_BYTES) -> bytes:
        if self.first:
            piece, self.first = self.first, b""
            return piece
        return self._buffer.some(size)


def _unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    source = _Readable(pieces)
    if source.first != zstandard.FRAME_HEADER:
        while piece := source.read():
            yield piece
        return
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
    with suppress(zstandard.ZstdError):
        yield from decompressor.read_to_iter(cast(IO[bytes], source), read_size=PIECE_BYTES, write_size=PIECE_BYTES)


def _chain(first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from pieces


_DECODERS: Final[dict[str, _Decoder]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_either,
    "br": _unbrotli,
    "zstd": _unzstd,
}
