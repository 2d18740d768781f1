"""Captures by id, by URL and by time; their records by offset, never by scanning.

Every query is one walk along an index of `capture`; with a million captures each takes well under a millisecond a row, whatever
the size of the archive. `sources_summary` alone counts, about a second a million captures, once after each change.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from healtharchive.access.model import Capture, Edition, Payload, RawRecord, SourceSummary
from healtharchive.access.tables import capture, search_clock
from healtharchive.errors import HealthArchiveError, NotFound, StorageUnavailable
from healtharchive.host.files import sync_directory
from healtharchive.warc import reader, urls

# Read only: the table belongs to a room below, which this one may not import.
_warc = sa.table("warc", sa.column("id"), sa.column("name"), sa.column("path"))

_HIDDEN: Final = frozenset({"generation", "search_seq", "text_digest"})
_COLUMNS: Final = [column for column in capture.c if column.name not in _HIDDEN]
_SELECT: Final = sa.select(*_COLUMNS, _warc.c.name.label("warc_name"), _warc.c.path.label("warc_path")).join_from(
    capture, _warc, capture.c.warc_id == _warc.c.id
)
_BATCH: Final = 1000

NOT_MODIFIED: Final = 304

_SUMMARIES_MAX: Final = 8
_SUMMARIES: Final[dict[tuple[object, ...], list[SourceSummary]]] = {}


class PayloadMissing(HealthArchiveError):
    """A revisit's payload is in no capture of this archive: the visit is proved, what it saw is not held."""


def get(conn: Connection, capture_id: int) -> Capture:
    """One capture. Raises NotFound."""
    # A number that no column holds cannot be asked for.
    found = by_ids(conn, [capture_id]) if 0 < capture_id < 2**63 else {}
    if capture_id not in found:
        raise NotFound(f"There is no capture {capture_id}.")
    return found[capture_id]


def by_ids(conn: Connection, ids: Sequence[int]) -> dict[int, Capture]:
    """The captures of `ids` that exist."""
    return {row["id"]: _capture(row) for row in conn.execute(_SELECT.where(capture.c.id.in_(ids))).mappings()}


def of_url(conn: Connection, url: str, *, source: str | None = None, limit: int | None = None, offset: int = 0) -> list[Capture]:
    """The captures of a URL, oldest first. A URL that cannot be one has none."""
    key = key_of(url)
    if key is None:
        return []
    query = _of_key(key, source).order_by(capture.c.captured_at, capture.c.id).offset(offset)
    return [_capture(row) for row in conn.execute(query if limit is None else query.limit(limit)).mappings()]


def count_of_url(conn: Connection, url: str, *, source: str | None = None) -> int:
    """How many captures a URL has."""
    key = key_of(url)
    return count_of_keys(conn, [key], source=source).get(key, 0) if key is not None else 0


def count_of_keys(conn: Connection, keys: Sequence[bytes], *, source: str | None = None) -> dict[bytes, int]:
    """How many captures each URL key has."""
    query = sa.select(capture.c.url_key, sa.func.count()).where(capture.c.url_key.in_(keys)).group_by(capture.c.url_key)
    if source is not None:
        query = query.where(capture.c.source == source)
    return {bytes(key): count for key, count in conn.execute(query)}


def nearest(conn: Connection, url: str, at: datetime, *, source: str | None = None) -> Capture | None:
    """The capture of a URL that lies nearest to an instant, the earlier one of two at equal distance; None if there is none."""
    key = key_of(url)
    if key is None:
        return None
    before = _of_key(key, source).where(capture.c.captured_at <= at)
    after = _of_key(key, source).where(capture.c.captured_at > at)
    earlier = _first(conn, before.order_by(capture.c.captured_at.desc(), capture.c.id.desc()))
    later = _first(conn, after.order_by(capture.c.captured_at, capture.c.id))
    if earlier is None or later is None:
        return earlier or later
    return earlier if at - earlier.captured_at <= later.captured_at - at else later


