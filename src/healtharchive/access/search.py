"""Search: one answer whichever database, from an index that is derived from it and heals by itself.

The database is the truth. The index knows up to which number of the search clock it follows it, because that number is part of
each of its commits; `catch_up` takes the rows behind it. An index that is missing, damaged, of another version or ahead of its
database is rebuilt.

`SearchBackend` is where another engine would go. Cost: a search takes the engine's time (1 to 60 ms with 100,000 captures,
growing with the number of hits) and one look-up by id for each hit shown; `catch_up` costs what is new, about 20 ms at least; a
rebuild reads everything, some minutes a million captures.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive.access import captures, snippets, texts
from healtharchive.access.model import Capture, Facets, Hit, Part, SearchPage
from healtharchive.access.query import Clause, Query, Term, View
from healtharchive.access.snippets import Matcher
from healtharchive.access.tables import capture, search_clock, search_removal
from healtharchive.access.text import Text
from healtharchive.db import Database
from healtharchive.errors import HealthArchiveError, Locked, StorageUnavailable
from healtharchive.host import Clock, this_host
from healtharchive.instance import Instance

log = logging.getLogger(__name__)

BATCH_ROWS: Final = 500
"""Documents of one commit while catching up."""

WRITER_WAIT_SECONDS: Final = 120.0
"""How long `catch_up` waits for another process that writes the index."""

FEW_HITS: Final = 3
"""With fewer, words that the archive hardly knows are also looked for in near spellings."""

LIMIT_MAX: Final = 1000

_LAST_ID: Final = 2**63 - 1

_LOOK_SECONDS: Final = 2.0  # between two looks of a searching process at whether the index has fallen behind


class IndexUnusable(Exception):
    """The index is missing, damaged or of another version. Its message says which; it must be rebuilt."""


class SearchUnavailable(HealthArchiveError):
    """The search index cannot be used even after it was rebuilt. The captures themselves are not affected."""


@dataclass(frozen=True, order=True)
class Position:
    """Up to which row, in the order of the search clock, an index follows its database."""

    seq: int = 0
    capture_id: int = 0

    def pending(self, clock: int) -> int:
        """Steps of the search clock that are not followed to their end."""
        return max(0, clock - self.seq) + (1 if self.seq and self.capture_id != _LAST_ID else 0)


@dataclass(frozen=True)
class SearchDocument:
    """What the index knows of a capture."""

    capture_id: int
    edition: str  # of the WARC's index that it belongs to: what is removed together
    url: str
    url_key: bytes
    source: str
    captured_at: datetime
    status: int
    mime: str
    text: Text


@dataclass(frozen=True)
class Match:
    """A capture that the engine found."""

    capture_id: int
    score: float


@dataclass(frozen=True)
class Matches:
    """One page of what the engine found. `total` counts URLs in the pages view."""

    matches: tuple[Match, ...]
    total: int
    is_exact: bool
    facets: Facets


class IndexWriter(Protocol):
    """The one writer of an index. Nothing is visible, or survives, before `commit`."""

    def position(self) -> Position: ...

    def remove_edition(self, edition: str) -> None:
        """Forget every document of an edition."""

    def put(self, documents: Sequence[SearchDocument]) -> None:
        """Add documents, each in place of the one with its capture id."""

    def commit(self, position: Position) -> None:
        """Make everything since the last commit, and the position, durable and visible in one step."""


class SearchBackend(Protocol):
    """A full-text engine. Reading methods raise IndexUnusable where only a rebuild helps."""

    def position(self) -> Position: ...

    def count(self) -> int:
        """Documents in the index."""

    def search(self, query: Query, *, limit: int, offset: int) -> Matches: ...

    def rare_words(self, query: Query, *, below: int) -> frozenset[Term]:
        """The plain words of a query that fewer than `below` documents have."""

    def matcher(self, query: Query) -> Matcher: ...

    def explain(self, query: Query, capture_id: int) -> str | None:
        """How the engine came to its score, as JSON; None if the capture does not match."""

    def writing(self, *, wait_seconds: float) -> AbstractContextManager[IndexWriter]:
        """Raises Locked if another process is writing and does not end in time, IndexUnusable."""

    def rebuilding(self, *, wait_seconds: float) -> AbstractContextManager[IndexWriter]:
        """A writer of an empty index, which takes the place of the present one when the block ends well."""


def open_search(instance: Instance) -> Search:
    """The search of an instance. Opens nothing yet: the index is looked at, and repaired, when it is first asked."""
    # The backend implements this module's protocol.
    from healtharchive.access.tantivy import TantivyBackend

    clock = instance.host.clock
    backend = TantivyBackend(instance.search_root, heap_mb=instance.settings.search.heap_mb, clock=clock)
    return Search(instance.db, backend, clock=clock)


class Search:
    """Searches an archive and keeps its index in step. Threads may share it."""

    def __init__(self, database: Database, backend: SearchBackend, *, clock: Clock | None = None) -> None:
        self._database = database
        self._backend = backend
        self._clock = clock or this_host().clock
        self._mending = threading.Lock()
        self._looked_at: float | None = None

    # -- reading ---------------------------------------------------------------------------------------------------------

    def search(
        self, query: Query, *, limit: int = 20, offset: int = 0, view: View | None = None, explain: bool = False
    ) -> SearchPage:
        """One page of hits. Never raises on what a query says.

        Raises SearchUnavailable if the index cannot even be rebuilt, Locked if another process is rebuilding it for longer than
        a wait.
        """
        limit, offset = max(0, min(limit, LIMIT_MAX)), max(0, offset)
        asked = query if view is None else replace(query, view=view)
        self._keep_up()
        asked, found, corrected = self._mended(lambda: self._find(asked, limit, offset))
        matcher = self._backend.matcher(asked)
        with self._database.read() as conn:
            by_id = captures.by_ids(conn, [match.capture_id for match in found.matches])
            shown = [(match, by_id[match.capture_id]) for match in found.matches if match.capture_id in by_id]
            counts = captures.count_of_keys(conn, [item.url_key for _, item in shown])
            held = texts.of_captures(conn, [item.id for _, item in shown])
            pending = self._backend.position().pending(_clock_seq(conn))
        hits = tuple(
            Hit(
                capture=item,
                score=match.score,
                title=snippets.marked(item.title, matcher),
                snippet=_snippet(held.get(item.id), matcher),
                captures=counts.get(item.url_key, 1),
                explanation=self._backend.explain(asked, item.id) if explain else None,
            )
            for match, item in shown
        )
        return SearchPage(
            hits, found.total, found.facets,
            total_is_exact=found.is_exact, corrected=corrected, pending=pending, notes=query.notes,
        )  # fmt: skip

    def explain(self, query: Query, capture_id: int) -> str | None:
        """How a capture came to its score for a query, as JSON; None if it does not match."""
        self._keep_up()
        return self._mended(lambda: self._backend.explain(query, capture_id))

    def count(self) -> int:
        """Documents in the index."""
        return self._mended(self._backend.count)

    def agrees(self) -> bool:
        """Whether the index is in step with the database and holds as many documents. Counts captures: about 0.1 s a million."""
        with self._database.read() as conn:
            seq, expected = _clock_seq(conn), _document_count(conn)
        return self._mended(self._backend.position) == Position(seq, _LAST_ID) and self.count() == expected

    # -- keeping in step ---------------------------------------------------------------------------------------------------

    def catch_up(self, *, wait_seconds: float = WRITER_WAIT_SECONDS) -> int:
        """Index what the database has behind the last commit; returns the number of documents written.

        Safe to be killed anywhere: the next one goes on at the last commit. Raises Locked if another process writes for too long.
        """
        if self._is_in_step():
            return 0
        try:
            with self._backend.writing(wait_seconds=wait_seconds) as writer:
                count, is_sound = self._follow(writer, commit_each=True)
        except IndexUnusable as reason:
            return self._rebuild(str(reason), wait_seconds)
        return count if is_sound else self._rebuild("its count differs from the database's", wait_seconds)

    def rebuild(self, *, wait_seconds: float = WRITER_WAIT_SECONDS) -> int:
        """Build the index anew beside the present one, which answers until the new one takes its place."""
        return self._rebuild("asked for", wait_seconds)

    def _rebuild(self, reason: str, wait_seconds: float) -> int:
        log.info("search.rebuild reason=%s", reason)
        with self._backend.rebuilding(wait_seconds=wait_seconds) as writer:
            return self._follow(writer, commit_each=False)[0]

    def _follow(self, writer: IndexWriter, *, commit_each: bool) -> tuple[int, bool]:
        """Write rows and removals behind the writer's position, until there are none. Whether counts agree at the end, too."""
        written = 0
        position = writer.position()
        has_removed = False
        while True:
            with self._database.read() as conn:
                seq = _clock_seq(conn)
                if position.seq > seq:
                    raise IndexUnusable("it is ahead of the database, which was put back to an earlier state")
                removed = _removals(conn, position) if commit_each else []
                rows = _rows(conn, position)
                documents = list(_documents(conn, rows))
                is_last = len(rows) < BATCH_ROWS
                expected = _document_count(conn) if is_last and commit_each and (has_removed or removed) else None
            following = Position(seq, _LAST_ID) if is_last else Position(rows[-1].search_seq, rows[-1].id)
            for edition in removed:
                writer.remove_edition(edition)
            has_removed = has_removed or bool(removed)
            writer.put(documents)
            written += len(documents)
            # What takes the place of something removed becomes visible in the same commit: no reader misses it in between.
            if (is_last or (commit_each and not has_removed)) and following != position:
                writer.commit(following)
            position = following
            if is_last:
                return written, expected is None or self._backend.count() == expected

    def _keep_up(self) -> None:
        """Look now and then whether the index fell behind, as when its writer was killed, and nobody is at it; then catch up."""
        now = self._clock.monotonic()
        is_first = self._looked_at is None
        if self._looked_at is not None and now - self._looked_at < _LOOK_SECONDS:
            return
        if not self._mending.acquire(blocking=is_first):
            return
        try:
            self._looked_at = now
            self._mended(self._backend.position, is_locked=True)
            if not self._is_in_step():
                # Another process may hold the writer: it, or the next look, takes the rest.
                self._try_catch_up()
        finally:
            self._mending.release()

    def _is_in_step(self) -> bool:
        """Whether there is nothing to do, as far as can be told without the writer."""
        try:
            position = self._backend.position()
        except IndexUnusable:
            return False
        with self._database.read() as conn:
            return position == Position(_clock_seq(conn), _LAST_ID)

    def _try_catch_up(self) -> None:
        try:
            self.catch_up(wait_seconds=0)
        except Locked:
            return
        except StorageUnavailable as error:
            # A process that may only read, or a full disk: the hits that there are answer better than none.
            log.warning("search.behind reason=%s", error)

    _T = TypeVar("_T")

    def _mended(self, read: _Read[_T], *, is_locked: bool = False) -> _T:
        """What `read` gives; if the index is unusable, rebuild it once and ask again."""
        try:
            return read()
        except IndexUnusable as error:
            reason = str(error)
        if is_locked:
            return self._after_rebuild(read, reason)
        with self._mending:
            return self._after_rebuild(read, reason)

    def _after_rebuild(self, read: _Read[_T], reason: str) -> _T:
        try:
            return read()  # another thread or process may have rebuilt it meanwhile
        except IndexUnusable:
            pass
        self._rebuild(reason, WRITER_WAIT_SECONDS)
        try:
            return read()
        except IndexUnusable as error:
            raise SearchUnavailable(
                f"The search index is unusable: {error}.",
                hint="No capture is affected. Look at its disk, then: healtharchive index",
            ) from error

    def _find(self, query: Query, limit: int, offset: int) -> tuple[Query, Matches, bool]:
        """Matches as written; where they are few, with near spellings of words that the archive hardly knows."""
        found = self._backend.search(query, limit=limit, offset=offset)
        if found.total >= FEW_HITS or not query.has_terms:
            return query, found, False
        rare = self._backend.rare_words(query, below=FEW_HITS)
        if not rare:
            return query, found, False
        wider = replace(query, clauses=tuple(_widened(clause, rare) for clause in query.clauses))
        corrected = self._backend.search(wider, limit=limit, offset=offset)
        if corrected.total <= found.total:
            return query, found, False
        return wider, corrected, True


