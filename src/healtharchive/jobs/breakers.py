"""The breakers' rows: what several jobs need, and whether it may be used now. The decisions are `retry`'s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db, journal
from healtharchive.jobs import retry
from healtharchive.jobs.classify import Failure
from healtharchive.jobs.retry import Breaker
from healtharchive.jobs.tables import breaker


def get(conn: Connection, domain: str) -> Breaker:
    """The breaker of a domain; a domain without a row is closed."""
    row = conn.execute(sa.select(breaker).where(breaker.c.domain == domain)).mappings().one_or_none()
    return Breaker(domain) if row is None else Breaker(**row)


def all_open(conn: Connection) -> Sequence[Breaker]:
    """Open breakers, by domain."""
    query = sa.select(breaker).where(breaker.c.opened_at.is_not(None)).order_by(breaker.c.domain)
    return [Breaker(**row) for row in conn.execute(query).mappings()]


def note(
    conn: Connection, seen: Breaker, failure: Failure | None, *, policy: retry.Policy, spread: float, actor: journal.Actor
) -> Breaker:
    """Store what a look at the domain found. Two workers that look at once leave one of their answers, both true."""
    if failure is None:
        after = retry.breaker_after_success(seen)
    else:
        after = retry.breaker_after_failure(seen, now=db.now(conn), reason=failure.reason, spread=spread, policy=policy)
    values: dict[str, Any] = {
        "failures": after.failures,
        "opened_at": after.opened_at,
        "next_probe_at": after.next_probe_at,
        "reason": after.reason,
    }
    if conn.execute(sa.update(breaker).where(breaker.c.domain == seen.domain).values(values)).rowcount == 0:
        conn.execute(sa.insert(breaker).values(domain=seen.domain, **values))
    if after.is_open is not seen.is_open:
        action = "breaker.open" if after.is_open else "breaker.close"
        reason = after.reason or "it can be used again"
        journal.record(conn, actor, action=action, target=f"domain:{seen.domain}", reason=reason)
    return after
