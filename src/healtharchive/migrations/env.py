"""Alembic's entry: runs on the connection that `Database.migrate()` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

import healtharchive.access.tables
import healtharchive.campaigns.tables
import healtharchive.jobs.tables
import healtharchive.journal
import healtharchive.storage.tables  # noqa: F401  (all imported so that the metadata is whole)
from healtharchive.db import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
