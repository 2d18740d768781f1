"""What is to be done, in which order, and what people may ask of a job. Every change is guarded and leaves a journal row.

One order for everybody: `next_jobs` shows it, `claim` follows it. Index attempts come first, because they are short and a crawl
is not; then crawls by `queued_at` (nulls first), `created_at`, `id`. A job that is not due, paused or bound to another host is
passed over, never waited for (incident 2026-01-24: one failing job picked again and again while healthy ones waited behind it).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db, journal
from healtharchive.errors import NotFound, Refused, UsageError
from healtharchive.jobs import lease, lifecycle, queries
from healtharchive.jobs.classify import Failure
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import Job, Kind, Status
from healtharchive.jobs.retry import Consequence
from healtharchive.jobs.tables import job, pause

PARKED_STAGE = "parked"
RECOVERED_STAGE = "recovered_stale_running"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# No wait of ours is longer. A later `next_attempt_at` was written before the clock was set back, and holds no job.
_WAIT_MAX = timedelta(hours=24)
_LOOKAHEAD = 16


# -- the order ---------------------------------------------------------------------------------------------------------


def create_job(
    conn: Connection,
    *,
    source_id: int,
    source: str,
    name: str,
    config: Mapping[str, Any] | None = None,
    actor: journal.Actor,
    reason: str = "created",
) -> Job:
    """Queue a new job of a source. Its directory `SOURCE/TIME__NAME` below the jobs root is its own. Raises UsageError."""
    for what, text in (("source", source), ("job name", name)):
        if not _NAME.fullmatch(text):
            raise UsageError(f"{text!r} is not a {what}.", expected="letters, digits, dots, dashes and underscores")
    now = db.now(conn)
    inserted = conn.execute(
        sa.insert(job).values(
            source_id=source_id,
            source=source,
            name=name,
            status=Status.QUEUED,
            config=dict(config or {}),
            output_dir=_free_directory(conn, source, f"{now:%Y%m%dT%H%M%SZ}__{name}"),
            next_attempt_at=now,
            queued_at=now,
            created_at=now,
            updated_at=now,
        )
    )
    (job_id,) = inserted.inserted_primary_key or (0,)
    journal.record(conn, actor, action="job.create", target=f"job:{job_id}", reason=reason, evidence={"source": source})
    return queries.get(conn, job_id)


def next_jobs(
    conn: Connection,
    n: int,
    *,
    host: str | None = None,
    skip: Collection[int] = (),
    only_job: int | None = None,
    ignore_wait: bool = False,
) -> Sequence[Job]:
    """The next `n` jobs in the order in which they are claimed; on `host`, or on whichever host holds each job's files.

    `ignore_wait` is for a person who runs `only_job` now: the wait after a failure is over because somebody says so.
    """
    eligible = _eligible(db.now(conn), host=host, only_job=only_job, ignore_wait=ignore_wait)
    query = sa.select(job).where(*eligible).order_by(*_ORDER).limit(n)
    if skip:
        query = query.where(job.c.id.not_in(skip))
    return [queries.job_of(row) for row in conn.execute(query).mappings()]


def claim(
    database: db.Database,
    *,
    worker_id: str,
    host: str,
    lease_seconds: float,
    engine_of: Callable[[Kind], str],
    admit: Callable[[Job], bool],
    only_job: int | None = None,
    ignore_wait: bool = False,
) -> lease.Claim | None:
    """Claim the first job that is eligible and admitted; None if there is none.

    `admit` looks at places that a job needs, outside any transaction and before an attempt exists; a refused job is passed over.
    """
    refused: set[int] = set()
    while True:
        with database.read() as conn:
            candidates = next_jobs(conn, _LOOKAHEAD, host=host, skip=refused, only_job=only_job, ignore_wait=ignore_wait)
        if not candidates:
            return None
        for candidate in candidates:
            if not admit(candidate):
                refused.add(candidate.id)
                continue
            with database.write() as conn:
                seen = _lock_eligible(conn, candidate, host=host, ignore_wait=ignore_wait)
                if seen is not None:
                    engine = engine_of(lifecycle.CLAIMABLE[seen.status])
                    return lease.claim(conn, seen, worker_id=worker_id, host=host, engine=engine, lease_seconds=lease_seconds)
            refused.add(candidate.id)  # another worker was faster


def defer(conn: Connection, seen: Job, consequence: Consequence, *, failure: Failure, actor: journal.Actor) -> bool:
    """Write down that admission refused a job: when it is looked at again, and why. No attempt, no retry budget.

    False if the job has changed since it was seen; nothing is written then.
    """
    now = db.now(conn)
    values: dict[str, Any] = {
        "infra_failures": consequence.infra_failures,
        "next_attempt_at": now + timedelta(seconds=consequence.wait_seconds),
        "updated_at": now,
        "reason": failure.reason,
        "crawler_status": "infra_error",
    }
    if consequence.event is not Event.RETRY_LATER:
        values["status"] = lifecycle.next_status(seen.status, consequence.event)
        values["crawler_stage"] = PARKED_STAGE if consequence.event is Event.PARK else values["status"].value
        if values["status"] in lifecycle.FINISHED:
            values |= {"finished_at": now, "crawler_status": "infra_error_config"}
    if not _update_seen(conn, seen, values):
        return False
    action = "job.defer" if consequence.event is Event.RETRY_LATER else f"job.{consequence.event.value}"
    evidence = {"errno": failure.errno, "infra_failures": consequence.infra_failures}
    journal.record(conn, actor, action=action, target=f"job:{seen.id}", reason=failure.reason, evidence=evidence)
    return True


def parked_due(conn: Connection, *, host: str) -> Sequence[Job]:
    """Parked jobs of this host whose place should be looked at again now. The system parks; the system also tries again."""
    due = sa.and_(job.c.status == Status.PAUSED, job.c.crawler_stage == PARKED_STAGE, job.c.next_attempt_at <= db.now(conn))
    query = sa.select(job).where(due, sa.or_(job.c.host.is_(None), job.c.host == host)).order_by(job.c.next_attempt_at, job.c.id)
    return [queries.job_of(row) for row in conn.execute(query.limit(_LOOKAHEAD)).mappings()]


def unpark(conn: Connection, seen: Job, *, actor: journal.Actor, reason: str) -> bool:
    """Queue a parked job again. Its row of infra failures stands: the next one parks it at once, without ten more tries."""
    now = db.now(conn)
    values = {
        "status": lifecycle.next_status(seen.status, Event.RESUME),
        "crawler_stage": None,
        "next_attempt_at": now,
        "queued_at": now,
        "updated_at": now,
    }
    if not _update_seen(conn, seen, values):
        return False
    journal.record(conn, actor, action="job.resume", target=f"job:{seen.id}", reason=reason)
    return True


# -- what a person asks ------------------------------------------------------------------------------------------------


def pause_job(conn: Connection, job_id: int, *, actor: journal.Actor, reason: str) -> Job:
    """Pause a job: at once, or, if it runs, as soon as its worker has brought the crawl to a checkpoint."""
    seen = _get_locked(conn, job_id)
    if seen.status is Status.RUNNING:
        return _request(conn, seen, "pause_requested_at", action="job.pause", actor=actor, reason=reason)
    return _move(conn, seen, Event.PAUSE, actor=actor, reason=reason)


def resume_job(conn: Connection, job_id: int, *, actor: journal.Actor, reason: str) -> Job:
    """Queue a paused or parked job again, its infra failures forgotten; or take back a pause not yet carried out."""
    seen = _get_locked(conn, job_id)
    if seen.status is Status.RUNNING and seen.pause_requested_at is not None:
        _must_update(conn, seen, {"pause_requested_at": None})
        journal.record(conn, actor, action="job.resume", target=f"job:{job_id}", reason=reason)
        return queries.get(conn, job_id)
    now = db.now(conn)
    return _move(conn, seen, Event.RESUME, actor=actor, reason=reason, infra_failures=0, next_attempt_at=now, queued_at=now)


def cancel_job(conn: Connection, job_id: int, *, actor: journal.Actor, reason: str) -> Job:
    """Cancel for good. The intent of a running job is stored first; its worker sends the signal. What was captured stays."""
    seen = _get_locked(conn, job_id)
    if seen.status is Status.RUNNING:
        return _request(conn, seen, "cancel_requested_at", action="job.cancel", actor=actor, reason=reason)
    return _move(conn, seen, Event.CANCEL, actor=actor, reason=reason)


def retry_job(conn: Connection, job_id: int, *, actor: journal.Actor, reason: str) -> Job:
    """Another chance: failed becomes retryable, index_failed becomes completed (and is indexed again), with a whole budget."""
    seen = _get_locked(conn, job_id)
    now = db.now(conn)
    values: dict[str, Any] = {"retry_count": 0, "infra_failures": 0, "next_attempt_at": now}
    if seen.status is Status.FAILED:
        values["queued_at"] = now
    return _move(conn, seen, Event.RETRY, actor=actor, reason=reason, **values)


def reset_retry_count(conn: Connection, job_id: int, *, actor: journal.Actor, reason: str) -> Job:
    """Give a job its whole retry budget back. Refuses a job that an attempt runs: the attempt's end would overwrite it."""
    seen = _get_locked(conn, job_id)
    if seen.status in lifecycle.ATTEMPT_OF:
        raise Refused(f"Job {job_id} is {seen.status.value}.", hint=f"Pause it first: healtharchive job pause {job_id}")
    _must_update(conn, seen, {"retry_count": 0, "updated_at": db.now(conn)})
    evidence = {"retry_count_before": seen.retry_count}
    journal.record(conn, actor, action="job.reset_retry_count", target=f"job:{job_id}", reason=reason, evidence=evidence)
    return queries.get(conn, job_id)


