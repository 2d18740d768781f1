"""What the records of a WARC say of captures: reading only, nothing of it is written here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from healtharchive.access import text
from healtharchive.errors import StorageUnavailable
from healtharchive.storage.model import StoredWarc
from healtharchive.warc import reader, urls
from healtharchive.warc.reader import Finding, ReadRecord

SEGMENT_BYTES_MAX: Final = 32 << 20
"""Decoded documents that a segment holds until it is worked out."""


@dataclass
class Draft:
    """A record on its way to a row."""

    values: dict[str, Any]
    kind: text.Kind | None = None
    payload: bytes = b""
    charset: str | None = None
    content_language: str = ""

    @property
    def digest(self) -> str:
        return str(self.values["payload_digest"])


@dataclass
class Segment:
    """Consecutive records up to `end`."""

    drafts: list[Draft] = field(default_factory=list)
    payload_bytes: int = 0
    records: int = 0
    end: int = 0


class Reading:
    """One pass over one file, from an offset on. `findings` grows with what is wrong with it."""

    def __init__(self, path: Path, warc: StoredWarc, source: str, findings: list[str]) -> None:
        self._path = path
        self._warc = warc
        self._source = source
        self.findings = findings

    def segments(self, start: int, *, records: int) -> Iterator[Segment]:
        segment = Segment(end=start)
        if start >= self._warc.size_bytes and start > 0:
            return
        try:
            for record in reader.read(self._path, start=start, on_finding=self._note):
                if not record.addressable:
                    continue  # noted by the reader; without an offset a capture could never be read
                segment.records += 1
                draft = self._draft(record)
                if draft is not None:
                    segment.drafts.append(draft)
                    segment.payload_bytes += len(draft.payload)
                segment.end = record.offset + record.length
                if len(segment.drafts) >= records or segment.payload_bytes >= SEGMENT_BYTES_MAX:
                    yield segment
                    segment = Segment(end=segment.end)
        except OSError as error:
            raise StorageUnavailable(
                f"{self._path} cannot be read: {error.strerror or error}.",
                hint="Nothing of the index was lost; indexing goes on where it stopped.",
            ) from error
        if segment.records:
            yield segment

    def _note(self, finding: Finding) -> None:
        self.findings.append(f"{finding.kind} at {finding.offset}: {finding.message}")

    def _draft(self, record: ReadRecord) -> Draft | None:
        """The capture that a record is, None if it is none."""
        if record.kind not in ("response", "revisit", "resource"):
            return None
        href = urls.normalize(record.target_uri)
        if href is None:
            return None  # dns:, metadata:, urn: and what is no URL
        try:
            captured_at = record.date
        except ValueError:
            self.findings.append(f"bad-header at {record.offset}: WARC-Date is no date, the record is not indexed")
            return None
        http = record.http
        status = http.status if http and http.status else (200 if record.kind == "resource" else None)
        draft = Draft(
            {
                "warc_id": self._warc.id,
                "offset": record.offset,
                "length": record.length,
                "record_type": record.kind,
                "source": self._source,
                "job_id": self._warc.job_id,
                "url": _clean(record.target_uri),
                "url_key": urls.url_key(href),
                "surt": _clean(urls.surt_key(href)),
                "captured_at": captured_at,
                "status": status,
                "mime": _clean(record.mime),
                "payload_digest": _clean(record.payload_digest or ""),
                "truncated": _optional(record.truncated),
                "redirect_url": None,
                "etag": _optional(http.get("ETag") if http else None),
                "last_modified": _optional(http.get("Last-Modified") if http else None),
                "refers_to_url": None,
                "refers_to_at": None,
            }
        )
        if record.kind == "revisit":
            self._refer(draft, record)
        else:
            self._read_payload(draft, record, href)
        return draft

    def _refer(self, draft: Draft, record: ReadRecord) -> None:
        draft.values["refers_to_url"] = _optional(record.headers.get("WARC-Refers-To-Target-URI").strip("<>"))
        date = record.headers.get("WARC-Refers-To-Date")
        if date:
            try:
                draft.values["refers_to_at"] = reader.parse_date(date)
            except ValueError:
                self.findings.append(f"bad-header at {record.offset}: WARC-Refers-To-Date is no date")

    def _read_payload(self, draft: Draft, record: ReadRecord, href: str) -> None:
        values = draft.values
        if not values["payload_digest"]:
            values["payload_digest"] = _digest(record.body())
        status = values["status"] or 0
        if 300 <= status < 400:
            location = record.http.get("Location") if record.http else ""
            values["redirect_url"] = urls.normalize(location, href) if location else None
            return  # nobody reads the body of a redirect
        if urls.split(href).path == "/robots.txt":
            return
        start = record.text_payload(1024) if values["mime"] in ("", "application/octet-stream", "unk") else b""
        draft.kind = text.kind_of(values["mime"], start)
        if draft.kind is not None:
            draft.payload = record.text_payload(text.PAYLOAD_BYTES_MAX)
            draft.charset = record.charset
            draft.content_language = record.http.get("Content-Language") if record.http else ""


def _digest(pieces: Iterable[bytes]) -> str:
    hasher = hashlib.sha256()
    for piece in pieces:
        hasher.update(piece)
    return f"sha256:{hasher.hexdigest()}"


def _clean(value: str) -> str:
    """What both databases can hold: PostgreSQL refuses NUL, and no lone surrogate is text."""
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _optional(value: str | None) -> str | None:
    return _clean(value) if value else None
