"""Tables of this room: captures, their text, how far each WARC is indexed, and the clock that the search index follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from healtharchive import db


def _facts() -> Iterator[sa.Column[Any]]:
    """What is known of a record once it is read."""
    yield sa.Column("warc_id", db.BigId, sa.ForeignKey("warc.id"), nullable=False)
    yield sa.Column("generation", sa.Integer, nullable=False)  # of the WARC's index, that the row was made by
    yield sa.Column("offset", sa.BigInteger, nullable=False)
    yield sa.Column("length", sa.BigInteger, nullable=False)  # 0: the file cannot be read by offset
    yield sa.Column("record_type", sa.Text, nullable=False)  # response, revisit, resource
    yield sa.Column("source", sa.Text, nullable=False)
    yield sa.Column("job_id", db.BigId, nullable=False)
    yield sa.Column("url", sa.Text, nullable=False)
    yield sa.Column("url_key", sa.LargeBinary, nullable=False)  # BLAKE2b-128 of the URL: an index over it stays small
    yield sa.Column("surt", sa.Text, nullable=False)  # CDXJ key
    yield sa.Column("captured_at", db.UtcDateTime, nullable=False)
    yield sa.Column("status", sa.Integer)
    yield sa.Column("mime", sa.Text, nullable=False)
    yield sa.Column("payload_digest", sa.Text, nullable=False)  # as in the record: sha256:... or sha1:...
    # The payload whose text this is, where the record does not name it: a revisit without a digest, or with one of another kind.
    yield sa.Column("text_digest", sa.Text)
    yield sa.Column("truncated", sa.Text)
    yield sa.Column("redirect_url", sa.Text)
    yield sa.Column("etag", sa.Text)
    yield sa.Column("last_modified", sa.Text)
    # A revisit's payload is that of another capture, known by URL and date.
    yield sa.Column("refers_to_url", sa.Text)
    yield sa.Column("refers_to_at", db.UtcDateTime)
    yield sa.Column("title", sa.Text, nullable=False, server_default="")
    yield sa.Column("language", sa.Text)  # detected from the text
    yield sa.Column("language_declared", sa.Text)
    yield sa.Column("is_page", sa.Boolean, nullable=False, server_default=sa.false())  # a document to read: HTML, PDF, text
    yield sa.Column("search_seq", sa.BigInteger, nullable=False)


capture = sa.Table(
    "capture",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    *_facts(),
    sa.UniqueConstraint("warc_id", "offset"),
    sa.Index("ix_capture_url", "url_key", "captured_at"),
    sa.Index("ix_capture_surt", "surt", "captured_at"),
    sa.Index("ix_capture_digest", "payload_digest"),
    sa.Index("ix_capture_search", "search_seq", "id"),
    sa.Index("ix_capture_job", "job_id"),
)

# The next generation of a WARC's captures while it is made. Readers never see it, so no reader can forget to leave it out.
capture_next = sa.Table(
    "capture_next",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("kept_id", db.BigId),  # of the row that it takes the place of
    *_facts(),
    sa.UniqueConstraint("warc_id", "offset"),
)

# Extracted text, one row a payload however often it was captured.
page_text = sa.Table(
    "page_text",
    db.metadata,
    sa.Column("payload_digest", sa.Text, primary_key=True),
    sa.Column("extractor", sa.Integer, nullable=False),  # version, so that a better one can replace it
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("language", sa.Text),
    sa.Column("languages", sa.Text, nullable=False, server_default=""),  # all that have a share in it, largest first
    sa.Column("language_declared", sa.Text),
    sa.Column("text", sa.LargeBinary, nullable=False),  # zstd of UTF-8, a line a block: the page's own text
    sa.Column("rest", sa.LargeBinary, nullable=False),  # likewise: menus, headers, footers, alternative texts
    sa.Column("length", sa.Integer, nullable=False),  # characters of `text`
)

# How far each WARC is indexed; a row of this table and the captures it stands for are one transaction.
index_state = sa.Table(
    "index_state",
    db.metadata,
    sa.Column("warc_id", db.BigId, sa.ForeignKey("warc.id"), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),  # the one that readers see
    sa.Column("building", sa.Integer),  # the one that is being made, null when none is
    sa.Column("next_offset", sa.BigInteger, nullable=False),  # of the one being made, else of the one that readers see
    sa.Column("record_count", sa.Integer, nullable=False),
    sa.Column("is_complete", sa.Boolean, nullable=False, server_default=sa.false()),  # read to its end
    sa.Column("finding", sa.Text),  # what was wrong with the file, null if nothing
)

# One row. Taking the next number locks it until commit, so numbers appear in the order of commits and leave no hole behind.
search_clock = sa.Table(
    "search_clock",
    db.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

# Generations that readers no longer see, for search indexes to forget. A row a re-index: a few bytes, kept for good.
search_removal = sa.Table(
    "search_removal",
    db.metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("warc_id", db.BigId, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
)
