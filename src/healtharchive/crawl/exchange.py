"""One request and what came of it, as values: `Exchange` if a response began, `FetchError` if none did.

Every byte of a response is in exactly one place: `interim` (what came before the final head: 1xx responses, stray blank lines),
`head`, or `body` (chunk framing and trailers included). What is derived from them (status, headers, entity) is read leniently, as
browsers read it, and never written back.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Final, Literal

from healtharchive.warc import coding

MEMORY_BYTES_MAX: Final = 1 << 20
"""A body above this size moves to a temporary file."""

_PIECE_BYTES: Final = 1 << 18

Truncation = Literal["length", "time", "disconnect"]
FailureKind = Literal["dns", "refused", "unreachable", "tls", "timeout", "private", "protocol", "reset", "toobig"]

_MIME: Final = re.compile(r"\s*([\w!#$&^.+*-]+/[\w!#$&^.+*-]+)", re.ASCII)
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.ASCII | re.IGNORECASE)


class Body:
    """The raw bytes of a message body as received: in memory up to 1 MiB, then in an unnamed temporary file.

    The file has no name, so that the kernel frees it whenever this process ends, however it ends.
    """

    __slots__ = ("_file", "_pieces", "_spill", "size")

    def __init__(self, spill: Path | None = None, data: bytes = b"") -> None:
        self.size = len(data)
        self._pieces: list[bytes] = [data] if data else []
        self._spill = spill
        self._file: IO[bytes] | None = None

    def append(self, piece: bytes) -> None:
        """Raises OSError if the spill directory is full or gone."""
        self.size += len(piece)
        if self._file is not None:
            self._file.write(piece)
            return
        self._pieces.append(piece)
        if self.size > MEMORY_BYTES_MAX and self._spill is not None:
            self._file = tempfile.TemporaryFile(dir=self._spill, prefix="body-", buffering=_PIECE_BYTES)  # noqa: SIM115 - close() ends it
            self._file.writelines(self._pieces)
            self._pieces = []

    @property
    def in_memory(self) -> bool:
        return self._file is None

    def chunks(self) -> Iterator[bytes]:
        """The bytes in order, in pieces of bounded size. May be called again, but not while an earlier pass is going on."""
        if self._file is None:
            yield from self._pieces
            return
        self._file.seek(0)
        while piece := self._file.read(_PIECE_BYTES):
            yield piece

    def read(self, limit: int | None = None) -> bytes:
        """All of it, or its first `limit` bytes."""
        if self._file is None:
            if len(self._pieces) > 1:
                self._pieces = [b"".join(self._pieces)]
            whole = self._pieces[0] if self._pieces else b""
            return whole if limit is None else whole[:limit]
        self._file.seek(0)
        return self._file.read(-1 if limit is None else limit)

    def close(self) -> None:
        """Free the memory and the file. `size` stays."""
        self._pieces = []
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True)
class FetchRequest:
    """What to fetch: a normalized URL, and headers beside the usual ones (conditions, Referer), in their order."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(kw_only=True)
class Exchange:
    """A request and its response, whole or cut.

    request     exact bytes sent (HTTP/2: the same request in the shape of HTTP/1.1)
    head        status line and headers with the blank line, exact bytes received (HTTP/2: in the shape of HTTP/1.1). After a
                disconnect in mid-head it ends where the bytes ended
    interim     1xx responses and stray blank lines before `head`, exact
    trailers    header lines after an HTTP/2 body, in the shape of HTTP/1.1; those of HTTP/1.1 are in the body's bytes
    headers     lenient reading of `head`: latin-1, in order, folded lines joined, lines without a colon left out
    tls         protocol version such as 'tls/1.3', or None
    truncated   why the response is not whole: 'length' (our limit), 'time' (our patience), 'disconnect' (or broken framing)
    """

    url: str
    request: bytes
    head: bytes
    body: Body
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    protocol: str
    ip: str
    started_at: datetime
    elapsed_ms: float
    interim: bytes = b""
    trailers: bytes = b""
    tls: str | None = None
    truncated: Truncation | None = None
    _named: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    def header(self, name: str) -> str | None:
        """The first value of a header, by its name in any case."""
        if self._named is None:
            self._named = {key.lower(): value for key, value in reversed(self.headers)}
        return self._named.get(name.lower())

    def entity(self) -> Iterator[bytes]:
        """The payload without transfer coding, still content-encoded. Broken chunks end it early."""
        if self.is_chunked:
            return coding.dechunk(self.body.chunks())
        return self.body.chunks()

    def text_payload(self, limit: int) -> bytes:
        """The payload without any coding, cut at `limit` bytes: a gzip bomb costs `limit` bytes of memory.

        A damaged encoding gives what could be decoded, never an error.
        """
        encoding = self.header("content-encoding")
        if not encoding:
            if self.is_chunked:
                return coding.decode(self.entity(), "", limit=limit)
            return self.body.read(limit)
        return coding.decode(self.entity(), encoding, limit=limit)

    @property
    def is_chunked(self) -> bool:
        if self.header("transfer-encoding") is None:
            return False
        values = [value for name, value in self.headers if name.lower() == "transfer-encoding"]
        codings = [part.strip() for part in ",".join(values).lower().split(",")]
        return [coding for coding in codings if coding not in ("", "identity")][-1:] == ["chunked"]

    @cached_property
    def mime(self) -> str:
        """The media type in lower case without parameters; '' if there is none that could be one."""
        found = _MIME.match(self.header("content-type") or "")
        return found[1].lower() if found else ""

    @cached_property
    def charset(self) -> str | None:
        """The charset parameter of the media type in lower case."""
        found = _CHARSET.search(self.header("content-type") or "")
        return found[1].lower() if found else None

    def close(self) -> None:
        self.body.close()


class FetchError(Exception):
    """No response began, or none that could be told from noise. `str()` is one sentence.

    is_local      our machine's fault (no descriptors, no network): the URL is not to blame
    is_temporary  the same request may well succeed soon (a resolver that could not answer)
    received      bytes that came and are no response: garbage, a flood of headers; kept for the record, bounded
    """

    def __init__(
        self, kind: FailureKind, message: str, *, is_local: bool = False, is_temporary: bool = False, received: bytes = b""
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.is_local = is_local
        self.is_temporary = is_temporary
        self.received = received
