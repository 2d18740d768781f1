"""Tables of this room: captures, their text, and the clock that the search index follows."""

from __future__ import annotations

import sqlalchemy as sa

from healtharchive import db

capture = sa.Table(
    "capture",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("warc_id", db.BigId, sa.ForeignKey("warc.id"), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False, server_default="0"),
    sa.Column("offset", sa.BigInteger, nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("record_type", sa.Text, nullable=False),  # response, revisit, resource
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("job_id", db.BigId, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("url_key", sa.LargeBinary, nullable=False),  # BLAKE2b-128 of the URL: an index over it stays small
    sa.Column("surt", sa.Text, nullable=False),  # CDXJ key
    sa.Column("captured_at", db.UtcDateTime, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("mime", sa.Text, nullable=False),
    sa.Column("payload_digest", sa.Text, nullable=False),  # as in the record: sha256:... or sha1:...
    sa.Column("truncated", sa.Text),
    sa.Column("redirect_url", sa.Text),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    # A revisit's payload is that of another capture, known by URL and date.
    sa.Column("refers_to_url", sa.Text),
    sa.Column("refers_to_at", db.UtcDateTime),
    sa.Column("title", sa.Text, nullable=False, server_default=""),
    sa.Column("language", sa.Text),  # detected from the text
    sa.Column("language_declared", sa.Text),
    sa.Column("is_page", sa.Boolean, nullable=False, server_default=sa.false()),  # a snapshot, or a document with text
    sa.Column("search_seq", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("warc_id", "generation", "offset"),
    sa.Index("ix_capture_url", "url_key", "captured_at"),
    sa.Index("ix_capture_surt", "surt", "captured_at"),
    sa.Index("ix_capture_digest", "payload_digest"),
    sa.Index("ix_capture_search", "search_seq", "id"),
    sa.Index("ix_capture_job", "job_id"),
)

# Extracted text, one row a payload however often it was captured.
page_text = sa.Table(
    "page_text",
    db.metadata,
    sa.Column("payload_digest", sa.Text, primary_key=True),
    sa.Column("extractor", sa.Integer, nullable=False),  # version, so that a better one can replace it
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("language", sa.Text),
    sa.Column("language_declared", sa.Text),
    sa.Column("text", sa.LargeBinary, nullable=False),  # zstd of UTF-8
    sa.Column("length", sa.Integer, nullable=False),  # characters
)

# How far each WARC is indexed; a row of this table and the captures it stands for are one transaction.
index_state = sa.Table(
    "index_state",
    db.metadata,
    sa.Column("warc_id", db.BigId, sa.ForeignKey("warc.id"), primary_key=True),
    sa.Column("generation", sa.Integer, nullable=False),  # the one that readers see
    sa.Column("building", sa.Integer),  # the one that is being made, null when none is
    sa.Column("next_offset", sa.BigInteger, nullable=False),  # of the one being made, else the file's size
    sa.Column("record_count", sa.Integer, nullable=False),
    sa.Column("finding", sa.Text),  # what was wrong with the file, null if nothing
)

# One row. Taking the next number locks it until commit, so numbers appear in the order of commits and leave no hole behind.
search_clock = sa.Table(
    "search_clock",
    db.metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)
