"""HTTP/1.x responses out of a stream of bytes, without I/O, and without losing a byte.

    interim   1xx responses and stray blank lines, as they came
    head      status line and header lines with the blank line, as they came
    body      everything after it up to where the framing says that the message ends, as it came (chunk lines and trailers too)

The framing is read as browsers read it: bare LF ends a line, a folded line continues the one before, a line without a colon says
nothing, space before a colon is no part of the name. What browsers refuse (short bodies, broken chunks, contradicting lengths) is
kept as far as it came and marked. However the bytes were cut into pieces on their way, the outcome is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from healtharchive.crawl.exchange import Truncation

HEAD_BYTES_MAX: Final = 65_000
"""The longest head that is taken as one: from 64 KiB on FastWARC refuses to read the record. Servers send up to 16 KiB."""

CHUNKS_MAX: Final = 4_000_000
"""More are a trick to cost CPU: a body of 1 GB in chunks of 256 bytes stays below."""

_CHUNK_LINE_BYTES_MAX: Final = 4_096
_TRAILER_BYTES_MAX: Final = 65_536

Header = tuple[str, str]

_PROTOCOL: Final = b"HTTP"
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_STATUS: Final = re.compile(rb"HTTP(?:/(\d)(?:\.(\d))?)?[ \t]+(\d{3})(?:[ \t]+([^\r\n]*)|[ \t]*\r?\n|[ \t]*$)", re.IGNORECASE)
_CHUNK_SIZE: Final = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_LENGTH: Final = re.compile(r"\d{1,18}")
_FRAMING: Final = frozenset({"connection", "transfer-encoding", "content-length"})
_BODILESS: Final = frozenset({204, 304})


class NotHttp(Exception):
    """What came is no HTTP response. `received` is as much of it as there is."""

    def __init__(self, message: str, received: bytes) -> None:
        super().__init__(message)
        self.received = received


class HeadTooLong(NotHttp):
    """The head, or the 1xx responses before it, would not end."""


class HeadCut(NotHttp):
    """The stream ended, or we gave up, before the status line of a final response. `why` tells which."""

    def __init__(self, message: str, received: bytes, why: Truncation) -> None:
        super().__init__(message, received)
        self.why: Truncation = why


def parse_headers(head: bytes) -> tuple[Header, ...]:
    """Header lines after the first line of `head`, read as leniently as a browser does; bytes become latin-1 characters."""
    headers: list[Header] = []
    for line in head.decode("latin-1").split("\n")[1:]:
        if line[:1] in (" ", "\t"):
            text = line.strip()
            if text and headers:
                name, value = headers[-1]
                headers[-1] = (name, f"{value} {text}" if value else text)
            continue
        name, colon, value = line.partition(":")
        name = name.strip()
        if colon and name:
            headers.append((name, value.strip()))
    return tuple(headers)


def _framing_values(headers: tuple[Header, ...]) -> dict[str, list[str]]:
    """The comma-separated values of each header that frames a message, by its name, in lower case."""
    values: dict[str, list[str]] = {name: [] for name in _FRAMING}
    for name, value in headers:
        name = name.lower()
        if name in _FRAMING:
            values[name].extend(part.strip() for part in value.lower().split(","))
    return values


class ChunkScanner:
    """Finds where a chunked body ends."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the current chunk still to come
        self._count = 0
        self._line = b""  # an incomplete line
        self._at: Callable[[bytes, int], int] = self._size
        self._trailer_bytes = 0
        self.is_done = False
        self.is_broken = False

    def feed(self, data: bytes) -> int:
        """How many bytes of `data` belong to the body: all of them unless it is done or broken after that many."""
        at = 0
        end = len(data)
        while at < end and not self.is_done and not self.is_broken:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
            else:
                if self._at == self._size and not self._line:
                    at = self._whole_chunks(data, at)
                if at < end:
                    at = self._at(data, at)
        return at

    def _whole_chunks(self, data: bytes, at: int) -> int:
        """Step over the chunks that lie in `data` whole and in order; the rest, and the last one, is for the slower steps."""
        while size := _CHUNK_SIZE.match(data, at):
            begin, left = size.end(), int(size[1], 16)
            after = begin + left
            is_usual = left and begin - at <= _CHUNK_LINE_BYTES_MAX and data[after : after + 2] == b"\r\n"
            if not is_usual or self._count >= CHUNKS_MAX:
                break
            self._count += 1
            at = after + 2
        return at

    def _take_line(self, data: bytes, at: int, limit: int) -> tuple[bytes | None, int]:
        """A line with its newline, or None while it is incomplete. A line longer than `limit` breaks the body."""
        newline = data.find(b"\n", at, at + limit) + 1
        self._line += data[at : newline or at + limit]
        if len(self._line) > limit or (not newline and len(self._line) == limit):
            self.is_broken = True
            return None, newline or min(len(data), at + limit)
        if not newline:
            return None, len(data)
        line, self._line = self._line, b""
        return line, newline

    def _size(self, data: bytes, at: int) -> int:
        line, at = self._take_line(data, at, _CHUNK_LINE_BYTES_MAX)
        if line is None:
            return at
        size = _CHUNK_SIZE.fullmatch(line)
        self._count += 1
        if size is None or self._count > CHUNKS_MAX:
            self.is_broken = True
            return at
        self._left = int(size[1], 16)
        self._at = self._separator if self._left else self._trailer
        return at

    def _separator(self, data: bytes, at: int) -> int:
        line, at = self._take_line(data, at, 2)
        if line is None:
            return at
        if line not in (b"\r\n", b"\n"):
            self.is_broken = True
        self._at = self._size
        return at

    def _trailer(self, data: bytes, at: int) -> int:
        line, at = self._take_line(data, at, _TRAILER_BYTES_MAX)
        if line is None:
            return at
        self._trailer_bytes += len(line)
        if line in (b"\r\n", b"\n"):
            self.is_done = True
        elif self._trailer_bytes > _TRAILER_BYTES_MAX:
            self.is_broken = True
        return at