def recover_stale(conn: Connection, seen: Job, *, actor: journal.Actor, reason: str) -> bool:
    """End the attempt of a job that `stale.is_stale` found to be run by nobody. False if it has changed since it was seen."""
    return lease.recover(conn, seen, actor=actor, reason=reason, stage=RECOVERED_STAGE, only_expired=False)


def pause_scope(
    conn: Connection,
    scope: Literal["all", "source"],
    key: str = "",
    *,
    actor: journal.Actor,
    reason: str,
    expires_at: datetime | None = None,
) -> None:
    """Claim nothing, or nothing of one source, until it is lifted or expires. What runs goes on. Replaces an older one."""
    if (scope == "all") is not (key == ""):
        raise UsageError("A pause of everything has no key; a pause of a source names it.")
    conn.execute(sa.delete(pause).where(pause.c.scope == scope, pause.c.key == key))
    conn.execute(
        sa.insert(pause).values(
            scope=scope, key=key, actor=str(actor), reason=reason, created_at=db.now(conn), expires_at=expires_at
        )
    )
    journal.record(conn, actor, action="queue.pause", target=_scope_target(scope, key), reason=reason)


def resume_scope(conn: Connection, scope: Literal["all", "source"], key: str = "", *, actor: journal.Actor, reason: str) -> None:
    """Lift a pause of everything or of a source. Raises NotFound."""
    if conn.execute(sa.delete(pause).where(pause.c.scope == scope, pause.c.key == key)).rowcount == 0:
        raise NotFound(f"There is no pause of {_scope_target(scope, key)}.")
    journal.record(conn, actor, action="queue.resume", target=_scope_target(scope, key), reason=reason)


