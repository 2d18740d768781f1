"""The workers' own rows: one an incarnation, so that a restarted worker is never taken for the one before it."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db
from healtharchive.jobs.tables import worker


def register(conn: Connection, worker_id: str, *, host: str, process: str) -> None:
    """A new incarnation begins. `process` is str(ProcessId)."""
    now = db.now(conn)
    conn.execute(sa.insert(worker).values(id=worker_id, host=host, process=process, started_at=now, heartbeat_at=now))


def beat(conn: Connection, worker_id: str, *, draining: bool) -> None:
    """It lives; the first beat after it began to drain says so."""
    now = db.now(conn)
    conn.execute(sa.update(worker).where(worker.c.id == worker_id).values(heartbeat_at=now))
    if draining:
        statement = sa.update(worker).where(worker.c.id == worker_id, worker.c.draining_at.is_(None))
        conn.execute(statement.values(draining_at=now))


def end(conn: Connection, worker_id: str) -> None:
    """It has said goodbye."""
    conn.execute(sa.update(worker).where(worker.c.id == worker_id).values(ended_at=db.now(conn)))


def bury(conn: Connection, worker_ids: Sequence[str]) -> None:
    """They are provably dead and cannot say it themselves. Their jobs are found by their leases, not by these rows."""
    statement = sa.update(worker).where(worker.c.id.in_(worker_ids), worker.c.ended_at.is_(None))
    conn.execute(statement.values(ended_at=db.now(conn)))
