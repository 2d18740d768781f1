"""Run one job in this process, watched: what `archive` and `run-db-job` have in common."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from healtharchive import db
from healtharchive.campaigns import sources
from healtharchive.cli import log_events
from healtharchive.cli.job_views import is_parked, note
from healtharchive.cli.live import display
from healtharchive.cli.main import INTERRUPTED
from healtharchive.cli.render import Output
from healtharchive.errors import ExitCode, Locked
from healtharchive.instance import Instance
from healtharchive.jobs import queries
from healtharchive.jobs.classify import STORAGE_ERRNOS
from healtharchive.jobs.model import Attempt, FailureClass, Job, Status

# Findings are shown by the display itself.
_SHOWN_OTHERWISE = ("attempt.finding",)
_RELEASED = "released"  # the stage of a job whose worker was told to stop


def run(instance: Instance, out: Output, job_id: int) -> Job:
    """Claim the job and run it as far as it goes now: crawl, then index. Raises Locked if another worker has it."""
    from healtharchive.jobs.worker import Worker

    log_events.follow(as_json=out.as_json, level=logging.WARNING, without=_SHOWN_OTHERWISE)
    with instance.db.read() as conn:
        before = queries.get(conn, job_id)
    with display(out, instance.host.clock, f"Job {job_id}, {before.source}") as sink:
        Worker(
            instance,
            profiles=sources.profile_resolver(instance.settings),
            max_jobs=1,
            only_job=job_id,
            until_idle=True,
            on_event=sink,
        ).run()
    with instance.db.read() as conn:
        after = queries.get(conn, job_id)
        open_attempt = queries.open_attempt(conn, job_id)
    if open_attempt is not None:  # ours would be closed by now
        raise Locked(
            f"Job {job_id} is already running: {after.worker_id or 'another worker'} holds it.",
            hint=f"Watch it: healtharchive job logs -f {job_id}",
        )
    return after


def verdict(instance: Instance, job: Job) -> tuple[int, str]:
    """What a job's state means for whoever asked for it to be run, as exit code and sentence."""
    with instance.db.read() as conn:
        now = db.now(conn)
        attempts = queries.attempts(conn, job.id)
    again = f"healtharchive run-db-job --id {job.id}"
    match job.status:
        case Status.INDEXED:
            return ExitCode.OK, f"Job {job.id} is complete and indexed: {job.indexed_page_count:,} pages."
        case Status.FAILED | Status.INDEX_FAILED:
            configured = bool(attempts) and attempts[-1].failure_class is FailureClass.CONFIG
            code = ExitCode.CONFIGURATION if configured else ExitCode.NEEDS_HUMAN
            return code, f"Job {job.id} {job.status}: {job.reason}. When it is mended: healtharchive retry-job --id {job.id}"
        case Status.PAUSED if is_parked(job):
            return ExitCode.NEEDS_HUMAN, f"Job {job.id} is {note(job, now)}"
        case Status.PAUSED:
            return ExitCode.OK, f"Job {job.id} is paused: {job.reason}. Go on: healtharchive job resume {job.id}"
        case Status.CANCELLED:
            return ExitCode.ERROR, f"Job {job.id} was cancelled: {job.reason}. What it captured stays."
        case Status.QUEUED | Status.COMPLETED if job.crawler_stage == _RELEASED:
            return INTERRUPTED, f"Job {job.id} was stopped at a checkpoint; nothing is lost. Go on: {again}"
        case Status.RETRYABLE | Status.QUEUED | Status.COMPLETED:
            why = note(job, now) or job.reason or "it was stopped at a checkpoint"
            code = ExitCode.STORAGE_UNAVAILABLE if _lacks_storage(attempts) else ExitCode.DEGRADED
            return code, f"Job {job.id} is not finished: {why}. A worker goes on with it, or at once: {again}"
        case Status.RUNNING | Status.INDEXING:
            return ExitCode.LOCKED, f"Job {job.id} is {job.status}."


def _lacks_storage(attempts: Sequence[Attempt]) -> bool:
    """Whether the last attempt ended because a disk or directory of ours was full, away or closed to us."""
    last = attempts[-1] if attempts else None
    return last is not None and last.failure_class is FailureClass.INFRA and last.errno in STORAGE_ERRNOS


def run_job(instance: Instance, out: Output, job_id: int) -> int:
    """Run one job, say how it ended; the exit code says the same."""
    from healtharchive.cli.job_views import job_json, ledger_of

    job = run(instance, out, job_id)
    code, sentence = verdict(instance, job)
    out.answer({"job": job_json(job), "ledger": ledger_of(instance, job), "exit_code": code, "what": sentence}, [sentence])
    return code
