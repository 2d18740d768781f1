"""`job ...` and the first generation's commands about jobs, which work as their playbooks have them.

A command parses, observes, asks a planner, executes and prints. What it may do to a job is decided in `control.requests.jobs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from healtharchive import db, journal
from healtharchive.campaigns import profiles, sources
from healtharchive.cli.context import opened
from healtharchive.cli.job_views import (
    balance_lines,
    frontier_path,
    job_json,
    job_lines,
    job_table,
    ledger_of,
    show_execution,
    why,
)
from healtharchive.cli.parsing import NUMBER_MAX, group
from healtharchive.cli.render import table
from healtharchive.control import observe
from healtharchive.control.execute import execute
from healtharchive.control.model import JobFacts, Plan
from healtharchive.control.requests import jobs as requests
from healtharchive.crawl import frontier
from healtharchive.crawl.engine import UrlState
from healtharchive.errors import NotFound, StorageUnavailable
from healtharchive.instance import Instance
from healtharchive.jobs import queries, queue
from healtharchive.jobs.model import Attempt, Status

app = group("Crawls: one source each, resumed until complete, then indexed.")

JobId = Annotated[int, typer.Argument(metavar="ID", max=NUMBER_MAX, help="The job.")]
IdOption = Annotated[int, typer.Option("--id", max=NUMBER_MAX, help="The job.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="Only jobs of this source.")]
StatusOption = Annotated[Status | None, typer.Option("--status", help="Only jobs of this status.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the journal.")]
Apply = Annotated[bool, typer.Option("--apply", help="Do it. Without it the plan is shown and nothing is changed.")]


@app.command()
def create(
    ctx: typer.Context,
    source: Annotated[str, typer.Argument(help="The source to crawl.")],
    name: Annotated[str, typer.Option(help="What to call it, such as annual-2026; the date if not given.")] = "",
    assignments: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="What this job does differently from its source.")
    ] = None,
) -> None:
    """Queue a crawl of a source. A worker picks it up: healtharchive worker"""
    with opened(ctx) as (instance, out):
        config = {profiles.JOB_PROFILE: profiles.check_overrides(profiles.parse_assignments(assignments or []))}
        with instance.db.write() as conn:
            found = sources.get(conn, source)
            profiles.resolve(instance.settings, found, config[profiles.JOB_PROFILE])  # better said now than by the attempt
            job = queue.create_job(
                conn,
                source_id=found.id,
                source=found.name,
                name=name or f"{db.now(conn):%Y-%m-%d}",
                config=config,
                actor=journal.person(),
            )
        out.answer({"job": job_json(job)}, [f"Job {job.id} of {job.source} is queued.", "Next: healtharchive worker"])


@app.command("list")
def list_jobs(
    ctx: typer.Context,
    source: SourceOption = None,
    status: StatusOption = None,
    limit: Annotated[int, typer.Option(min=1, max=NUMBER_MAX, help="At most so many.")] = 50,
) -> None:
    """Jobs, newest first."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            found = queries.list_jobs(conn, source=source, status=status, limit=limit)
            text = job_table(found, db.now(conn))
        empty = ["No jobs. Create one: healtharchive job create SOURCE"]
        out.answer({"jobs": [job_json(job) for job in found]}, text if found else empty)


@app.command()
def show(ctx: typer.Context, job_id: JobId) -> None:
    """One job with its attempts and its ledger."""
    _show(ctx, job_id)


def show_job(ctx: typer.Context, job_id: IdOption) -> None:
    """One job with its attempts and its ledger."""
    _show(ctx, job_id)


@app.command()
def pause(ctx: typer.Context, job_id: JobId, reason: Reason = requests.ASKED) -> int:
    """Stop a job until it is resumed; a running crawl comes to a checkpoint first."""
    return _request(ctx, job_id, lambda facts: requests.pause(facts, reason=reason))


@app.command()
def resume(ctx: typer.Context, job_id: JobId, reason: Reason = requests.ASKED) -> int:
    """Let a paused job go on from where it stopped."""
    return _request(ctx, job_id, lambda facts: requests.resume(facts, reason=reason))


@app.command()
def cancel(ctx: typer.Context, job_id: JobId, reason: Reason = requests.ASKED) -> int:
    """End a job for good. What it captured stays."""
    return _request(ctx, job_id, lambda facts: requests.cancel(facts, reason=reason))


@app.command()
def retry(ctx: typer.Context, job_id: JobId, reason: Reason = requests.ASKED) -> int:
    """Let a failed job run again."""
    return _request(ctx, job_id, lambda facts: requests.retry(facts, reason=reason))


def retry_job(ctx: typer.Context, job_id: IdOption, reason: Reason = requests.ASKED) -> int:
    """Let a failed job run again."""
    return _request(ctx, job_id, lambda facts: requests.retry(facts, reason=reason))


