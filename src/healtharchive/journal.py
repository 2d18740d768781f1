"""Who did what, when and why: an append-only record, written in the transaction of the act itself.

An incident began with a worker that somebody had stopped and nobody could say who. Every change that a person or the system makes
to jobs, sources or storage leaves a row here, refusals included. Rows are never updated or deleted.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db

table = sa.Table(
    "journal",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("at", db.UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("evidence", db.Json),
    sa.Index("ix_journal_target", "target", "id"),
)

Outcome = Literal["intended", "done", "refused", "overtaken", "failed"]


@dataclass(frozen=True)
class Actor:
    """Who acts: a person at the command line, a worker, the watchdog, a web session. Shown as `kind:name@host`."""

    kind: Literal["person", "worker", "watchdog", "web", "engine"]
    name: str
    host: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}@{self.host}"


@dataclass(frozen=True)
class Entry:
    """One row of the journal."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    reason: str
    outcome: Outcome
    evidence: Mapping[str, Any] | None


def person() -> Actor:
    """The person whose command this process runs; behind sudo, who asked, not root."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):  # a uid without a passwd entry, as in a container
        name = f"uid{os.getuid()}"
    return Actor("person", name, socket.gethostname())


def record(
    conn: Connection,
    actor: Actor,
    *,
    action: str,
    target: str,
    reason: str,
    outcome: Outcome = "done",
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Append one row in the caller's transaction. `action` is `room.verb`, `target` is `job:7`, `source:hc`, ..."""
    conn.execute(
        table.insert().values(
            at=db.now(conn),
            actor=str(actor),
            action=action,
            target=target,
            reason=reason,
            outcome=outcome,
            evidence=dict(evidence) if evidence is not None else None,
        )
    )


def entries(conn: Connection, *, target: str | None = None, limit: int = 100) -> Sequence[Entry]:
    """The newest rows first, of one target if given."""
    query = sa.select(table).order_by(table.c.id.desc()).limit(limit)
    if target is not None:
        query = query.where(table.c.target == target)
    return [Entry(**row._mapping) for row in conn.execute(query)]