_R = TypeVar("_R", covariant=True)


class _Read(Protocol[_R]):
    def __call__(self) -> _R: ...


def _widened(clause: Clause, rare: frozenset[Term]) -> Clause:
    if clause.excluded:
        return clause
    return Clause(tuple(replace(term, kind="fuzzy") if term in rare else term for term in clause.alternatives))


def _snippet(text: Text | None, matcher: Matcher) -> tuple[Part, ...]:
    return snippets.snippet((text.main, text.rest), matcher) if text is not None else ()


# -- what the database says ------------------------------------------------------------------------------------------------


def _clock_seq(conn: Connection) -> int:
    return int(conn.execute(sa.select(search_clock.c.seq).where(search_clock.c.id == 1)).scalar() or 0)


def _document_count(conn: Connection) -> int:
    return int(conn.execute(sa.select(sa.func.count()).select_from(capture).where(capture.c.is_page)).scalar_one())


def _removals(conn: Connection, position: Position) -> list[str]:
    """Editions to forget. One already forgotten is forgotten again without harm: no row of it can come back."""
    rows = conn.execute(sa.select(search_removal).where(search_removal.c.seq > position.seq).order_by(search_removal.c.seq))
    return [f"{row.warc_id}.{row.generation}" for row in rows]


def _rows(conn: Connection, position: Position) -> Sequence[sa.Row[tuple[object, ...]]]:
    c = capture.c
    place = sa.tuple_(c.search_seq, c.id)
    behind = place > sa.tuple_(sa.literal(position.seq), sa.literal(position.capture_id))
    return conn.execute(sa.select(capture).where(behind, c.is_page).order_by(c.search_seq, c.id).limit(BATCH_ROWS)).all()


def _documents(conn: Connection, rows: Sequence[sa.Row[tuple[object, ...]]]) -> Iterator[SearchDocument]:
    held = texts.load(conn, list({str(row.text_digest or row.payload_digest) for row in rows}))
    for row in rows:
        text = held.get(row.text_digest or row.payload_digest, Text(title=row.title, language=row.language))
        yield SearchDocument(
            capture_id=row.id,
            edition=f"{row.warc_id}.{row.generation}",
            url=row.url,
            url_key=bytes(row.url_key),
            source=row.source,
            captured_at=row.captured_at,
            # "Not modified" is an answer with the document that was there.
            status=200 if row.status in (None, captures.NOT_MODIFIED) else row.status,
            mime=row.mime,
            text=text,
        )


__all__ = ["Capture", "Search", "SearchBackend", "SearchPage", "open_search"]