def neighbours(conn: Connection, of: Capture) -> tuple[Capture | None, Capture | None]:
    """The captures of the same URL just before and just after one."""
    place = sa.tuple_(capture.c.captured_at, capture.c.id)
    here = sa.tuple_(sa.literal(of.captured_at, capture.c.captured_at.type), sa.literal(of.id))
    same = _of_key(of.url_key, None)
    return (
        _first(conn, same.where(place < here).order_by(capture.c.captured_at.desc(), capture.c.id.desc())),
        _first(conn, same.where(place > here).order_by(capture.c.captured_at, capture.c.id)),
    )


def sources_summary(conn: Connection) -> list[SourceSummary]:
    """Every source that has captures, by name, with one edition a job. Counted again only when captures have changed."""
    # Whatever changes captures takes a number of the search clock in the same transaction.
    state = sa.select(sa.select(search_clock.c.seq).scalar_subquery(), sa.select(sa.func.max(capture.c.id)).scalar_subquery())
    key = (str(conn.engine.url), *conn.execute(state).one())
    known = _SUMMARIES.get(key)
    if known is None:
        known = _count_sources(conn)
        if len(_SUMMARIES) >= _SUMMARIES_MAX:
            _SUMMARIES.clear()
        _SUMMARIES[key] = known
    return list(known)


def _count_sources(conn: Connection) -> list[SourceSummary]:
    documents = capture.c.is_page & sa.or_(capture.c.status.between(200, 299), capture.c.status == NOT_MODIFIED)
    counts = [
        sa.func.count().label("captures"),
        sa.func.count(sa.distinct(sa.case((documents, capture.c.url_key)))).label("pages"),
        sa.func.min(capture.c.captured_at).label("first_at"),
        sa.func.max(capture.c.captured_at).label("last_at"),
    ]
    editions: dict[str, list[Edition]] = {}
    by_job = sa.select(capture.c.source, capture.c.job_id, *counts).group_by(capture.c.source, capture.c.job_id)
    for row in conn.execute(by_job.order_by(capture.c.source, capture.c.job_id)):
        editions.setdefault(row.source, []).append(
            Edition(job_id=row.job_id, captures=row.captures, pages=row.pages, first_at=row.first_at, last_at=row.last_at)
        )
    by_source = sa.select(capture.c.source, *counts).group_by(capture.c.source).order_by(capture.c.source)
    return [
        SourceSummary(row.source, row.captures, row.pages, row.first_at, row.last_at, tuple(editions[row.source]))
        for row in conn.execute(by_source)
    ]


def iterate(conn: Connection, source: str | None = None, job_id: int | None = None) -> Iterator[Capture]:
    """Captures in the order of a CDXJ file (key, then time), in constant memory. PostgreSQL sorts keys by bytes here."""
    key = capture.c.surt.collate("C") if conn.dialect.name == "postgresql" else capture.c.surt
    query = _SELECT.order_by(key, capture.c.captured_at, capture.c.id)
    if source is not None:
        query = query.where(capture.c.source == source)
    if job_id is not None:
        query = query.where(capture.c.job_id == job_id)
    for row in conn.execute(query, execution_options={"yield_per": _BATCH}).mappings():
        yield _capture(row)


# -- records ---------------------------------------------------------------------------------------------------------------


def read_record(jobs_root: Path, of: Capture) -> RawRecord:
    """The record of a capture as it lies in its WARC; reads nothing else of the file.

    Raises StorageUnavailable if the file is not there or cannot be read, `warc.reader.WarcDamaged` if there is no record at its
    place.
    """
    with _opened(jobs_root, of) as record:
        return RawRecord(tuple(record.headers), record.http.raw if record.http else b"", b"".join(record.body()))


def payload_of(conn: Connection, jobs_root: Path, of: Capture) -> Payload:
    """What a capture answered; a revisit's body is read from the capture that it refers to.

    Raises PayloadMissing if that one is not in the archive, and what `read_record` raises.
    """
    holder = holder_of(conn, of)
    with _opened(jobs_root, holder) as record:
        http = record.http
        return Payload(
            capture=of,
            holder=holder,
            status=http.status if http else 200,
            reason=http.reason if http else "OK",
            headers=tuple(http.fields) if http else (("Content-Type", record.content_type),),
            body=b"".join(record.entity()),
            content_encoding=http.get("Content-Encoding") if http else "",
        )


