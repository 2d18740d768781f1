"""The right to run a job, as rows: every write names job, attempt, fence, token and state, and changes exactly one row.

Time is the database's. A lease that is not renewed may be taken over, and so may at once the lease of a worker that is provably
dead on this host. Taking over means adopting: same attempt, same fence, new token, because the crawl itself may still run or may
have ended well while nobody looked. The old holder's token then matches nothing: all of its late writes are refused.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from healtharchive import db, journal
from healtharchive.crawl.engine import LOG_FILE
from healtharchive.errors import StaleFence
from healtharchive.jobs import lifecycle, queries
from healtharchive.jobs.classify import Failure
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import Attempt, FailureClass, Job, Lease, Status
from healtharchive.jobs.retry import Consequence
from healtharchive.jobs.tables import attempt, job, worker

_HELD = tuple(lifecycle.ATTEMPT_OF)
_CRAWLER_STATUS: Mapping[FailureClass | None, str | None] = {
    None: "success",
    FailureClass.INFRA: "infra_error",
    FailureClass.CONFIG: "infra_error_config",
    FailureClass.CRAWL: "failed",
    FailureClass.CANCELLED: None,  # says nothing about the crawl
}


@dataclass(frozen=True)
class Claim:
    """A job that this worker runs, as it was written."""

    job: Job
    attempt: Attempt
    lease: Lease


@dataclass(frozen=True)
class Holder:
    """A job with an open attempt, and the worker that runs or ran it."""

    job: Job
    attempt: Attempt
    process: str | None  # of the worker: str(ProcessId), None if its row is gone
    host: str
    expired: bool


def claim(conn: Connection, seen: Job, *, worker_id: str, host: str, engine: str, lease_seconds: float) -> Claim:
    """Start an attempt of a job that was read in this transaction. Raises StaleFence if it has changed since."""
    now = db.now(conn)
    status = lifecycle.next_status(seen.status, Event.CLAIM)
    kind = lifecycle.CLAIMABLE[seen.status]
    fence, token = seen.fence + 1, uuid.uuid4().hex
    values: dict[str, Any] = {
        "status": status,
        "fence": fence,
        "lease_token": token,
        "lease_until": now + timedelta(seconds=lease_seconds),
        "worker_id": worker_id,
        "host": host,
        "started_at": now,
        "finished_at": None,
        "updated_at": now,
        "crawler_stage": status.value,
        "reason": None,
    }
    statement = sa.update(job).where(job.c.id == seen.id, job.c.status == seen.status, job.c.fence == seen.fence)
    db.guarded_update(conn, statement.values(values), what=f"job {seen.id}")
    n = conn.execute(sa.select(sa.func.coalesce(sa.func.max(attempt.c.n), 0)).where(attempt.c.job_id == seen.id)).scalar_one() + 1
    directory = f"{seen.output_dir}/attempts/{n:04d}"
    inserted = conn.execute(
        sa.insert(attempt).values(
            job_id=seen.id,
            n=n,
            kind=kind,
            engine=engine,
            fence=fence,
            worker_id=worker_id,
            host=host,
            directory=directory,
            log_path=f"{directory}/{LOG_FILE}",
            started_at=now,
            heartbeat_at=now,
            progress_at=now,
        )
    )
    (attempt_id,) = inserted.inserted_primary_key or (0,)
    return _claimed(conn, Lease(seen.id, attempt_id, fence, token))


def assert_held(conn: Connection, lease: Lease) -> None:
    """Raise StaleFence unless the lease is still this holder's, and keep it so until the transaction ends.

    On PostgreSQL the row is locked: a takeover waits for the commit, and so does the heartbeat. Call it late in a transaction.
    """
    query = sa.select(job.c.id).where(*_held(lease)).with_for_update()
    if conn.execute(query).one_or_none() is None:
        raise _stale(lease)


def assert_attempt(conn: Connection, *, job_id: int, attempt_id: int, fence: int) -> None:
    """The fence alone, for an attempt's child process: it outlives an adoption, which changes the token. Raises StaleFence."""
    query = sa.select(job.c.id).where(job.c.id == job_id, job.c.fence == fence, job.c.status.in_(_HELD)).with_for_update()
    still_open = sa.select(attempt.c.id).where(attempt.c.id == attempt_id, attempt.c.ended_at.is_(None))
    if conn.execute(query).one_or_none() is None or conn.execute(still_open).one_or_none() is None:
        raise StaleFence(f"Attempt {attempt_id} of job {job_id} (fence {fence}) is over; nothing was written.")


def renew(conn: Connection, lease: Lease, *, lease_seconds: float) -> datetime:
    """The heartbeat: another `lease_seconds` from now by the database's clock; returns until when. Raises StaleFence."""
    now = db.now(conn)
    until = now + timedelta(seconds=lease_seconds)
    _update_held(conn, lease, lease_until=until)
    _update_attempt(conn, lease, heartbeat_at=now)
    return until


