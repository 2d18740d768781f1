"""Nouns of this room, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Capture:
    """One archived response: a row of `capture` and where its record lies.

    `warc_path` is relative to the jobs root. `length` is that of the gzip member, 0 where the file cannot be read by offset.
    `status` and `mime` are those of the record itself: a revisit by "not modified" has status 304.
    """

    id: int
    warc_id: int
    warc_name: str
    warc_path: str
    offset: int
    length: int
    record_type: str
    source: str
    job_id: int
    url: str
    url_key: bytes
    surt: str
    captured_at: datetime
    status: int | None
    mime: str
    payload_digest: str
    truncated: str | None
    redirect_url: str | None
    etag: str | None
    last_modified: str | None
    refers_to_url: str | None
    refers_to_at: datetime | None
    title: str
    language: str | None
    language_declared: str | None
    is_page: bool

    @property
    def timestamp(self) -> str:
        """`YYYYMMDDhhmmss`, as in replay URLs."""
        return self.captured_at.strftime("%Y%m%d%H%M%S")

    @property
    def is_revisit(self) -> bool:
        return self.record_type == "revisit"


@dataclass(frozen=True)
class Part:
    """A piece of text for display; `highlighted` where it matches the query. Plain text: whoever renders it escapes it."""

    text: str
    highlighted: bool = False


@dataclass(frozen=True)
class Hit:
    """A capture that a search found; in the pages view the latest matching one of its URL."""

    capture: Capture
    score: float
    title: tuple[Part, ...]
    snippet: tuple[Part, ...]
    captures: int  # of this URL in the archive, whatever they match
    explanation: str | None = None  # JSON of the engine, where asked for


@dataclass(frozen=True)
class FacetCount:
    value: str
    count: int


@dataclass(frozen=True)
class Facets:
    """What the hits are made of, most frequent first; each facet ignores its own filter, so that it can be widened."""

    source: tuple[FacetCount, ...] = ()
    language: tuple[FacetCount, ...] = ()
    year: tuple[FacetCount, ...] = ()
    type: tuple[FacetCount, ...] = ()


@dataclass(frozen=True)
class SearchPage:
    """One page of hits. `total` counts pages or captures, as the view says."""

    hits: tuple[Hit, ...]
    total: int
    facets: Facets
    total_is_exact: bool = True
    corrected: bool = False  # few documents matched as written, so near spellings were let in
    pending: int = 0  # steps of the search clock that the index is behind the database
    notes: tuple[str, ...] = ()  # parts of the query that were not understood, as typed


@dataclass(frozen=True)
class Edition:
    """What one job captured of a source."""

    job_id: int
    captures: int
    pages: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True)
class SourceSummary:
    """What the archive holds of a source. `pages` counts URLs that answered with a document."""

    source: str
    captures: int
    pages: int
    first_at: datetime
    last_at: datetime
    editions: tuple[Edition, ...] = field(default=())


@dataclass(frozen=True)
class IndexCounts:
    """What an index run did. `texts` were extracted by it; `findings` is what was wrong with files."""

    captures: int = 0
    pages: int = 0
    texts: int = 0
    findings: tuple[str, ...] = ()

    def __add__(self, other: IndexCounts) -> IndexCounts:
        return IndexCounts(
            self.captures + other.captures,
            self.pages + other.pages,
            self.texts + other.texts,
            self.findings + other.findings,
        )


@dataclass(frozen=True)
class IndexProgress:
    """How far an index run is in one file; `counts` are those of the run so far."""

    warc: str
    next_offset: int
    size_bytes: int
    counts: IndexCounts


@dataclass(frozen=True)
class RawRecord:
    """A record's parts as they lie in the WARC. `head` is the HTTP head with its blank line, `body` what follows, as recorded."""

    record_headers: tuple[tuple[str, str], ...]
    head: bytes
    body: bytes


@dataclass(frozen=True)
class Payload:
    """What a capture answered: the head of its own record, the body of the record that holds it.

    `headers` and `status` are those of the payload's record, so that a revisit reads like what it refers to. `body` is without
    transfer coding, still in its Content-Encoding.
    """

    capture: Capture
    holder: Capture  # the capture whose record holds the body; `capture` itself unless it is a revisit
    status: int
    reason: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    content_encoding: str

    def header(self, name: str) -> str | None:
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)
