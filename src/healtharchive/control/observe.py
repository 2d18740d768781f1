"""Look at jobs as a planner needs them. Only reads: a status command changes nothing that it looks at."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from healtharchive import db
from healtharchive.control.model import JobFacts
from healtharchive.host import Host, ProcessId
from healtharchive.jobs import queries, stale
from healtharchive.jobs.lifecycle import ATTEMPT_OF
from healtharchive.jobs.model import Attempt, Job, Status
from healtharchive.jobs.stale import Hold


def job(conn: Connection, host: Host, job_id: int) -> JobFacts:
    """One job. Raises NotFound."""
    return _facts(conn, host, queries.get(conn, job_id))


def jobs(
    conn: Connection, host: Host, *, source: str | None = None, status: Status | None = None, limit: int | None = None
) -> tuple[JobFacts, ...]:
    """Jobs, the newest first."""
    return tuple(_facts(conn, host, found) for found in queries.list_jobs(conn, source=source, status=status, limit=limit))


def open_jobs(conn: Connection, host: Host, *, source: str | None = None) -> tuple[JobFacts, ...]:
    """Jobs that somebody runs or ran until now."""
    found: Iterable[Job] = (each for status in ATTEMPT_OF for each in queries.list_jobs(conn, source=source, status=status))
    return tuple(_facts(conn, host, each) for each in found)


def _facts(conn: Connection, host: Host, found: Job) -> JobFacts:
    attempt = queries.open_attempt(conn, found.id)
    now = db.now(conn)
    held = stale.hold(found, now=now, holder_alive=_holder_alive(conn, host, found))
    if held is Hold.FREE and attempt is not None:
        held = _crawl_hold(host, attempt)
    return JobFacts(job=found, now=now, attempt=attempt, held=held if found.status in ATTEMPT_OF else Hold.FREE)


def _holder_alive(conn: Connection, host: Host, found: Job) -> bool | None:
    """Whether the job's worker lives; None if it cannot be told from here."""
    worker = queries.worker(conn, found.worker_id) if found.worker_id else None
    return None if worker is None or worker.host != host.name else _is_alive(host, worker.process)


def _crawl_hold(host: Host, attempt: Attempt) -> Hold:
    """A crawl that has outlived its worker on this machine is not stale: a worker adopts it."""
    if attempt.process is None or attempt.host != host.name:
        return Hold.FREE
    return {True: Hold.HELD, False: Hold.FREE, None: Hold.UNKNOWN}[_is_alive(host, attempt.process)]


def _is_alive(host: Host, process: str) -> bool | None:
    try:
        return host.processes.is_alive(ProcessId.parse(process))
    except (OSError, ValueError):  # what could not be looked at is potentially held
        return None