# -- inside ------------------------------------------------------------------------------------------------------------

_ORDER = (
    sa.case((job.c.status == Status.COMPLETED, 0), else_=1),
    sa.case((job.c.queued_at.is_(None), 0), else_=1),  # nulls first, in the words of both dialects
    job.c.queued_at,
    job.c.created_at,
    job.c.id,
)


def _eligible(now: datetime, *, host: str | None, only_job: int | None, ignore_wait: bool) -> list[sa.ColumnElement[bool]]:
    paused = sa.exists().where(
        sa.or_(pause.c.expires_at.is_(None), pause.c.expires_at > now),
        sa.or_(pause.c.scope == "all", sa.and_(pause.c.scope == "source", pause.c.key == job.c.source)),
    )
    conditions = [
        job.c.status.in_(list(lifecycle.CLAIMABLE)),
        job.c.cancel_requested_at.is_(None),
        job.c.pause_requested_at.is_(None),
        ~paused,
    ]
    if only_job is not None:
        conditions.append(job.c.id == only_job)
    if not ignore_wait:
        # Only a failure makes a job wait; what never failed must not wait for a clock that was set back.
        never_failed = sa.and_(job.c.infra_failures == 0, job.c.retry_count == 0)
        conditions.append(sa.or_(job.c.next_attempt_at <= now, never_failed, job.c.next_attempt_at > now + _WAIT_MAX))
    if host is not None:
        conditions.append(sa.or_(job.c.host.is_(None), job.c.host == host))
    return conditions