def holder_of(conn: Connection, of: Capture) -> Capture:
    """The capture whose record holds the payload: `of` itself, or what a revisit refers to. Raises PayloadMissing."""
    if not of.is_revisit:
        return of
    holds = _SELECT.where(capture.c.record_type != "revisit")
    key = key_of(of.refers_to_url or of.url)
    same_bytes = capture.c.payload_digest == of.payload_digest
    if key is not None and of.refers_to_at is not None:
        named = holds.where(capture.c.url_key == key, capture.c.captured_at == of.refers_to_at)
        # Two responses of one URL in one second: the digest tells them apart, where the revisit has one.
        found = _first(conn, named.order_by(sa.case((same_bytes, 0), else_=1), capture.c.id))
        if found is not None:
            return found
    if of.payload_digest:
        same_url = sa.case((capture.c.url_key == of.url_key, 0), else_=1)
        found = _first(conn, holds.where(same_bytes).order_by(same_url, capture.c.captured_at, capture.c.id))
        if found is not None:
            return found
    if key is not None and not of.payload_digest:
        earlier = holds.where(capture.c.url_key == key, capture.c.captured_at <= of.captured_at)
        found = _first(conn, earlier.order_by(capture.c.captured_at.desc(), capture.c.id.desc()))
        if found is not None:
            return found
    raise PayloadMissing(
        f"Capture {of.id} of {of.url} says that nothing had changed, but the capture it refers to is not in this archive.",
        hint="Index the WARCs that it came with: healtharchive index",
    )


def _opened(jobs_root: Path, of: Capture) -> _OpenRecord:
    return _OpenRecord(jobs_root / of.warc_path, of)


class _OpenRecord:
    """`reader.record_at`, with a missing or unreadable file told as what it is."""

    def __init__(self, path: Path, of: Capture) -> None:
        self._path = path
        self._of = of
        self._context = reader.record_at(path, of.offset)

    def __enter__(self) -> reader.ReadRecord:
        try:
            return self._context.__enter__()
        except OSError as error:
            raise StorageUnavailable(
                f"Capture {self._of.id} is archived, but its WARC {self._path} cannot be read: {error.strerror or error}.",
                hint="No data is lost by this. Look at the storage it lies on.",
            ) from error

    def __exit__(self, *exc: Any) -> bool | None:
        return self._context.__exit__(*exc)


# -- for the next crawl ----------------------------------------------------------------------------------------------------