def run_db_job(ctx: typer.Context, job_id: IdOption, reason: Reason = requests.ASKED) -> int:
    """Run one job now, in this process: its crawl and its index. Exit code 11 if it is running already."""
    from healtharchive.cli.running import run_job

    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            facts = observe.job(conn, instance.host, job_id)
        execution = execute(requests.run_now(facts, reason=reason), journal.person(), instance)
        if execution.plan.refusals:
            return show_execution(execution, out)
        return run_job(instance, out, job_id)


@app.command()
def logs(
    ctx: typer.Context,
    job_id: JobId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job's attempt ends.")] = False,
    attempt: Annotated[int | None, typer.Option(max=NUMBER_MAX, help="Number of the attempt; the last one if not given.")] = None,
) -> None:
    """What an attempt reported: its events, one a line; with --json as they were written."""
    from healtharchive.cli.logs import show_events

    with opened(ctx) as (instance, out):
        show_events(instance, out, job_id, attempt=attempt, follow=follow)


@app.command()
def ledger(
    ctx: typer.Context,
    job_id: JobId,
    state: Annotated[UrlState | None, typer.Option(help="List the URLs of this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=NUMBER_MAX, help="At most so many URLs.")] = 1000,
) -> None:
    """Every URL that a job ever found is in exactly one state; the states add up to what was found."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            job = queries.get(conn, job_id)
        counts = ledger_of(instance, job)
        if counts is None:
            raise NotFound(f"Job {job_id} has no frontier on this machine.", hint=f"See: healtharchive show-job --id {job_id}")
        path = frontier_path(instance, job)
        listed = list(islice(frontier.urls(path, state), limit)) if state else []
        rows = [(each.state, why(each), each.url) for each in listed]
        lines = [*balance_lines(counts), *(["", *table(["STATE", "WHY", "URL"], rows)] if state else [])]
        out.answer({"job_id": job_id, "ledger": counts, "found": sum(counts.values()), "urls": listed}, lines)


def recover_stale_jobs(
    ctx: typer.Context,
    older_than_minutes: Annotated[float, typer.Option(help="Only attempts that began longer ago.")],
    require_no_progress_seconds: Annotated[
        float | None, typer.Option(help="Only jobs without progress for so long; progress unknown counts as none.")
    ] = None,
    source: SourceOption = None,
    limit: Annotated[int | None, typer.Option(help="At most so many jobs, the longest silent first.")] = None,
    reason: Reason = "recover-stale-jobs",
    apply: Apply = False,
) -> int:
    """Free running jobs that nobody runs any more. They keep their budget and go on from their frontier."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            found = observe.open_jobs(conn, instance.host, source=source)
        plan = requests.recover_stale(
            found,
            older_than_minutes=older_than_minutes,
            require_no_progress_seconds=require_no_progress_seconds,
            limit=limit,
            reason=reason,
        )
        return show_execution(execute(plan, journal.person(), instance, dry_run=not apply), out)


def reset_retry_count(
    ctx: typer.Context,
    ids: Annotated[list[int] | None, typer.Option("--id", max=NUMBER_MAX, help="A job; may be given many times.")] = None,
    source: SourceOption = None,
    status: StatusOption = None,
    limit: Annotated[int | None, typer.Option(min=1, max=NUMBER_MAX, help="At most so many jobs.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; required for more than one job.")] = None,
    apply: Apply = False,
) -> int:
    """Give jobs their whole retry budget back. Running jobs are refused."""
    requests.check_reset_selection(ids=ids or [], source=source, status=status, limit=limit, reason=reason)
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            found: Sequence[JobFacts] = (
                [observe.job(conn, instance.host, job_id) for job_id in dict.fromkeys(ids)]
                if ids
                else observe.jobs(conn, instance.host, source=source, status=status, limit=limit)
            )
        plan = requests.reset_retry_count(found, reason=reason or requests.ASKED)
        return show_execution(execute(plan, journal.person(), instance, dry_run=not apply), out)


def _show(ctx: typer.Context, job_id: int) -> None:
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            job = queries.get(conn, job_id)
            attempts = queries.attempts(conn, job_id)
            now = db.now(conn)
        try:
            counts = ledger_of(instance, job)
        except StorageUnavailable as error:  # the job's row and attempts are all the more wanted
            counts = None
            out.note(str(error))
        out.answer(
            {"job": job_json(job), "attempts": attempts, "ledger": counts, "combined_log_path": _log_path(instance, attempts)},
            job_lines(job, attempts, counts, now),
        )


def _log_path(instance: Instance, attempts: Sequence[Attempt]) -> Path | None:
    return instance.jobs_root / attempts[-1].log_path if attempts else None


def _request(ctx: typer.Context, job_id: int, plan: Callable[[JobFacts], Plan]) -> int:
    """What a person asks of one job: observe, plan, execute, show."""
    with opened(ctx) as (instance, out):
        with instance.db.read() as conn:
            facts = observe.job(conn, instance.host, job_id)
        return show_execution(execute(plan(facts), journal.person(), instance), out)
