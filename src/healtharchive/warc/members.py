"""The bytes inside a WARC file: plain, or a series of gzip members of which each usually holds one record.

Both classes give the same view: a buffer that never reads across the end of the current member, and the place in the file. They
say where the file is damaged and where the next record begins; what a record is, `reader` knows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import IO, Final

from isal import isal_zlib

from healtharchive.warc.coding import InflateError
from healtharchive.warc.fields import end_of_head

PIECE_BYTES: Final = 32_768
_INFLATED_BYTES_MAX: Final = 1 << 20  # what one step may unpack to: a bomb comes in pieces
GZIP_MAGIC: Final = b"\x1f\x8b\x08"
RECORD_MAGIC: Final = b"WARC/"
_PROBE_BYTES: Final = 512
_HEAD_BYTES_USUAL: Final = 2048


class Damaged(Exception):
    """The bytes of the current member cannot be what was written. `at_end`: the file simply ends too early."""

    def __init__(self, reason: str, *, at_end: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_end = at_end


class Members(ABC):
    """A buffered view of the current member.

    offset      where the current member begins in the file
    end         where it ends, and the next begins; known when everything is taken
    """

    def __init__(self, file: IO[bytes], start: int) -> None:
        self._file = file
        self._held = b""
        self._at = 0
        self.offset = start
        self.end = start

    @abstractmethod
    def open(self) -> bool:
        """Begin the member at `end`. False if the file ends there. Raises Damaged."""

    @abstractmethod
    def next_record(self, after: int) -> int | None:
        """The first offset above `after` at which a record seems to begin, None if there is none."""

    @abstractmethod
    def _more(self) -> bytes:
        """More of the current member; nothing at its end. Raises Damaged."""

    def move(self, offset: int) -> None:
        """Let `open` begin at `offset`."""
        self._file.seek(offset)
        self._held, self._at = b"", 0
        self.offset = self.end = offset

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or what is left of the member, without taking them."""
        self._fill(size)
        return self._held[self._at : self._at + size]

    def take(self, size: int) -> bytes:
        """From 1 to `size` bytes; nothing at the member's end, whose checksum is proved then."""
        if not self._fill(1):
            return b""
        piece = self._held[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def take_head(self, limit: int) -> bytes:
        """Up to and including the next blank line. Raises Damaged if none comes within `limit` bytes of this member."""
        size = _HEAD_BYTES_USUAL
        while True:
            window = self.peek(size)
            end = end_of_head(window)
            if end >= 0:
                self._at += end
                return window[:end]
            if len(window) < size or size >= limit:
                raise Damaged("a record header has no end")
            size *= 8

    def skip_line_ends(self) -> bool:
        """Skip CR and LF, as between records. False at the member's end."""
        while self._fill(1):
            if self._held[self._at] not in b"\r\n":
                return True
            self._at += 1
        return False

    def _fill(self, size: int) -> bool:
        """Hold at least `size` bytes; False if the member ends before."""
        while len(self._held) - self._at < size:
            more = self._more()
            if not more:
                return False
            self._held = self._held[self._at :] + more
            self._at = 0
        return True


class PlainBytes(Members):
    """A file without compression. It has no borders of its own: whoever finds a record says where the next member begins."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        super().__init__(file, start)
        self.move(start)

    @property
    def position(self) -> int:
        """Where the next byte to be taken lies in the file."""
        return self._file.tell() - (len(self._held) - self._at)

    def open(self) -> bool:
        more = self.skip_line_ends()
        self.offset = self.position
        return more

    def next_record(self, after: int) -> int | None:
        return _find(self._file, b"\n" + RECORD_MAGIC, after, skip=1)

    def _more(self) -> bytes:
        return self._file.read(PIECE_BYTES)


class GzipMembers(Members):
    """A file of gzip members, unpacked by ISA-L at twice the speed of zlib."""

    def __init__(self, file: IO[bytes], start: int) -> None:
        super().__init__(file, start)
        self._packed = b""
        self._inflater = isal_zlib.decompressobj(31)
        self._finished = True
        self.move(start)

    def move(self, offset: int) -> None:
        super().move(offset)
        self._packed = b""
        self._finished = True

    def open(self) -> bool:
        if not self._packed:
            self._packed = self._file.read(PIECE_BYTES)
            if not self._packed:
                return False
        self.offset = self.end
        self._held, self._at = b"", 0
        self._inflater = isal_zlib.decompressobj(31)
        self._finished = False
        return True

    def next_record(self, after: int) -> int | None:
        while (candidate := _find(self._file, GZIP_MAGIC, after)) is not None:
            if self._begins_record(candidate):
                return candidate
            after = candidate
        return None

    def _begins_record(self, offset: int) -> bool:
        """Whether gzip data with a record's first bytes lies there: an archived gzip file has the magic number too."""
        self._file.seek(offset)
        try:
            head = isal_zlib.decompressobj(31).decompress(self._file.read(_PROBE_BYTES), _PROBE_BYTES)
        except InflateError:
            return False
        return head.lstrip(b"\r\n").startswith(RECORD_MAGIC)

    def _more(self) -> bytes:
        while not self._finished:
            if not self._packed:
                self._packed = self._file.read(PIECE_BYTES)
            at_end = not self._packed
            try:
                piece = self._inflater.decompress(self._packed, _INFLATED_BYTES_MAX)
            except InflateError as error:
                raise Damaged(f"gzip: {error}") from error
            if self._inflater.eof:
                self._finished = True
                self._packed = self._inflater.unused_data
                self.end = self._file.tell() - len(self._packed)
            else:
                self._packed = self._inflater.unconsumed_tail
            if piece:
                return bytes(piece)
            if at_end and not self._finished:
                raise Damaged("the file ends inside a gzip member", at_end=True)
        return b""


def _find(file: IO[bytes], needle: bytes, after: int, *, skip: int = 0) -> int | None:
    """The first offset above `after` of what follows the first `skip` bytes of `needle`."""
    position = max(after + 1 - skip, 0)
    file.seek(position)
    overlap = b""
    while piece := file.read(PIECE_BYTES):
        window = overlap + piece
        found = window.find(needle)
        if found >= 0:
            return position - len(overlap) + found + skip
        position += len(piece)
        overlap = window[-(len(needle) - 1) :]
    return None
