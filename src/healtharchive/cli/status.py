"""`status`: what runs, what waits and why, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import typer

from healtharchive import db
from healtharchive.campaigns import sources
from healtharchive.cli.context import opened
from healtharchive.cli.job_views import PAGES, is_parked, job_json, note
from healtharchive.cli.render import ago, table
from healtharchive.errors import ExitCode
from healtharchive.jobs import queries
from healtharchive.jobs.lifecycle import ATTEMPT_OF, CLAIMABLE
from healtharchive.jobs.model import Attempt, Job, Status
from healtharchive.jobs.queries import Pause, WorkerRow

_RECENT = 20
_SILENT_SECONDS = 120.0
"""A worker that has not been heard of for so long runs nothing."""
_IDLE_SECONDS = 600.0
"""So long may a job be due before somebody has to look where the workers are: some run by a timer."""


@dataclass(frozen=True)
class Seen:
    """What one look at the database found."""

    now: datetime
    source_count: int
    jobs: tuple[Job, ...]
    attempts: dict[int, Attempt]
    workers: tuple[WorkerRow, ...]
    pauses: tuple[Pause, ...]


def status(ctx: typer.Context) -> int:
    """What runs, what waits and why. Exit code 3: something failed and waits by itself; 4: something needs a person."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            listed = queries.list_jobs(conn, limit=200)
            found = tuple(job for job in listed if job.status not in (Status.INDEXED, Status.CANCELLED)) or tuple(
                listed[:_RECENT]
            )
            seen = Seen(
                db.now(conn),
                len(sources.all_sources(conn)),
                found,
                {job.id: open_ for job in found if (open_ := queries.open_attempt(conn, job.id))},
                tuple(queries.workers(conn)),
                tuple(queries.pauses(conn)),
            )
        code = verdict(seen)
        answer = {
            "verdict": code.name.lower(),
            "exit_code": int(code),
            "sources": seen.source_count,
            "jobs": [job_json(job) | {"note": note(job, seen.now)} for job in seen.jobs],
            "attempts": list(seen.attempts.values()),
            "workers": seen.workers,
            "pauses": seen.pauses,
        }
        out.answer(answer, _lines(seen, code))
        return int(code)


def verdict(seen: Seen) -> ExitCode:
    """The one sentence as a number: whether a person must get up."""
    if any(job.status in (Status.FAILED, Status.INDEX_FAILED) or is_parked(job) for job in seen.jobs) or _is_deserted(seen):
        return ExitCode.NEEDS_HUMAN
    if any(job.infra_failures or job.retry_count for job in seen.jobs if job.status not in (Status.INDEXED, Status.COMPLETED)):
        return ExitCode.DEGRADED
    return ExitCode.OK


def _lines(seen: Seen, code: ExitCode) -> Iterator[str]:
    yield {
        ExitCode.OK: "GOOD       nothing needs you",
        ExitCode.DEGRADED: "HEALING    something failed and is tried again by itself",
        ExitCode.NEEDS_HUMAN: "NEEDS YOU  " + "; ".join(_needs(seen)),
    }[code]
    yield f"SOURCES    {seen.source_count}"
    yield f"WORKERS    {_workers(seen)}"
    for each in seen.pauses:
        until = f" until {each.expires_at:%Y-%m-%d %H:%MZ}" if each.expires_at else ""
        yield f"PAUSED     {each.scope} {each.key}{until}: {each.reason} ({each.actor})"
    if seen.jobs:
        yield ""
        rows = [_row(job, seen) for job in seen.jobs]
        yield from table(["JOB", "SOURCE", "STATUS", "PAGES", "LAST PROGRESS", "NOTE"], rows, right=frozenset({0, 3}))


def _is_deserted(seen: Seen) -> bool:
    """Whether there is work and nobody who does it."""
    is_heard = any((seen.now - worker.heartbeat_at).total_seconds() < _SILENT_SECONDS for worker in seen.workers)
    if is_heard:
        return False
    due = seen.now - timedelta(seconds=_IDLE_SECONDS)
    return any(job.status in ATTEMPT_OF or (job.status in CLAIMABLE and job.next_attempt_at < due) for job in seen.jobs)


def _needs(seen: Seen) -> Iterator[str]:
    if _is_deserted(seen):
        yield "jobs wait and no worker runs: healtharchive worker"
    for job in seen.jobs:
        if job.status in (Status.FAILED, Status.INDEX_FAILED):
            yield f"job {job.id} ({job.source}) {job.status}: healtharchive retry-job --id {job.id}"
        elif is_parked(job):
            yield f"job {job.id} ({job.source}) parked: healtharchive job resume {job.id}"


def _workers(seen: Seen) -> str:
    if not seen.workers:
        waiting = any(job.status in CLAIMABLE for job in seen.jobs)
        return "none" + ("; jobs wait for one: healtharchive worker" if waiting else "")
    return ", ".join(f"{each.id} ({_pulse(each, seen.now)})" for each in seen.workers)


def _pulse(worker: WorkerRow, now: datetime) -> str:
    doing = "draining, " if worker.draining_at else ""
    return f"{doing}heartbeat {ago((now - worker.heartbeat_at).total_seconds())} ago"


def _row(job: Job, seen: Seen) -> tuple[object, ...]:
    attempt = seen.attempts.get(job.id)
    counts = attempt.counts if attempt and attempt.counts else {}
    pages = sum(int(counts.get(state, 0)) for state in PAGES) if job.status in ATTEMPT_OF else job.indexed_page_count
    moved = ago((seen.now - attempt.progress_at).total_seconds()) if attempt else "-"
    return (job.id, job.source, "parked" if is_parked(job) else job.status, pages, moved, note(job, seen.now))