def write_prior(conn: Connection, source: str, path: Path) -> int:
    """Write what a crawl of `source` needs to know of the last one, as a SQLite file that appears whole or not at all.

    Table `prior`: url_key, url, captured_at (ISO), payload_digest, etag, last_modified, record_id, mime: for each URL the newest
    whole response with status 200, at its first capture, so that a revisit never refers to a revisit; `url` is that of the
    record, which may be another one with the same bytes. Table `known`: every URL that ever answered, because "not modified"
    names no links. Returns the number of rows of `prior`. Two walks along an index.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(beside)) as out:
            out.execute("PRAGMA journal_mode=OFF")
            out.execute("PRAGMA synchronous=OFF")  # synced once, below
            out.execute(
                "CREATE TABLE prior (url_key BLOB PRIMARY KEY, url TEXT NOT NULL, captured_at TEXT NOT NULL,"
                " payload_digest TEXT NOT NULL, etag TEXT, last_modified TEXT, record_id TEXT, mime TEXT NOT NULL) WITHOUT ROWID"
            )
            cursor = out.executemany("INSERT INTO prior VALUES (?, ?, ?, ?, ?, ?, NULL, ?)", _prior_rows(conn, source))
            count = max(cursor.rowcount, 0)
            out.execute("CREATE TABLE known (url TEXT PRIMARY KEY) WITHOUT ROWID")
            out.executemany("INSERT OR IGNORE INTO known VALUES (?)", _known_urls(conn, source))
            out.commit()
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    sync_directory(path.parent)
    return count


_Prior = tuple[bytes, str, str, str, str | None, str | None, str]


def _prior_rows(conn: Connection, source: str) -> Iterator[_Prior]:
    c = capture.c
    holder = capture.alias("holder").c
    # What no record here holds must be fetched again, not referred to.
    is_held = sa.exists().where(holder.payload_digest == c.payload_digest, holder.record_type == "response")
    query = (
        sa.select(
            c.url_key, c.url, c.captured_at, c.record_type, c.status, c.payload_digest, c.truncated,
            c.etag, c.last_modified, c.refers_to_url, c.refers_to_at, c.mime,
            sa.case((c.record_type == "revisit", is_held), else_=sa.true()).label("is_held"),
        )
        .where(c.source == source, c.record_type.in_(("response", "revisit")), c.status.in_((200, NOT_MODIFIED)))
        .order_by(c.url_key, c.captured_at, c.id)
    )  # fmt: skip
    rows = conn.execute(query, execution_options={"yield_per": _BATCH}).mappings()
    for _, captures in groupby(rows, key=lambda row: bytes(row["url_key"])):
        prior = _newest_prior(captures)
        if prior is not None:
            yield prior


def _known_urls(conn: Connection, source: str) -> Iterator[tuple[str]]:
    answered = capture.c.record_type.in_(("response", "revisit"))
    query = sa.select(sa.func.max(capture.c.url)).where(capture.c.source == source, answered).group_by(capture.c.url_key)
    for row in conn.execute(query, execution_options={"yield_per": _BATCH}):
        yield (row[0],)


def _newest_prior(captures: Iterator[RowMapping]) -> _Prior | None:
    """Fold one URL's captures, oldest first, into what the next revisit would refer to."""
    prior: _Prior | None = None
    for row in captures:
        if row["record_type"] == "response":
            whole = row["status"] == 200 and row["truncated"] is None and row["payload_digest"]
            if whole:
                at = row["captured_at"]
                prior = _prior(row, row["url"], at, row["etag"], row["last_modified"])
        elif prior is not None and prior[3] == row["payload_digest"]:
            # The same bytes again: validators may have changed, the record that holds them has not.
            prior = (*prior[:4], row["etag"] or prior[4], row["last_modified"] or prior[5], prior[6])
        elif row["status"] == 200 and row["refers_to_at"] is not None and row["is_held"]:
            # The bytes of another URL.
            prior = _prior(row, row["refers_to_url"] or row["url"], row["refers_to_at"], row["etag"], row["last_modified"])
    return prior


def _prior(row: RowMapping, url: str, at: datetime, etag: str | None, last_modified: str | None) -> _Prior:
    return bytes(row["url_key"]), url, at.isoformat(), row["payload_digest"], etag, last_modified, row["mime"]


# -- within this room ------------------------------------------------------------------------------------------------------


def key_of(url: str) -> bytes | None:
    """The identity of a URL as typed or recorded; None if it cannot be one."""
    href = urls.normalize(url)
    return None if href is None else urls.url_key(href)


def parse_timestamp(text: str) -> datetime:
    """`YYYY` to `YYYYMMDDhhmmss` as an instant, the missing rest at its beginning. Raises ValueError."""
    if not text.isascii() or not text.isdigit() or not 4 <= len(text) <= 14 or len(text) % 2:
        raise ValueError(f"{text!r} is not a timestamp")
    return datetime.strptime(text + "00000101000000"[len(text) :], "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _of_key(key: bytes, source: str | None) -> sa.Select[Any]:
    query = _SELECT.where(capture.c.url_key == key)
    return query if source is None else query.where(capture.c.source == source)


def _first(conn: Connection, query: sa.Select[Any]) -> Capture | None:
    row = conn.execute(query.limit(1)).mappings().first()
    return None if row is None else _capture(row)


def _capture(row: RowMapping) -> Capture:
    values = dict(row)
    values["url_key"] = bytes(values["url_key"])
    return Capture(**values)
