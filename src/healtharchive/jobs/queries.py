"""Reading this room's tables as its nouns. Nothing here writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from healtharchive.errors import NotFound
from healtharchive.jobs import tables
from healtharchive.jobs.model import Attempt, FailureClass, Job, Kind, Status


@dataclass(frozen=True)
class WorkerRow:
    """A row of `worker`: one incarnation of a worker process."""

    id: str
    host: str
    process: str
    started_at: datetime
    heartbeat_at: datetime
    draining_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Pause:
    """A row of `pause`: nothing of this scope is claimed."""

    id: int
    scope: str
    key: str
    actor: str
    reason: str
    created_at: datetime
    expires_at: datetime | None


def get(conn: Connection, job_id: int) -> Job:
    """One job. Raises NotFound."""
    row = conn.execute(sa.select(tables.job).where(tables.job.c.id == job_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.", hint="See: healtharchive job list")
    return job_of(row)


def list_jobs(
    conn: Connection, source: str | None = None, status: Status | None = None, limit: int | None = None
) -> Sequence[Job]:
    """Jobs, the newest first."""
    query = sa.select(tables.job).order_by(tables.job.c.id.desc())
    if source is not None:
        query = query.where(tables.job.c.source == source)
    if status is not None:
        query = query.where(tables.job.c.status == status)
    if limit is not None:
        query = query.limit(limit)
    return [job_of(row) for row in conn.execute(query).mappings()]


def attempts(conn: Connection, job_id: int) -> Sequence[Attempt]:
    """Every attempt of a job, the first one first."""
    query = sa.select(tables.attempt).where(tables.attempt.c.job_id == job_id).order_by(tables.attempt.c.n)
    return [attempt_of(row) for row in conn.execute(query).mappings()]


def open_attempt(conn: Connection, job_id: int) -> Attempt | None:
    """The attempt that runs now, if any. There is never more than one."""
    query = sa.select(tables.attempt).where(tables.attempt.c.job_id == job_id, tables.attempt.c.ended_at.is_(None))
    row = conn.execute(query).mappings().one_or_none()
    return None if row is None else attempt_of(row)


def workers(conn: Connection, *, ended: bool = False) -> Sequence[WorkerRow]:
    """Workers, the longest running first; those that have said goodbye only if `ended`."""
    query = sa.select(tables.worker).order_by(tables.worker.c.started_at)
    if not ended:
        query = query.where(tables.worker.c.ended_at.is_(None))
    return [WorkerRow(**row) for row in conn.execute(query).mappings()]


def worker(conn: Connection, worker_id: str) -> WorkerRow | None:
    row = conn.execute(sa.select(tables.worker).where(tables.worker.c.id == worker_id)).mappings().one_or_none()
    return None if row is None else WorkerRow(**row)


def pauses(conn: Connection) -> Sequence[Pause]:
    """Pauses of everything or of a source that a person has ordered, expired ones included until somebody lifts them."""
    return [Pause(**row) for row in conn.execute(sa.select(tables.pause).order_by(tables.pause.c.id)).mappings()]


def waiting(conn: Connection, now: datetime) -> Sequence[Job]:
    """Jobs that nobody picks now because of infra failures: cooling down until `next_attempt_at`, or parked."""
    job = tables.job
    cooling = sa.and_(
        job.c.status.in_([Status.QUEUED, Status.RETRYABLE, Status.COMPLETED]),
        job.c.infra_failures > 0,
        job.c.next_attempt_at > now,
    )
    parked = sa.and_(job.c.status == Status.PAUSED, job.c.crawler_stage == "parked")
    query = sa.select(job).where(sa.or_(cooling, parked)).order_by(job.c.id)
    return [job_of(row) for row in conn.execute(query).mappings()]


def job_of(row: RowMapping) -> Job:
    values: dict[str, Any] = dict(row)
    values["status"] = Status(values["status"])
    return Job(**values)


def attempt_of(row: RowMapping) -> Attempt:
    values: dict[str, Any] = dict(row)
    values["kind"] = Kind(values["kind"])
    if values["failure_class"] is not None:
        values["failure_class"] = FailureClass(values["failure_class"])
    return Attempt(**values)