def _lock_eligible(conn: Connection, candidate: Job, *, host: str, ignore_wait: bool) -> Job | None:
    query = sa.select(job).where(
        job.c.status == candidate.status,
        job.c.fence == candidate.fence,
        *_eligible(db.now(conn), host=host, only_job=candidate.id, ignore_wait=ignore_wait),
    )
    row = conn.execute(query.with_for_update(skip_locked=True)).mappings().one_or_none()
    return None if row is None else queries.job_of(row)


def _get_locked(conn: Connection, job_id: int) -> Job:
    """The job, kept from changing until the transaction ends. Raises NotFound."""
    conn.execute(sa.select(job.c.id).where(job.c.id == job_id).with_for_update())
    return queries.get(conn, job_id)


def _move(conn: Connection, seen: Job, event: Event, *, actor: journal.Actor, reason: str, **values: Any) -> Job:
    status = lifecycle.next_status(seen.status, event)
    now = db.now(conn)
    fixed: dict[str, Any] = {
        "status": status,
        "crawler_stage": None,
        "finished_at": (seen.finished_at or now) if status in lifecycle.FINISHED else None,
        "updated_at": now,
        "cancel_requested_at": None,
        "pause_requested_at": None,
        "reason": reason,
    }
    _must_update(conn, seen, fixed | values)
    evidence = {"from": seen.status.value, "to": status.value}
    journal.record(conn, actor, action=f"job.{event.value}", target=f"job:{seen.id}", reason=reason, evidence=evidence)
    return queries.get(conn, seen.id)


def _request(conn: Connection, seen: Job, column: str, *, action: str, actor: journal.Actor, reason: str) -> Job:
    """Store an intent for the worker that runs the job. Asking twice keeps the first instant."""
    now = db.now(conn)
    _must_update(conn, seen, {column: getattr(seen, column) or now, "updated_at": now, "reason": reason})
    journal.record(conn, actor, action=action, target=f"job:{seen.id}", reason=reason, outcome="intended")
    return queries.get(conn, seen.id)


def _update_seen(conn: Connection, seen: Job, values: Mapping[str, Any]) -> bool:
    statement = sa.update(job).where(
        job.c.id == seen.id,
        job.c.status == seen.status,
        job.c.fence == seen.fence,
        job.c.infra_failures == seen.infra_failures,
        job.c.next_attempt_at == seen.next_attempt_at,
    )
    return conn.execute(statement.values(dict(values))).rowcount == 1


def _must_update(conn: Connection, seen: Job, values: Mapping[str, Any]) -> None:
    statement = sa.update(job).where(job.c.id == seen.id, job.c.status == seen.status, job.c.fence == seen.fence)
    db.guarded_update(conn, statement.values(dict(values)), what=f"job {seen.id}")


def _free_directory(conn: Connection, source: str, name: str) -> str:
    wanted = str(PurePosixPath(source) / name)
    taken = set(conn.execute(sa.select(job.c.output_dir).where(job.c.output_dir.startswith(wanted, autoescape=True))).scalars())
    candidates = (wanted if n == 1 else f"{wanted}-{n}" for n in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _scope_target(scope: str, key: str) -> str:
    return f"{scope}:{key}" if key else scope