def record_process(conn: Connection, lease: Lease, process: str) -> None:
    """Remember the child's identity, by which it is found again after our death. Raises StaleFence."""
    assert_held(conn, lease)
    _update_attempt(conn, lease, process=process)


def record_progress(conn: Connection, lease: Lease, counts: Mapping[str, Any], *, moved: bool) -> None:
    """Store the ledger; `moved`: it differs from the last one, which is progress and not only life. Raises StaleFence."""
    assert_held(conn, lease)
    if moved:
        _update_attempt(conn, lease, counts=dict(counts), progress_at=db.now(conn))
    else:
        _update_attempt(conn, lease, counts=dict(counts))


def finish(
    conn: Connection,
    lease: Lease,
    consequence: Consequence,
    *,
    failure: Failure | None,
    actor: journal.Actor,
    exit_code: int | None = None,
    counts: Mapping[str, Any] | None = None,
    indexed_page_count: int | None = None,
) -> Job:
    """End the attempt and give the lease up, in the caller's transaction. Raises StaleFence, and then nothing has changed.

    A cancel or a pause that was asked for while the attempt was ending is carried out here: no later look would find it.
    """
    assert_held(conn, lease)
    seen = queries.get(conn, lease.job_id)
    now = db.now(conn)
    event = _overruled(seen, consequence.event)
    status = lifecycle.next_status(seen.status, event)
    ended_because = failure.reason if failure else None
    # Who asks later wants to know why a person stopped it, not that the engine obeyed; that stays with the attempt.
    reason = seen.reason if event in (Event.PAUSE, Event.CANCEL) and seen.reason else ended_because
    values: dict[str, Any] = {
        "status": status,
        "lease_token": None,
        "lease_until": None,
        "worker_id": None,
        "retry_count": consequence.retry_count,
        "infra_failures": consequence.infra_failures,
        "next_attempt_at": now + timedelta(seconds=consequence.wait_seconds),
        "finished_at": now if status in lifecycle.FINISHED else None,
        "updated_at": now,
        "crawler_stage": _stage(event, status),
        "reason": reason,
    }
    if seen.status is Status.RUNNING:
        values |= {"crawler_status": _CRAWLER_STATUS[failure.failure_class if failure else None], "crawler_exit_code": exit_code}
    if status in lifecycle.FINISHED or status is Status.PAUSED:
        values |= {"cancel_requested_at": None, "pause_requested_at": None}
    if indexed_page_count is not None:
        values["indexed_page_count"] = indexed_page_count
    _update_held(conn, lease, **values)
    ended: dict[str, Any] = {
        "ended_at": now,
        "failure_class": failure.failure_class if failure else None,
        "exit_code": exit_code,
        "errno": failure.errno if failure else None,
        "reason": ended_because,
    }
    if counts is not None:
        ended["counts"] = dict(counts)
    _update_attempt(conn, lease, **ended)
    evidence = {"attempt": lease.attempt_id, "fence": lease.fence, "status": status.value, "retry_count": consequence.retry_count}
    journal.record(
        conn,
        actor,
        action=f"job.{event.value}",
        target=f"job:{lease.job_id}",
        reason=reason or "the attempt did all of its work",
        evidence=evidence,
    )
    return queries.get(conn, lease.job_id)


def holders(conn: Connection, now: datetime) -> list[Holder]:
    """Every job with an open attempt, with what is needed to judge whether its holder lives."""
    query = (
        sa.select(job, worker.c.process.label("_process"))
        .outerjoin(worker, worker.c.id == job.c.worker_id)
        .where(job.c.status.in_(_HELD))
        .order_by(job.c.id)
    )
    found = []
    for row in conn.execute(query).mappings():
        values = dict(row)
        process = values.pop("_process")
        seen = queries.job_of(values)  # type: ignore[arg-type]
        current = queries.open_attempt(conn, seen.id)
        if current is not None:
            expired = seen.lease_until is None or seen.lease_until <= now
            found.append(Holder(seen, current, process, current.host, expired))
    return found


def adopt(conn: Connection, seen: Job, *, worker_id: str, lease_seconds: float, holder_is_dead: bool) -> Claim | None:
    """Take an attempt over: same attempt, same fence, new token. None if the holder lives or somebody else was first.

    `holder_is_dead` is a proof, not a guess: only then is an unexpired lease taken.
    """
    now = db.now(conn)
    token = uuid.uuid4().hex
    statement = sa.update(job).where(
        job.c.id == seen.id, job.c.fence == seen.fence, job.c.lease_token == seen.lease_token, job.c.status == seen.status
    )
    if not holder_is_dead:
        statement = statement.where(job.c.lease_until <= now)
    until = now + timedelta(seconds=lease_seconds)
    changed = conn.execute(statement.values(lease_token=token, lease_until=until, worker_id=worker_id, updated_at=now)).rowcount
    if changed != 1:
        return None
    current = queries.open_attempt(conn, seen.id)
    assert current is not None, "a held job without an open attempt"
    lease = Lease(seen.id, current.id, seen.fence, token)
    _update_attempt(conn, lease, worker_id=worker_id, heartbeat_at=now)
    return _claimed(conn, lease)


