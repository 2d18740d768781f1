"""From WARC to captures: incremental, idempotent, crash-safe. The only code that writes captures and texts.

A WARC is read in segments of some hundred records. What a segment holds is worked out first; then one transaction writes its
captures, its new texts and the offset up to which the file is done. A process killed anywhere goes on at that offset, and
nothing is there twice. Re-indexing builds the next generation beside the one that readers see and replaces it in one
transaction at the end: a re-index that fails, for want of its storage or otherwise, has changed nothing (the first generation
of this system deleted first). Captures keep their ids.

The cost of a segment does not depend on the size of the archive: index look-ups and appends. A million captures are about 2,000
transactions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from healtharchive import db
from healtharchive.access import pdf, text, texts
from healtharchive.access.captures import NOT_MODIFIED, key_of
from healtharchive.access.model import IndexCounts, IndexProgress
from healtharchive.access.tables import capture, capture_next, index_state, search_clock, search_removal
from healtharchive.access.text import Text
from healtharchive.access.texts import About
from healtharchive.db import Database
from healtharchive.errors import StorageUnavailable
from healtharchive.host import Host, this_host
from healtharchive.storage import spool
from healtharchive.storage.model import StoredWarc
from healtharchive.warc import reader, urls
from healtharchive.warc.reader import Finding, ReadRecord

SEGMENT_RECORDS: Final = 500
"""Captures of one transaction: what a kill makes us read again."""

_SEGMENT_BYTES_MAX: Final = 32 << 20  # decoded documents held until the segment is worked out
_FINDINGS_MAX: Final = 20  # a file damaged all over is told by its first findings
_LANGUAGES: Final = ("en", "fr")

Guard = Callable[[Connection], None]
Observer = Callable[[IndexProgress], None]


def index_warc(
    database: Database,
    jobs_root: Path,
    warc: StoredWarc,
    *,
    source: str,
    guard: Guard | None = None,
    on_progress: Observer | None = None,
    rebuild: bool = False,
    languages: Sequence[str] = _LANGUAGES,
    host: Host | None = None,
    segment_records: int = SEGMENT_RECORDS,
) -> IndexCounts:
    """Index what is not indexed yet of one sealed WARC; with `rebuild`, all of it again.

    `guard` is called first in every transaction; what it raises ends the run with that transaction undone. Raises
    StorageUnavailable if the file cannot be read, StaleFence if another process indexes the same file meanwhile. Damage inside
    the file is counted, not raised.
    """
    return _Run(database, jobs_root, warc, source, guard, on_progress, languages, host or this_host(), segment_records).run(
        rebuild
    )


def index_all(
    database: Database,
    jobs_root: Path,
    *,
    source: str | None = None,
    job_id: int | None = None,
    guard: Guard | None = None,
    on_progress: Observer | None = None,
    rebuild: bool = False,
    languages: Sequence[str] = _LANGUAGES,
    host: Host | None = None,
) -> IndexCounts:
    """Index every registered WARC, of one source or job if named. Files that are done cost one look-up together."""
    with database.read() as conn:
        warcs = spool.warcs_of(conn, job_id=job_id, source=source)
        sources = _sources(conn)
        complete = set() if rebuild else set(conn.scalars(sa.select(index_state.c.warc_id).where(index_state.c.is_complete)))
    counts = IndexCounts()
    for warc in warcs:
        if warc.id in complete:
            continue
        counts += index_warc(
            database, jobs_root, warc, source=sources[warc.job_id],
            guard=guard, on_progress=on_progress, rebuild=rebuild, languages=languages, host=host,
        )  # fmt: skip
    return counts


def pending_warcs(conn: Connection, *, source: str | None = None, job_id: int | None = None) -> list[StoredWarc]:
    """The registered WARCs that are not indexed to their end."""
    complete = set(conn.scalars(sa.select(index_state.c.warc_id).where(index_state.c.is_complete)))
    return [warc for warc in spool.warcs_of(conn, job_id=job_id, source=source) if warc.id not in complete]


def forget_warc(conn: Connection, warc_id: int) -> int:
    """Take a WARC's captures out of the archive's reach, search included; its file and texts stay. Returns how many."""
    row = conn.execute(sa.select(index_state).where(index_state.c.warc_id == warc_id)).one_or_none()
    if row is None:
        return 0
    _retire(conn, warc_id, row.generation, next_seq(conn))
    conn.execute(sa.delete(capture_next).where(capture_next.c.warc_id == warc_id))
    conn.execute(sa.delete(index_state).where(index_state.c.warc_id == warc_id))
    return conn.execute(sa.delete(capture).where(capture.c.warc_id == warc_id)).rowcount


def count_pages(conn: Connection, job_id: int) -> int:
    """The captures of a job that are documents to read."""
    query = sa.select(sa.func.count()).select_from(capture).where(capture.c.job_id == job_id, capture.c.is_page)
    return int(conn.execute(query).scalar_one())


def next_seq(conn: Connection) -> int:
    """The next number of the search clock, held until commit: numbers become visible in the order in which they were taken."""
    statement = (
        sa.update(search_clock).where(search_clock.c.id == 1).values(seq=search_clock.c.seq + 1).returning(search_clock.c.seq)
    )
    seq = conn.execute(statement).scalar()
    if seq is None:
        conn.execute(_insert(conn, search_clock).values(id=1, seq=0).on_conflict_do_nothing())
        seq = conn.execute(statement).scalar_one()
    return int(seq)


@dataclass
class _Draft:
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
class _Segment:
    """Consecutive records up to `end`."""

    drafts: list[_Draft] = field(default_factory=list)
    payload_bytes: int = 0
    records: int = 0
    end: int = 0


@dataclass(frozen=True)
class _State:
    """Where a file stands: the row of `index_state`."""

    generation: int
    building: int | None
    next_offset: int
    record_count: int
    is_complete: bool
    finding: str | None

    @property
    def writes(self) -> int:
        """The generation that is being written."""
        return self.building or self.generation

    @property
    def table(self) -> sa.Table:
        return capture if self.building is None else capture_next


class _Run:
    """One run over one file."""

    def __init__(
        self,
        database: Database,
        jobs_root: Path,
        warc: StoredWarc,
        source: str,
        guard: Guard | None,
        on_progress: Observer | None,
        languages: Sequence[str],
        host: Host,
        segment_records: int,
    ) -> None:
        self._database = database
        self._path = jobs_root / warc.path
        self._warc = warc
        self._source = source
        self._guard = guard or (lambda conn: None)
        self._on_progress = on_progress or (lambda progress: None)
        self._languages = languages
        self._host = host
        self._segment_records = segment_records
        self._findings: list[str] = []

    def run(self, rebuild: bool) -> IndexCounts:
        state = self._begin(rebuild)
        counts = IndexCounts()
        if state.is_complete:
            return counts
        for segment in self._segments(state.next_offset):
            written, state = self._write(segment, state)
            counts += written
            self._on_progress(IndexProgress(self._warc.name, state.next_offset, self._warc.size_bytes, counts))
        self._finish(state)
        return counts + IndexCounts(findings=tuple(f"{self._warc.name}: {finding}" for finding in self._findings))

    # -- reading ---------------------------------------------------------------------------------------------------------

    def _segments(self, start: int) -> Iterator[_Segment]:
        segment = _Segment(end=start)
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
                if len(segment.drafts) >= self._segment_records or segment.payload_bytes >= _SEGMENT_BYTES_MAX:
                    yield segment
                    segment = _Segment(end=segment.end)
        except OSError as error:
            raise StorageUnavailable(
                f"{self._path} cannot be read: {error.strerror or error}.",
                hint="Nothing of the index was lost; indexing goes on where it stopped.",
            ) from error
        if segment.records:
            yield segment

    def _note(self, finding: Finding) -> None:
        self._findings.append(f"{finding.kind} at {finding.offset}: {finding.message}")

    def _draft(self, record: ReadRecord) -> _Draft | None:
        """The capture that a record is, None if it is none."""
        if record.kind not in ("response", "revisit", "resource"):
            return None
        href = urls.normalize(record.target_uri)
        if href is None:
            return None  # dns:, metadata:, urn: and what is no URL
        try:
            captured_at = record.date
        except ValueError:
            self._findings.append(f"bad-header at {record.offset}: WARC-Date is no date, the record is not indexed")
            return None
        http = record.http
        status = http.status if http and http.status else (200 if record.kind == "resource" else None)
        draft = _Draft(
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

    def _refer(self, draft: _Draft, record: ReadRecord) -> None:
        draft.values["refers_to_url"] = _optional(record.headers.get("WARC-Refers-To-Target-URI").strip("<>"))
        date = record.headers.get("WARC-Refers-To-Date")
        if date:
            try:
                draft.values["refers_to_at"] = reader.parse_date(date)
            except ValueError:
                self._findings.append(f"bad-header at {record.offset}: WARC-Refers-To-Date is no date")

    def _read_payload(self, draft: _Draft, record: ReadRecord, href: str) -> None:
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

    # -- writing ---------------------------------------------------------------------------------------------------------

    def _begin(self, rebuild: bool) -> _State:
        state = index_state.c
        with self._database.write() as conn:
            self._guard(conn)
            values = {"warc_id": self._warc.id, "generation": 1, "next_offset": 0, "record_count": 0}
            conn.execute(_insert(conn, index_state).values(values).on_conflict_do_nothing(index_elements=["warc_id"]))
            row = conn.execute(sa.select(index_state).where(state.warc_id == self._warc.id)).one()
            if rebuild and row.is_complete:
                conn.execute(sa.delete(capture_next).where(capture_next.c.warc_id == self._warc.id))
                statement = sa.update(index_state).where(state.warc_id == self._warc.id, state.is_complete)
                again = statement.values(
                    building=state.generation + 1, next_offset=0, record_count=0, is_complete=False, finding=None
                )
                db.guarded_update(conn, again, what=f"the index of {self._warc.name}")
                row = conn.execute(sa.select(index_state).where(state.warc_id == self._warc.id)).one()
        if row.finding and not row.is_complete:
            self._findings = row.finding.split("\n")
        return _State(row.generation, row.building, row.next_offset, row.record_count, row.is_complete, row.finding)

    def _write(self, segment: _Segment, state: _State) -> tuple[IndexCounts, _State]:
        """One transaction: the segment's captures and texts, and the offset behind it."""
        extracted = self._texts(segment)
        finding = self._finding()
        after = _State(
            state.generation, state.building, max(segment.end, state.next_offset),
            state.record_count + segment.records, False, finding,
        )  # fmt: skip
        with self._database.write() as conn:
            self._guard(conn)
            self._advance(conn, state, after)
            # First of all other locks: whoever holds the clock waits for nobody, so two indexers cannot wait for each other.
            seq = next_seq(conn)
            texts.store(conn, extracted)
            about = {digest: found for digest, (found, _) in texts.known(conn, [d.digest for d in segment.drafts]).items()}
            rows = [self._row(draft, about, state.writes, seq) for draft in segment.drafts]
            _follow_references(conn, rows)
            if rows:
                conn.execute(sa.insert(state.table), rows)
            _tell_earlier(conn, {digest: about[digest] for digest in extracted if digest in about}, seq)
            _tell_referring(conn, rows, seq)
        pages = sum(1 for row in rows if row["is_page"])
        return IndexCounts(captures=len(rows), pages=pages, texts=len(extracted)), after

    def _advance(self, conn: Connection, state: _State, after: _State) -> None:
        c = index_state.c
        here = sa.update(index_state).where(
            c.warc_id == self._warc.id,
            c.generation == state.generation,
            c.building.is_not_distinct_from(state.building),
            c.next_offset == state.next_offset,
            c.record_count == state.record_count,
            c.is_complete.is_(False),
        )
        values = here.values(next_offset=after.next_offset, record_count=after.record_count, finding=after.finding)
        db.guarded_update(conn, values, what=f"the index of {self._warc.name}")

    def _texts(self, segment: _Segment) -> dict[str, Text]:
        """The texts that the segment brings."""
        documents = {draft.digest: draft for draft in segment.drafts if draft.kind is not None}
        with self._database.read() as conn:
            known = texts.known(conn, list(documents))
        wanted = {digest: draft for digest, draft in documents.items() if not known.get(digest, (None, False))[1]}
        found: dict[str, Text] = {}
        pdfs = [digest for digest, draft in wanted.items() if draft.kind == "pdf"]
        for digest, read in zip(pdfs, pdf.extract([wanted[digest].payload for digest in pdfs], self._host), strict=True):
            if read is None:
                self._findings.append(f"unreadable PDF at {wanted[digest].values['offset']}: {wanted[digest].values['url']}")
            found[digest] = text.of_pages(
                read.title if read else "", read.text if read else "",
                content_language=wanted[digest].content_language, languages=self._languages,
            )  # fmt: skip
        for digest, draft in wanted.items():
            if draft.kind != "pdf":
                extract = text.of_html if draft.kind == "html" else text.of_plain
                found[digest] = extract(
                    draft.payload,
                    charset_label=draft.charset,
                    content_language=draft.content_language,
                    languages=self._languages,
                )
        return found

    def _row(self, draft: _Draft, about: Mapping[str, About], generation: int, seq: int) -> dict[str, Any]:
        values = draft.values
        known = about.get(draft.digest) if draft.kind is not None or values["record_type"] == "revisit" else None
        redirects = values["status"] is not None and 300 <= values["status"] < 400 and values["status"] != NOT_MODIFIED
        return {
            **values,
            "generation": generation,
            "text_digest": None,
            "title": known.title if known else "",
            "language": known.language if known else None,
            "language_declared": known.language_declared if known else None,
            "is_page": known is not None and not redirects,
            "search_seq": seq,
        }

    def _finding(self) -> str | None:
        return "\n".join(self._findings[:_FINDINGS_MAX]) or None

    def _finish(self, state: _State) -> None:
        """The file is read to its end; a generation that was built takes the place of the one before it."""
        c = index_state.c
        with self._database.write() as conn:
            self._guard(conn)
            if self._warc.size_bytes > state.next_offset and not self._findings:
                self._findings.append(f"unread from {state.next_offset} on: no record was found there")
            self._advance(
                conn,
                state,
                _State(state.generation, state.building, state.next_offset, state.record_count, False, self._finding()),
            )
            if state.building is not None:
                self._swap(conn, state)
            done = sa.update(index_state).where(c.warc_id == self._warc.id)
            conn.execute(done.values(generation=state.writes, building=None, is_complete=True))

    def _swap(self, conn: Connection, state: _State) -> None:
        """In one transaction: old rows out, new rows in, each under the id that its record had before."""
        seq = next_seq(conn)
        _retire(conn, self._warc.id, state.generation, seq)
        names = [column.name for column in capture.c if column.name not in ("id", "search_seq")]
        new = capture_next.alias("new")
        old = capture.alias("old")
        same = sa.and_(old.c.warc_id == new.c.warc_id, old.c.offset == new.c.offset)
        moved = (
            sa.select(old.c.id, *(new.c[name] for name in names)).join_from(new, old, same).where(new.c.warc_id == self._warc.id)
        )
        kept = [dict(row) for row in conn.execute(moved).mappings()]
        conn.execute(sa.delete(capture).where(capture.c.warc_id == self._warc.id))
        for start in range(0, len(kept), SEGMENT_RECORDS):
            conn.execute(sa.insert(capture), [{**row, "search_seq": seq} for row in kept[start : start + SEGMENT_RECORDS]])
        there = sa.select(capture.c.offset).where(capture.c.warc_id == self._warc.id)
        added = sa.select(*(capture_next.c[name] for name in names), sa.literal(seq)).where(
            capture_next.c.warc_id == self._warc.id, capture_next.c.offset.not_in(there)
        )
        conn.execute(sa.insert(capture).from_select([*names, "search_seq"], added.order_by(capture_next.c.offset)))
        conn.execute(sa.delete(capture_next).where(capture_next.c.warc_id == self._warc.id))


