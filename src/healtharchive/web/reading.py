"""What both origins read: the archive behind an instance, one short database snapshot a question."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from healtharchive.access import captures, replay
from healtharchive.access.model import Capture, Payload, SearchPage, SourceSummary
from healtharchive.access.query import Query
from healtharchive.access.search import Search, open_search
from healtharchive.campaigns import sources
from healtharchive.instance import Instance

OVERVIEW_SECONDS = 30.0
"""How long counts are reused: counting reads a whole index, and a start page must not cost that on every visit."""


@dataclass(frozen=True)
class SourceCard:
    """A source and what is kept of it; `summary` is None before its first capture."""

    name: str
    title: str
    seeds: tuple[str, ...]
    summary: SourceSummary | None


@dataclass(frozen=True)
class Overview:
    """The whole archive in numbers."""

    sources: tuple[SourceCard, ...]
    captures: int
    pages: int
    first_at: datetime | None
    last_at: datetime | None

    def title(self, name: str) -> str:
        """The title of a source, its name where it is not known."""
        return next((card.title for card in self.sources if card.name == name), name)


@dataclass(frozen=True)
class History:
    """The captures of a URL, oldest first: at most as many as were asked for, of `total`. `url` is the one that has them."""

    url: str
    captures: tuple[Capture, ...]
    total: int


class Reading:
    """Threads may share it; nothing here writes."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._opening = threading.Lock()
        self._counting = threading.Lock()
        self._overview: tuple[float, Overview] | None = None
        self._search: Search | None = None

    @property
    def archive_name(self) -> str:
        return self._instance.settings.web.archive_name

    def overview(self) -> Overview:
        """Counts at most OVERVIEW_SECONDS old. Raises StorageUnavailable if the database cannot be read."""
        with self._counting:  # one counts, the others wait for it
            now = self._instance.host.clock.monotonic()
            if self._overview is None or now - self._overview[0] > OVERVIEW_SECONDS:
                self._overview = (now, self._count())
            return self._overview[1]

    def _count(self) -> Overview:
        with self._instance.db.read() as conn:
            known = sources.all_sources(conn)
            summaries = {summary.source: summary for summary in captures.sources_summary(conn)}
        cards = [SourceCard(source.name, source.title, source.seeds, summaries.pop(source.name, None)) for source in known]
        # Captures of a source that is in no table (an import) are kept, too.
        cards += [SourceCard(name, name, (), summary) for name, summary in summaries.items()]
        counted = [card.summary for card in cards if card.summary is not None]
        return Overview(
            tuple(cards),
            captures=sum(summary.captures for summary in counted),
            pages=sum(summary.pages for summary in counted),
            first_at=min((summary.first_at for summary in counted), default=None),
            last_at=max((summary.last_at for summary in counted), default=None),
        )

    def search(self, query: Query, *, limit: int, offset: int) -> SearchPage:
        """One page of hits. Raises what the search backend raises if it cannot be opened."""
        with self._opening:
            if self._search is None:
                self._search = open_search(self._instance)
        return self._search.search(query, limit=limit, offset=offset)

    def history(self, url: str, *, source: str | None = None, limit: int, offset: int = 0) -> History:
        """The captures of a normalized URL, else those under the other of http and https."""
        with self._instance.db.read() as conn:
            for candidate in replay.both_schemes(url):
                total = captures.count_of_url(conn, candidate, source=source)
                if total:
                    found = captures.of_url(conn, candidate, source=source, limit=limit, offset=offset)
                    return History(candidate, tuple(found), total)
        return History(url, (), 0)

    def capture(self, capture_id: int) -> Capture:
        """Raises NotFound."""
        with self._instance.db.read() as conn:
            return captures.get(conn, capture_id)

    def locate(self, address: replay.Address) -> Capture | None:
        with self._instance.db.read() as conn:
            return replay.locate(conn, address)

    def payload(self, capture: Capture) -> Payload:
        """Raises StorageUnavailable if its file is away, PayloadMissing or WarcDamaged if it is not held whole."""
        with self._instance.db.read() as conn:
            return replay.open_copy(conn, self._instance.jobs_root, capture)

    def member(self, capture: Capture) -> bytes:
        """The record's bytes as they lie in the file: a gzip member that is a whole WARC by itself.

        Raises StorageUnavailable, and NotFound for a file that cannot be read by offset.
        """
        return replay.read_member(self._instance.jobs_root, capture)
