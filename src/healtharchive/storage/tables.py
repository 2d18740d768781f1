"""Tables of this room: the sealed WARCs."""

from __future__ import annotations

import sqlalchemy as sa

from healtharchive import db

warc = sa.Table(
    "warc",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("job_id", db.BigId, sa.ForeignKey("job.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("path", sa.Text, nullable=False),  # relative to the jobs root
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),  # of the file, lower-case hex
    sa.Column("record_count", sa.Integer, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("sealed_at", db.UtcDateTime, nullable=False),
    sa.Index("ix_warc_job", "job_id", "id"),
)
