"""A small archive to index and search: WARCs written by warcio, registered in an instance as a crawl of ours would be."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from healtharchive import journal
from healtharchive.access import indexer
from healtharchive.access.model import IndexCounts
from healtharchive.access.query import Query, parse
from healtharchive.access.search import Search, SearchPage, open_search
from healtharchive.campaigns import sources
from healtharchive.instance import Instance
from healtharchive.jobs import queue
from healtharchive.storage import spool
from healtharchive.storage.model import SealedWarc, StoredWarc

ACTOR = journal.Actor("person", "test", "localhost")
BEGIN = datetime(2024, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Answer:
    """One response of a site. A `revisit_of` makes it a revisit by digest; with status 304, by "not modified"."""

    url: str
    body: bytes | str = b""
    at: datetime = BEGIN
    status: int = 200
    mime: str = "text/html; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    revisit_of: Answer | None = None
    kind: str = "response"
    names_digest: bool = True  # whether a revisit says the digest of what it refers to

    @property
    def payload(self) -> bytes:
        return self.body.encode() if isinstance(self.body, str) else self.body

    @property
    def digest(self) -> str:
        """As warcio writes it."""
        return f"sha1:{base64.b32encode(hashlib.sha1(self.payload).digest()).decode()}"


def page(title: str, text: str, *, lang: str = "", around: str = "") -> str:
    """An HTML page."""
    attribute = f' lang="{lang}"' if lang else ""
    return (
        f"<!doctype html><html{attribute}><head><meta charset=utf-8><title>{title}</title></head>"
        f"<body><nav>{around}</nav><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    )


def write_warc(path: Path, answers: Iterable[Answer]) -> int:
    """Write requests and responses as a crawler would; returns the number of records."""
    count = 0
    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=True, warc_version="WARC/1.1")
        writer.write_record(writer.create_warcinfo_record(path.name, {"software": "test"}))
        count += 1
        for answer in answers:
            writer.write_record(_record(writer, answer))
            count += 1
    return count


def _record(writer: WARCWriter, answer: Answer) -> object:
    date = answer.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    headers = [("Content-Type", answer.mime)] if answer.mime else []
    http = StatusAndHeaders(f"{answer.status} OK", [*headers, *answer.headers], protocol="HTTP/1.1")
    fields = {"WARC-Date": date, "WARC-Payload-Digest": answer.digest}
    if answer.revisit_of is None:
        return writer.create_warc_record(
            answer.url, answer.kind, payload=BytesIO(answer.payload), http_headers=http, warc_headers_dict=fields
        )
    first = answer.revisit_of
    fields |= {
        "WARC-Payload-Digest": first.digest if answer.names_digest else f"sha256:{hashlib.sha256(first.payload).hexdigest()}",
        "WARC-Refers-To-Target-URI": first.url,
        "WARC-Refers-To-Date": first.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "WARC-Profile": "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest",
    }
    return writer.create_warc_record(answer.url, "revisit", payload=BytesIO(b""), http_headers=http, warc_headers_dict=fields)


@dataclass
class Archive:
    """An instance with WARCs in it."""

    instance: Instance
    jobs: dict[str, int] = field(default_factory=dict)
    warcs: list[tuple[StoredWarc, str]] = field(default_factory=list)

    def add(self, answers: Sequence[Answer], *, source: str = "hc", job: str = "first") -> StoredWarc:
        """Write and register one WARC; nothing is indexed yet."""
        job_id = self._job(source, job)
        directory = self.instance.jobs_root / source / job
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{source}-{job}-{len(self.warcs):05d}.warc.gz"
        records = write_warc(path, answers)
        data = path.read_bytes()
        sealed = SealedWarc(path.name, len(data), hashlib.sha256(data).hexdigest(), records, 1, BEGIN)
        with self.instance.db.write() as conn:
            stored = spool.register_sealed(conn, job_id, source, sealed, path.relative_to(self.instance.jobs_root))
        self.warcs.append((stored, source))
        return stored

    def index(self, *, rebuild: bool = False, segment_records: int = indexer.SEGMENT_RECORDS) -> IndexCounts:
        counts = IndexCounts()
        for warc, source in self.warcs:
            counts += indexer.index_warc(
                self.instance.db,
                self.instance.jobs_root,
                warc,
                source=source,
                rebuild=rebuild,
                segment_records=segment_records,
            )
        return counts

    def search(self, text: str = "", **filters: object) -> SearchPage:
        limit = int(str(filters.pop("limit", 20)))
        offset = int(str(filters.pop("offset", 0)))
        query: Query = parse(text, **filters)  # type: ignore[arg-type]
        return self.engine.search(query, limit=limit, offset=offset)

    @property
    def engine(self) -> Search:
        return open_search(self.instance)

    def found(self, text: str = "", **filters: object) -> list[str]:
        """The URLs that a query finds, best first."""
        return [hit.capture.url for hit in self.search(text, **filters).hits]

    def _job(self, source: str, job: str) -> int:
        key = f"{source}/{job}"
        if key not in self.jobs:
            with self.instance.db.write() as conn:
                item = sources.find(conn, source) or sources.add(
                    conn, name=source, title=source, seeds=["https://example.org/"], actor=ACTOR
                )
                made = queue.create_job(conn, source_id=item.id, source=source, name=job, config={}, actor=ACTOR)
            self.jobs[key] = made.id
        return self.jobs[key]


def days(count: int) -> timedelta:
    return timedelta(days=count)