def recover(conn: Connection, seen: Job, *, actor: journal.Actor, reason: str, stage: str, only_expired: bool) -> bool:
    """End from outside an attempt that nobody runs any more; the job may be claimed again. False if it has changed since `seen`.

    Used where adopting is not possible: for a worker on another host, and for `recover-stale-jobs`. Spends no budget.
    """
    now = db.now(conn)
    status = lifecycle.next_status(seen.status, Event.RECOVER)
    if seen.status is Status.RUNNING and seen.cancel_requested_at is not None:
        status = lifecycle.next_status(seen.status, Event.CANCEL)
    statement = sa.update(job).where(
        job.c.id == seen.id, job.c.fence == seen.fence, job.c.lease_token == seen.lease_token, job.c.status == seen.status
    )
    if only_expired:
        statement = statement.where(job.c.lease_until <= now)
    values: dict[str, Any] = {
        "status": status,
        "lease_token": None,
        "lease_until": None,
        "worker_id": None,
        "next_attempt_at": now,
        "finished_at": now if status in lifecycle.FINISHED else None,
        "updated_at": now,
        "crawler_stage": stage,
        "crawler_status": _CRAWLER_STATUS[FailureClass.INFRA],
        "reason": reason,
    }
    if conn.execute(statement.values(values)).rowcount != 1:
        return False
    closing = sa.update(attempt).where(attempt.c.job_id == seen.id, attempt.c.fence == seen.fence, attempt.c.ended_at.is_(None))
    ended = {"ended_at": now, "failure_class": FailureClass.INFRA, "reason": reason}
    db.guarded_update(conn, closing.values(ended), what=f"the open attempt of job {seen.id}")
    journal.record(conn, actor, action="job.recover", target=f"job:{seen.id}", reason=reason, evidence={"fence": seen.fence})
    return True


def shorten(conn: Connection, *, lease_seconds: float) -> int:
    """Bring leases that end later than any lease can back to one lease from now; returns how many.

    Such a lease was written before the clock was set back. A living holder renews it in time; a dead one must not keep it for as
    long as the clock went back.
    """
    now = db.now(conn)
    longest = now + timedelta(seconds=2 * lease_seconds)
    statement = sa.update(job).where(job.c.status.in_(_HELD), job.c.lease_until > longest)
    return conn.execute(statement.values(lease_until=now + timedelta(seconds=lease_seconds))).rowcount


def _overruled(seen: Job, event: Event) -> Event:
    if seen.status is not Status.RUNNING or event in (Event.COMPLETE, Event.GIVE_UP):
        return event
    if seen.cancel_requested_at is not None:
        return Event.CANCEL
    if seen.pause_requested_at is not None:
        return Event.PAUSE
    return Event.RELEASE if event in (Event.PAUSE, Event.CANCEL) else event  # taken back in the meantime


def _stage(event: Event, status: Status) -> str:
    return {Event.PARK: "parked", Event.RELEASE: "released"}.get(event, status.value)


def _held(lease: Lease) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        job.c.id == lease.job_id,
        job.c.fence == lease.fence,
        job.c.lease_token == lease.token,
        job.c.status.in_(_HELD),
    )


def _update_held(conn: Connection, lease: Lease, **values: Any) -> None:
    if conn.execute(sa.update(job).where(*_held(lease)).values(values)).rowcount != 1:
        raise _stale(lease)


def _update_attempt(conn: Connection, lease: Lease, **values: Any) -> None:
    statement = sa.update(attempt).where(
        attempt.c.id == lease.attempt_id, attempt.c.fence == lease.fence, attempt.c.ended_at.is_(None)
    )
    if conn.execute(statement.values(values)).rowcount != 1:
        raise _stale(lease)


def _claimed(conn: Connection, lease: Lease) -> Claim:
    current = queries.open_attempt(conn, lease.job_id)
    assert current is not None
    assert current.id == lease.attempt_id
    return Claim(queries.get(conn, lease.job_id), current, lease)


def _stale(lease: Lease) -> StaleFence:
    return StaleFence(
        f"Job {lease.job_id} is no longer held by this process (fence {lease.fence}): somebody else has taken it over.",
        hint="Nothing was written.",
    )
