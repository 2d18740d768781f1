"""A record as it was read: its header, its block, and what HTTP makes of the block."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, Final

from healtharchive.warc.coding import dechunk, decode
from healtharchive.warc.fields import Fields, end_of_head

HTTP_HEAD_BYTES_MAX: Final = 1 << 20
"""A response without a blank line in its first MiB is all body."""

MEMORY_BYTES_MAX: Final = 4 << 20
"""A longer block waits in a temporary file while its record is current."""

_PIECE_BYTES: Final = 1 << 18
_STATUS: Final = re.compile(r"[0-9]{1,9}")


class Block:
    """A record's block: in memory, or in a temporary file that has no name."""

    __slots__ = ("_file", "_pieces", "size")

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []
        self._file: IO[bytes] | None = None

    def append(self, piece: bytes) -> None:
        self.size += len(piece)
        if self._file is not None:
            self._file.write(piece)
            return
        self._pieces.append(piece)
        if self.size > MEMORY_BYTES_MAX:
            self._file = tempfile.TemporaryFile(prefix="warc-block-")  # noqa: SIM115 - closed with its record
            self._file.writelines(self._pieces)
            self._pieces = []

    def head(self, limit: int) -> bytes:
        if self._file is None and len(self._pieces) == 1:
            return self._pieces[0][:limit]
        return next(self._slices(0, limit), b"")

    def pieces(self, start: int) -> Iterator[bytes]:
        return self._slices(start, _PIECE_BYTES)

    def _slices(self, start: int, size: int) -> Iterator[bytes]:
        if self._file is None:
            whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            for position in range(start, len(whole), size):
                yield whole[position : position + size]
            return
        position = start
        while True:
            self._file.seek(position)  # others may have read in between
            piece = self._file.read(size)
            if not piece:
                return
            position += len(piece)
            yield piece

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        self._pieces = []


@dataclass(frozen=True)
class HttpHead:
    """The start of an HTTP message as recorded. `raw` has the blank line; `status` is 0 for a request, or for what is none."""

    raw: bytes
    status: int
    reason: str
    fields: Fields

    @classmethod
    def parse(cls, raw: bytes) -> HttpHead:
        line, _, rest = raw.partition(b"\n")
        words = line.decode("latin-1").split(None, 2)
        is_response = len(words) > 1 and words[0].upper().startswith("HTTP")
        status = int(words[1]) if is_response and _STATUS.fullmatch(words[1]) else 0
        reason = words[2].strip() if is_response and len(words) > 2 else ""
        return cls(raw, status, reason, Fields.parse(rest))

    def get(self, name: str, default: str = "") -> str:
        return self.fields.get(name, default)


class ReadRecord:
    """One complete record. Valid until the next one is asked for.

    offset, length    of its gzip member, or of its bytes in a plain file with the blank lines behind it
    addressable       whether `record_at(offset)` finds it
    """

    def __init__(self, version: str, headers: Fields, block: Block) -> None:
        self.version = version
        self.headers = headers
        self.kind = headers.get("WARC-Type").lower()
        self._block = block
        self.offset = 0
        self.length = 0
        self.addressable = True

    @property
    def block_size(self) -> int:
        return self._block.size

    @cached_property
    def target_uri(self) -> str:
        """Without the angle brackets of wget and the spaces of careless writers; '' if there is none."""
        return self.headers.get("WARC-Target-URI").strip("<>").replace(" ", "%20")

    @property
    def record_id(self) -> str:
        return self.headers.get("WARC-Record-ID")

    @property
    def payload_digest(self) -> str | None:
        """As written: `sha256:` or `sha1:` and hex or base32."""
        return self.headers.get("WARC-Payload-Digest") or None

    @cached_property
    def date(self) -> datetime:
        """WARC-Date, aware UTC, to the microsecond. Raises ValueError if it is none."""
        return parse_date(self.headers.get("WARC-Date"))

    @cached_property
    def http(self) -> HttpHead | None:
        """The HTTP head of a request, response or revisit; None where the block is no HTTP message."""
        if not self._is_http:
            return None
        start = self._block.head(HTTP_HEAD_BYTES_MAX)
        end = end_of_head(start)
        if end >= 0:
            return HttpHead.parse(start[:end])
        # A revisit may hold a head alone, and some writers leave its blank line out; a response may have been cut in its head.
        is_cut = self.truncated is not None and start.startswith(b"HTTP/")
        may_be_all = self._block.size <= len(start) and (self.kind != "response" or is_cut)
        return HttpHead.parse(start if may_be_all else b"")

    @property
    def _is_http(self) -> bool:
        if self.kind not in ("response", "request", "revisit") or not self._block.size:
            return False
        content_type = self.headers.get("Content-Type").lower()
        return content_type.startswith("application/http") or (
            not content_type and self.target_uri.startswith(("http:", "https:"))
        )

    def block(self) -> Iterator[bytes]:
        """The whole block as recorded, in pieces."""
        return self._block.pieces(0)

    def body(self) -> Iterator[bytes]:
        """What follows the HTTP head, as recorded; the whole block where there is no head."""
        return self._block.pieces(len(self.http.raw) if self.http else 0)

    @property
    def is_chunked(self) -> bool:
        coding = self.http.get("Transfer-Encoding") if self.http else ""
        return coding.rpartition(",")[2].strip().lower() == "chunked"

    def entity(self) -> Iterator[bytes]:
        """The body without transfer coding."""
        return dechunk(self.body()) if self.is_chunked else self.body()

    def text_payload(self, limit: int) -> bytes:
        """At most `limit` bytes of the body without transfer and content codings. Never raises on damage."""
        return decode(self.entity(), self.http.get("Content-Encoding") if self.http else "", limit=limit)

    @property
    def content_type(self) -> str:
        """Of the payload, as declared: that of the HTTP head, else of the record."""
        return self.http.get("Content-Type") if self.http else self.headers.get("Content-Type")

    @property
    def mime(self) -> str:
        return self.content_type.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        for parameter in self.content_type.split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'").strip().lower() or None
        return None

    @property
    def truncated(self) -> str | None:
        """Why the recorded response is not whole, by WARC-Truncated."""
        return self.headers.get("WARC-Truncated") or None

    def close(self) -> None:
        self._block.close()


def parse_date(text: str) -> datetime:
    """A WARC-Date: `2026-01-31T10:20:30Z`, with up to nine digits of fraction, or shortened as WARC 1.1 allows. Aware UTC."""
    text = text.strip().removesuffix("Z")
    whole, _, fraction = text.partition(".")
    full = whole + "0001-01-01T00:00:00"[len(whole) :] if len(whole) in (4, 7, 10, 16) else whole
    moment = datetime.fromisoformat(full)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).replace(microsecond=int((fraction + "000000")[:6])) if fraction else moment.astimezone(UTC)