class _Stage(Enum):
    HEAD = auto()
    COUNTED = auto()  # a known number of bytes follows
    CHUNKED = auto()
    UNTIL_CLOSE = auto()
    DONE = auto()


class ResponseReader:
    """One response. Give it bytes with `feed` until `is_done`, then `end` if the stream ended before.

    Body bytes go to `sink` as they come. Raises NotHttp from `feed` and `end` if there is no response in the bytes.

    can_reuse    the connection may carry another response after this one
    is_doubtful  the framing contradicts itself, so the end cannot be known: a short silence is the end
    """

    def __init__(self, sink: Callable[[bytes], None], *, head_bytes_max: int = HEAD_BYTES_MAX, body_bytes_max: int) -> None:
        self._sink = sink
        self._head_bytes_max = min(head_bytes_max, HEAD_BYTES_MAX)
        self._body_left = body_bytes_max
        self._stage = _Stage.HEAD
        self._held: bytearray | None = None  # an incomplete head
        self._left = 0
        self._chunks: ChunkScanner | None = None
        self._lengths: frozenset[int] = frozenset()
        self._length = 0
        self.interim = b""
        self.head = b""
        self.status = 0
        self.reason = ""
        self.version = (1, 1)
        self.headers: tuple[Header, ...] = ()
        self.truncated: Truncation | None = None
        self.can_reuse = False
        self.is_doubtful = False
        self.received_bytes = 0

    @property
    def is_done(self) -> bool:
        return self._stage is _Stage.DONE

    def feed(self, data: bytes) -> bool:
        """Take what came; whether the response is complete.

        Bytes after its end are no part of it; the connection cannot be reused then.
        """
        self.received_bytes += len(data)
        if self._stage is _Stage.HEAD:
            data = self._feed_head(data)
        if data:
            self._feed_body(data)
        return self._stage is _Stage.DONE

    def _feed_body(self, data: bytes) -> None:
        match self._stage:
            case _Stage.COUNTED:
                self._feed_counted(data)
            case _Stage.CHUNKED:
                self._feed_chunked(data)
            case _Stage.UNTIL_CLOSE:
                self._emit(data)
            case _Stage.DONE:
                self.can_reuse = False
            case _Stage.HEAD:
                pass

    def end(self, *, reset: bool = False) -> None:
        """The stream ended, in order or by a reset."""
        self._finish_early("disconnect", ended=not reset)

    def give_up(self, why: Truncation) -> None:
        """We wait no longer."""
        self._finish_early("disconnect" if self.is_doubtful else why, ended=self.is_doubtful)

    def _finish_early(self, why: Truncation, *, ended: bool) -> None:
        match self._stage:
            case _Stage.DONE:
                return
            case _Stage.HEAD:
                self._cut_head(why)
                self.truncated = why
            case _Stage.UNTIL_CLOSE:
                self.truncated = self.truncated or (None if ended and not self._is_broken else why)
            case _Stage.COUNTED:
                is_a_length = ended and (self._length - self._left) in self._lengths
                self.truncated = None if is_a_length else why
            case _Stage.CHUNKED:
                self.truncated = why
        self.can_reuse = False
        self._stage = _Stage.DONE

    @property
    def _is_broken(self) -> bool:
        return self._chunks is not None and self._chunks.is_broken

    # -- head

    def _feed_head(self, data: bytes) -> bytes:
        """Returns what follows the final head."""
        if self._held is not None:
            was = len(self._held)
            self._held += data
            if was >= len(_PROTOCOL) and b"\n" not in data and len(self._held) < self._head_bytes_max:
                return b""
            data = bytes(self._held)
        while data:
            # Blank lines before a status line are noise of careless servers behind an earlier body.
            if data[0] in b"\r\n":
                text = data.lstrip(b"\r\n")
                self.interim += data[: len(data) - len(text)]
                data = text
            budget = self._head_bytes_max - len(self.interim)
            found = _HEAD_END.search(data, 0, budget) if budget > 0 else None
            if found is None:
                self._refuse_noise(data)
                if len(data) >= budget:
                    received = (self.interim + data)[: self._head_bytes_max]
                    raise HeadTooLong(f"the headers do not end within {self._head_bytes_max} bytes", received)
                self._held = bytearray(data) if data else None
                return b""
            head, data = data[: found.end()], data[found.end() :]
            self._held = None
            self._read_status(head)
            if 100 <= self.status < 200 and self.status != 101:
                self.interim += head
                continue
            self.head = head
            self.headers = parse_headers(head)
            self._choose_framing()
            return data
        return b""

    def _refuse_noise(self, data: bytes) -> None:
        if data[: len(_PROTOCOL)].upper() != _PROTOCOL[: len(data)]:
            raise NotHttp(f"not an HTTP response: it begins with {data[:40]!r}", self.interim + data)

    def _read_status(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if status is None:
            raise NotHttp(f"not an HTTP response: it begins with {head[:40]!r}", self.interim + head)
        self.version = (int(status[1] or 1), int(status[2] or 0))
        self.status = int(status[3])
        self.reason = (status[4] or b"").decode("latin-1").strip()

    def _cut_head(self, why: Truncation) -> None:
        """The stream ended in mid-head: with a whole status line it is a response still."""
        data = bytes(self._held or b"")
        if b"\n" not in data:
            raise HeadCut("the response ended before its first line did", self.interim + data, why)
        self._read_status(data)
        if self.status < 200:
            raise HeadCut("the response ended before its final part began", self.interim + data, why)
        self.head = data
        self.headers = parse_headers(data[: data.rfind(b"\n")])

    def _choose_framing(self) -> None:
        """RFC 9112 section 6.3, with a browser's leniency."""
        values = _framing_values(self.headers)
        connection, lengths = values["connection"], values["content-length"]
        codings = [value for value in values["transfer-encoding"] if value not in ("", "identity")]
        keep = "close" not in connection if self.version >= (1, 1) else "keep-alive" in connection
        if self.status in _BODILESS or self.status == 101:
            self.can_reuse = keep and self.status != 101
            self._stage = _Stage.DONE
        elif codings:
            if codings[-1] == "chunked":
                self._chunks = ChunkScanner()
                self._stage = _Stage.CHUNKED
                # Both framings: how request smuggling begins. The chunks count, the connection is not trusted again.
                self.can_reuse = keep and not lengths
            else:
                self._stage = _Stage.UNTIL_CLOSE
        elif lengths and all(_LENGTH.fullmatch(value) for value in lengths):
            self._lengths = frozenset(int(value) for value in lengths)
            self._length = self._left = max(self._lengths)
            self.can_reuse = keep and len(self._lengths) == 1
            self._stage = _Stage.COUNTED if self._left else _Stage.DONE
            self.is_doubtful = 0 in self._lengths and self._left > 0
        else:
            self._stage = _Stage.UNTIL_CLOSE

    # -- body

    def _emit(self, data: bytes) -> bool:
        """Hand body bytes on, up to our limit; False once it is reached."""
        if len(data) > self._body_left:
            data = data[: self._body_left]
            self.truncated = "length"
            self.can_reuse = False
            self._stage = _Stage.DONE
        self._body_left -= len(data)
        if data:
            self._sink(data)
        return self._stage is not _Stage.DONE

    def _feed_counted(self, data: bytes) -> None:
        here, excess = data[: self._left], data[self._left :]
        self._left -= len(here)
        if not self._emit(here):
            return
        if self._left == 0:
            self._stage = _Stage.DONE
            self.can_reuse = self.can_reuse and not excess
        elif len(self._lengths) > 1:
            self.is_doubtful = self._length - self._left >= min(self._lengths)

    def _feed_chunked(self, data: bytes) -> None:
        chunks = self._chunks
        assert chunks is not None
        end = chunks.feed(data)
        if chunks.is_broken:
            # Where the message ends cannot be known any more; what comes is kept, and the connection closed after it.
            self.is_doubtful = True
            self.can_reuse = False
            self._stage = _Stage.UNTIL_CLOSE
            self._emit(data)
            return
        if not self._emit(data[:end] if end < len(data) else data):
            return
        if chunks.is_done:
            self._stage = _Stage.DONE
            self.can_reuse = self.can_reuse and end == len(data)