def _retire(conn: Connection, warc_id: int, generation: int, seq: int) -> None:
    """Let every search index forget a generation of a WARC."""
    conn.execute(sa.insert(search_removal).values(seq=seq, warc_id=warc_id, generation=generation))


def _tell_earlier(conn: Connection, about: Mapping[str, About], seq: int) -> None:
    """Captures that were indexed before their text: revisits of a record met only now, and those of an older extractor."""
    if not about:
        return
    c = capture.c
    query = sa.select(c.id, c.payload_digest).where(
        c.payload_digest.in_(list(about)), c.search_seq < seq, sa.or_(c.is_page, c.record_type == "revisit")
    )
    for row in conn.execute(query).all():
        known = about[row.payload_digest]
        conn.execute(
            sa.update(capture)
            .where(c.id == row.id)
            .values(
                title=known.title,
                language=known.language,
                language_declared=known.language_declared,
                is_page=True,
                search_seq=seq,
            )
        )


_COPIED: Final = ("title", "language", "language_declared", "is_page")


def _follow_references(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Give revisits what they do not say themselves: the type, and the text where only URL and date lead to it."""
    mimes = {row["payload_digest"]: row["mime"] for row in rows if row["record_type"] != "revisit"}
    beside = {(row["url_key"], row["captured_at"]): row for row in rows if row["record_type"] != "revisit"}
    for row in rows:
        if row["record_type"] != "revisit":
            continue
        if not row["mime"] and row["payload_digest"]:
            row["mime"] = mimes.get(row["payload_digest"]) or _mime_of(conn, row["payload_digest"])
        if row["is_page"] or row["refers_to_at"] is None:
            continue
        key = key_of(row["refers_to_url"]) if row["refers_to_url"] else row["url_key"]
        if key is None:
            continue
        holder = beside.get((key, row["refers_to_at"]))
        if holder is None:
            c = capture.c
            query = sa.select(capture).where(
                c.url_key == key, c.captured_at == row["refers_to_at"], c.record_type != "revisit", c.is_page
            )
            found = conn.execute(query.order_by(c.id).limit(1)).mappings().first()
            holder = dict(found) if found is not None else None
        if holder is not None and holder["is_page"]:
            row.update({name: holder[name] for name in _COPIED})
            row["text_digest"] = holder["payload_digest"]
            row["mime"] = row["mime"] or holder["mime"]


def _mime_of(conn: Connection, digest: str) -> str:
    query = sa.select(capture.c.mime).where(capture.c.payload_digest == digest, capture.c.record_type != "revisit")
    return conn.execute(query.order_by(capture.c.id).limit(1)).scalar() or ""


def _tell_referring(conn: Connection, rows: Sequence[dict[str, Any]], seq: int) -> None:
    """Revisits of the same URL, by date, that were indexed before what they refer to."""
    pages = {(row["url_key"], row["captured_at"]): row for row in rows if row["is_page"] and row["record_type"] != "revisit"}
    if not pages:
        return
    c = capture.c
    query = sa.select(c.id, c.url_key, c.refers_to_at).where(
        c.url_key.in_([key for key, _ in pages]), c.record_type == "revisit", c.is_page.is_(False), c.refers_to_at.is_not(None)
    )
    for row in conn.execute(query).all():
        holder = pages.get((bytes(row.url_key), row.refers_to_at))
        if holder is not None:
            copied = {name: holder[name] for name in _COPIED}
            change = sa.update(capture).where(c.id == row.id)
            conn.execute(change.values(**copied, text_digest=holder["payload_digest"], search_seq=seq))


def _insert(conn: Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def _sources(conn: Connection) -> dict[int, str]:
    job = sa.table("job", sa.column("id"), sa.column("source"))  # read only; its room is above this one
    return {row.id: row.source for row in conn.execute(sa.select(job.c.id, job.c.source))}


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
