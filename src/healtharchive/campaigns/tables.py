"""Tables of this room: the sources."""

from __future__ import annotations

import sqlalchemy as sa

from healtharchive import db

source = sa.Table(
    "source",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("seeds", db.Json, nullable=False),
    # What differs from the [crawl] section; resolved when an attempt starts, never copied into a job.
    sa.Column("profile", db.Json, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False, server_default="1"),
    sa.Column("created_at", db.UtcDateTime, nullable=False),
    sa.Column("updated_at", db.UtcDateTime, nullable=False),
)
