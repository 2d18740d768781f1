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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from healtharchive import db
from healtharchive.access import pdf, text, texts
from healtharchive.access.captures import NOT_MODIFIED
from healtharchive.access.drafts import Draft, Reading, Segment
from healtharchive.access.model import IndexCounts, IndexProgress
from healtharchive.access.referring import follow_references, tell_earlier, tell_referring
from healtharchive.access.tables import capture, capture_next, index_state, search_clock, search_removal
from healtharchive.access.text import Text
from healtharchive.access.texts import About
from healtharchive.db import Database
from healtharchive.host import Host, this_host
from healtharchive.storage import spool
from healtharchive.storage.model import StoredWarc

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
        reading = Reading(self._path, self._warc, self._source, self._findings)
        for segment in reading.segments(state.next_offset, records=self._segment_records):
            written, state = self._write(segment, state)
            counts += written
            self._on_progress(IndexProgress(self._warc.name, state.next_offset, self._warc.size_bytes, counts))
        self._finish(state)
        return counts + IndexCounts(findings=tuple(f"{self._warc.name}: {finding}" for finding in self._findings))

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

    def _write(self, segment: Segment, state: _State) -> tuple[IndexCounts, _State]:
        """One transaction: the segment's captures and texts, and the offset behind it."""
        extracted, unread = self._texts(segment)
        finding = self._finding()
        after = _State(
            state.generation, state.building, max(segment.end, state.next_offset),
            state.record_count + segment.records, False, finding,
        )  # fmt: skip
        with self._database.write() as conn:
            self._guard(conn)
            self._advance(conn, state, after)
            # Before every other lock that indexers of different files share: whoever holds the clock waits for nobody.
            seq = next_seq(conn)
            texts.store(conn, {digest: item for digest, item in extracted.items() if digest not in unread})
            texts.store(conn, {digest: extracted[digest] for digest in unread}, is_final=False)
            about = {digest: found for digest, (found, _) in texts.known(conn, [d.digest for d in segment.drafts]).items()}
            rows = [self._row(draft, about, state.writes, seq) for draft in segment.drafts]
            follow_references(conn, rows)
            if rows:
                conn.execute(sa.insert(state.table), rows)
            tell_earlier(conn, {digest: about[digest] for digest in extracted if digest in about}, seq)
            tell_referring(conn, rows, seq)
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

    def _texts(self, segment: Segment) -> tuple[dict[str, Text], set[str]]:
        """The texts that the segment brings, and which of them could not be read and stand empty."""
        documents = {draft.digest: draft for draft in segment.drafts if draft.kind is not None}
        with self._database.read() as conn:
            known = texts.known(conn, list(documents))
        wanted = {digest: draft for digest, draft in documents.items() if not known.get(digest, (None, False))[1]}
        found: dict[str, Text] = {}
        unread: set[str] = set()
        pdfs = [digest for digest, draft in wanted.items() if draft.kind == "pdf"]
        for digest, read in zip(pdfs, pdf.extract([wanted[digest].payload for digest in pdfs], self._host), strict=True):
            if read is None:
                unread.add(digest)
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
        return found, unread

    def _row(self, draft: Draft, about: Mapping[str, About], generation: int, seq: int) -> dict[str, Any]:
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
            generation = state.writes
            if state.building is not None and self._is_shorter():
                generation = state.generation
                conn.execute(sa.delete(capture_next).where(capture_next.c.warc_id == self._warc.id))
                self._findings.append("it is shorter than when it was sealed, so its index was left as it was")
            elif state.building is not None:
                self._swap(conn, state)
            done = sa.update(index_state).where(c.warc_id == self._warc.id)
            conn.execute(done.values(generation=generation, building=None, is_complete=True, finding=self._finding()))

    def _is_shorter(self) -> bool:
        """Whether the file has lost its end since it was sealed, or all of it: what is still known of it must not go as well."""
        try:
            return self._path.stat().st_size < self._warc.size_bytes
        except OSError:
            return True

    def _swap(self, conn: Connection, state: _State) -> None:
        """In one transaction: old rows out, new rows in, each under the id that its record had before."""
        seq = next_seq(conn)
        _retire(conn, self._warc.id, state.generation, seq)
        names = [column.name for column in capture.c if column.name not in ("id", "search_seq")]
        mine = capture_next.c.warc_id == self._warc.id
        old = sa.select(capture.c.id).where(
            capture.c.warc_id == capture_next.c.warc_id, capture.c.offset == capture_next.c.offset
        )
        conn.execute(sa.update(capture_next).where(mine).values(kept_id=old.scalar_subquery()))
        conn.execute(sa.delete(capture).where(capture.c.warc_id == self._warc.id))
        new = [*(capture_next.c[name] for name in names), sa.literal(seq)]
        kept = sa.select(capture_next.c.kept_id, *new).where(mine, capture_next.c.kept_id.is_not(None))
        conn.execute(sa.insert(capture).from_select(["id", *names, "search_seq"], kept))
        added = sa.select(*new).where(mine, capture_next.c.kept_id.is_(None)).order_by(capture_next.c.offset)
        conn.execute(sa.insert(capture).from_select([*names, "search_seq"], added))
        conn.execute(sa.delete(capture_next).where(mine))


def _retire(conn: Connection, warc_id: int, generation: int, seq: int) -> None:
    """Let every search index forget a generation of a WARC."""
    conn.execute(sa.insert(search_removal).values(seq=seq, warc_id=warc_id, generation=generation))


def _insert(conn: Connection, table: sa.Table) -> Any:
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def _sources(conn: Connection) -> dict[int, str]:
    job = sa.table("job", sa.column("id"), sa.column("source"))  # read only; its room is above this one
    return {row.id: row.source for row in conn.execute(sa.select(job.c.id, job.c.source))}
