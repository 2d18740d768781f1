"""WARC 1.1 records as values: what a record says about its block. Pure; the block's bytes are somebody else's.

    WARC/1.1                                  version
    WARC-Type: response                       named fields, in this order
    WARC-Record-ID: <urn:uuid:...>
    WARC-Date: 2026-01-31T10:20:30.123456Z
    ...
    Content-Length: 7123                      size of the block
                                              blank line
    ...                                       block
                                              two line ends

ISO 28500:2017; https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/. `WARC-Protocol` is an extension
of the community that wrote it, repeated once for each protocol layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

RECORD_END: Final = b"\r\n\r\n"

IDENTICAL_PAYLOAD_DIGEST: Final = "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
SERVER_NOT_MODIFIED: Final = "http://netpreserve.org/warc/1.1/revisit/server-not-modified"

HTTP_REQUEST: Final = "application/http; msgtype=request"
HTTP_RESPONSE: Final = "application/http; msgtype=response"
WARC_FIELDS: Final = "application/warc-fields"
"""Also for what is no capture: indexers take metadata of any other type for something to replay."""

Field = tuple[str, str]


class RecordType(StrEnum):
    WARCINFO = "warcinfo"
    REQUEST = "request"
    RESPONSE = "response"
    REVISIT = "revisit"
    METADATA = "metadata"
    RESOURCE = "resource"


@dataclass(frozen=True)
class Record:
    """A record without its block. `fields` stand between WARC-Date and Content-Type."""

    kind: RecordType
    record_id: str
    date: datetime
    content_type: str
    block_size: int
    fields: tuple[Field, ...] = ()

    def header(self) -> bytes:
        """Version line to blank line."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.fields])
        return (
            f"WARC/1.1\r\nWARC-Type: {self.kind}\r\nWARC-Record-ID: {self.record_id}\r\nWARC-Date: {format_date(self.date)}\r\n"
            f"{lines}Content-Type: {self.content_type}\r\nContent-Length: {self.block_size}\r\n\r\n"
        ).encode()


@dataclass(frozen=True)
class Wire:
    """What request, response and revisit records say about the connection that carried them."""

    url: str
    date: datetime
    ip: str = ""
    protocols: tuple[str, ...] = ()  # the application's first: ('h2', 'tls/1.3')

    def fields(self) -> tuple[Field, ...]:
        ip = (("WARC-IP-Address", self.ip),) if self.ip else ()
        return (("WARC-Target-URI", self.url), *ip, *(("WARC-Protocol", protocol) for protocol in self.protocols))


@dataclass(frozen=True)
class Original:
    """The earlier capture that a revisit refers to."""

    url: str
    date: datetime
    record_id: str | None = None

    def fields(self) -> tuple[Field, ...]:
        refers_to = (("WARC-Refers-To", self.record_id),) if self.record_id else ()
        return (
            *refers_to,
            ("WARC-Refers-To-Target-URI", self.url),
            ("WARC-Refers-To-Date", format_date(self.date)),
        )


def format_date(moment: datetime) -> str:
    """An aware instant as a WARC-Date with microseconds: two captures of one URL within a second stay apart."""
    # Appended, not converted, in the usual case: this runs several times for each page.
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def record_id(random: bytes) -> str:
    """A record id out of 16 random bytes, as a version 4 UUID (RFC 9562)."""
    digits = random.hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"<urn:uuid:{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}>"


def warc_fields(fields: Mapping[str, str] | Iterable[Field]) -> bytes:
    """A block of type `application/warc-fields`. Line ends inside a value become spaces."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return "".join([f"{name}: {_one_line(value)}\r\n" for name, value in pairs]).encode("utf-8", "replace")


def _one_line(value: str) -> str:
    return " ".join(value.splitlines()) if len(value.splitlines()) > 1 else value.strip("\r\n")


def warcinfo(record_id: str, date: datetime, filename: str, block_size: int) -> Record:
    return Record(RecordType.WARCINFO, record_id, date, WARC_FIELDS, block_size, (("WARC-Filename", filename),))


def request(record_id: str, wire: Wire, block_size: int, *, concurrent_to: str) -> Record:
    fields = (*wire.fields(), ("WARC-Concurrent-To", concurrent_to))
    return Record(RecordType.REQUEST, record_id, wire.date, HTTP_REQUEST, block_size, fields)


def response(
    record_id: str, wire: Wire, block_size: int, *, payload_digest: str, block_digest: str, truncated: str | None = None
) -> Record:
    """`truncated`: length, time, disconnect or unspecified."""
    fields = (
        *wire.fields(),
        *_truncated(truncated),
        ("WARC-Payload-Digest", payload_digest),
        ("WARC-Block-Digest", block_digest),
    )
    return Record(RecordType.RESPONSE, record_id, wire.date, HTTP_RESPONSE, block_size, fields)


def revisit(
    record_id: str, wire: Wire, block_size: int, *, profile: str, original: Original, payload_digest: str, block_digest: str
) -> Record:
    """The block is the head alone. `payload_digest` is that of the original's payload."""
    # Section 6.7.2: a block shortened because its payload is known is marked so. A 304 answer was never longer.
    truncated = "length" if profile == IDENTICAL_PAYLOAD_DIGEST else None
    fields = (
        *wire.fields(),
        ("WARC-Profile", profile),
        *original.fields(),
        *_truncated(truncated),
        ("WARC-Payload-Digest", payload_digest),
        ("WARC-Block-Digest", block_digest),
    )
    return Record(RecordType.REVISIT, record_id, wire.date, HTTP_RESPONSE, block_size, fields)


def metadata(
    record_id: str, url: str, date: datetime, block_size: int, *, block_digest: str, concurrent_to: str | None = None
) -> Record:
    concurrent = (("WARC-Concurrent-To", concurrent_to),) if concurrent_to else ()
    fields = (("WARC-Target-URI", url), *concurrent, ("WARC-Block-Digest", block_digest))
    return Record(RecordType.METADATA, record_id, date, WARC_FIELDS, block_size, fields)


def resource(record_id: str, url: str, date: datetime, mime: str, block_size: int, *, digest: str) -> Record:
    """Something that no server sent: a screenshot, a rendered text. Block and payload are the same."""
    fields = (("WARC-Target-URI", url), ("WARC-Payload-Digest", digest), ("WARC-Block-Digest", digest))
    return Record(RecordType.RESOURCE, record_id, date, mime, block_size, fields)


def _truncated(reason: str | None) -> tuple[Field, ...]:
    return (("WARC-Truncated", reason),) if reason else ()
