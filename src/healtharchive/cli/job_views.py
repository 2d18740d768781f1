"""How jobs, attempts, plans and ledgers look, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from healtharchive.cli.render import Output, ago, cell, facts, instant, jsonable, table
from healtharchive.control.model import VERBS, Execution, Refusal
from healtharchive.crawl import frontier
from healtharchive.crawl.engine import FRONTIER_FILE, UrlState
from healtharchive.errors import ExitCode, HealthArchiveError, Locked, Refused
from healtharchive.instance import Instance
from healtharchive.jobs.lifecycle import CLAIMABLE
from healtharchive.jobs.model import Attempt, Job, Status

PAGES = (UrlState.CAPTURED, UrlState.UNCHANGED)


def job_json(job: Job) -> dict[str, Any]:
    """A job's row, without the token that is a holder's secret."""
    data = jsonable(job)
    assert isinstance(data, dict)
    del data["lease_token"]
    return data


def job_table(found: Sequence[Job], now: datetime) -> list[str]:
    rows = [(job.id, job.source, job.name, job.status, job.retry_count, job.indexed_page_count, note(job, now)) for job in found]
    return table(["JOB", "SOURCE", "NAME", "STATUS", "RETRIES", "PAGES", "NOTE"], rows, right=frozenset({0, 4, 5}))


def note(job: Job, now: datetime) -> str:
    """Why a job does not move, and when that changes: the first thing that anybody asks."""
    why = job.reason or ""
    if job.cancel_requested_at is not None:
        return "cancel asked for; ends at the next checkpoint"
    if job.pause_requested_at is not None:
        return "pause asked for; stops at the next checkpoint"
    if job.status in CLAIMABLE and job.next_attempt_at > now:
        left = (job.next_attempt_at - now).total_seconds()
        return f"{why.rstrip('.')}; next attempt in {ago(left)}".removeprefix("; ")
    if is_parked(job):
        return f"parked: {why}; resume it: healtharchive job resume {job.id}"
    if job.status is Status.PAUSED:
        return f"paused: {why}"
    return "" if job.status in (Status.COMPLETED, Status.INDEXED) else why


def is_parked(job: Job) -> bool:
    """Paused by the system, not by a person."""
    return job.status is Status.PAUSED and job.crawler_stage == "parked"


def job_lines(job: Job, attempts: Sequence[Attempt], counts: Mapping[str, int] | None, now: datetime) -> list[str]:
    lines = facts(
        [
            ("job", job.id),
            ("source", job.source),
            ("name", job.name),
            ("status", job.status),
            ("note", note(job, now) or None),
            ("crawler", job.crawler_status),
            ("stage", job.crawler_stage),
            ("retries used", job.retry_count),
            ("infra failures in a row", job.infra_failures or None),
            ("next attempt", job.next_attempt_at if job.status in CLAIMABLE and job.next_attempt_at > now else None),
            ("held by", job.worker_id),
            ("queued", job.queued_at),
            ("started", job.started_at),
            ("finished", job.finished_at),
            ("directory", job.output_dir),
            ("pages in the index", job.indexed_page_count),
        ]
    )
    if counts is not None:
        lines += ["", *balance_lines(counts)]
    if attempts:
        rows = [(each.n, each.kind, instant(each.started_at), _ending(each), each.reason or "") for each in attempts]
        lines += ["", *table(["ATTEMPT", "KIND", "BEGAN", "END", "REASON"], rows, right=frozenset({0}))]
    return lines


def balance_lines(counts: Mapping[str, int]) -> list[str]:
    """The equation: every URL found is in exactly one state."""
    shown = " + ".join(f"{count:,} {state}" for state, count in counts.items() if count)
    return [f"{shown or '0'} = {sum(counts.values()):,} URLs found"]


def why(found: frontier.FrontierUrl) -> str:
    """Why a URL is in its state: in words where there are any, else the rule; a trap's words are only its sample."""
    if found.state is UrlState.TRAP:
        return f"{found.rule}: {found.reason}"
    return found.reason or found.rule


def ledger_of(instance: Instance, job: Job) -> dict[str, int] | None:
    """The states of a job's frontier; None where there is none, as on a machine that did not crawl it."""
    path = frontier_path(instance, job)
    return dict(frontier.ledger(path)) if path.exists() else None


def frontier_path(instance: Instance, job: Job) -> Path:
    return instance.jobs_root / job.output_dir / FRONTIER_FILE


def show_execution(execution: Execution, out: Output) -> int:
    """What was done, or would be, and what was refused. A request that came to a refusal alone is an error and raised as one."""
    refused = [refusal for refusal in execution.plan.refusals if refusal.exit_code is not ExitCode.OK]
    if refused and not execution.plan.actions:
        if len(refused) == 1:
            raise _as_error(refused[0])
        raise Refused(f"All {len(refused)} jobs were refused. The first: {refused[0].what}", hint=refused[0].hint)
    out.answer(execution_json(execution), execution_lines(execution))
    return int(ExitCode.OK if execution.dry_run else execution.exit_code)


def execution_json(execution: Execution) -> dict[str, Any]:
    outcomes = {id(outcome.action): outcome for outcome in execution.outcomes}
    actions = []
    for action in execution.plan.actions:
        outcome = outcomes.get(id(action))
        actions.append(
            {
                "action": VERBS[type(action)],
                "job_id": action.job_id,
                "seen": jsonable(action.seen),
                "outcome": outcome.outcome if outcome else "planned",
                "message": outcome.message if outcome else "",
            }
        )
    return {
        "request": execution.plan.request,
        "reason": execution.plan.reason,
        "dry_run": execution.dry_run,
        "actions": actions,
        "refusals": [
            {"target": refusal.target, "rule": refusal.rule, "what": refusal.what, "hint": refusal.hint}
            for refusal in execution.plan.refusals
        ],
    }


def execution_lines(execution: Execution) -> Iterable[str]:
    if execution.dry_run:
        for action in execution.plan.actions:
            yield f"Would {_verb(VERBS[type(action)])} job {action.job_id} (it is {action.seen.status})."
    for outcome in execution.outcomes:
        said = {"done": "Done", "overtaken": "Overtaken", "failed": "Failed"}[outcome.outcome]
        yield f"{said}: {_verb(VERBS[type(outcome.action)])} job {outcome.action.job_id}. {cell(outcome.message or '')}".rstrip()
    for refusal in execution.plan.refusals:
        yield cell(str(refusal))
    if not execution.plan.actions and not execution.plan.refusals:
        yield "Nothing to do."
    elif execution.dry_run and execution.plan.actions:
        yield "Nothing was changed. To do it, add --apply."


def _verb(action: str) -> str:
    return action.removeprefix("job.").replace("_", " ")


def _ending(attempt: Attempt) -> str:
    if attempt.ended_at is None:
        return "running"
    failed = f" ({attempt.failure_class})" if attempt.failure_class else ""
    return f"{instant(attempt.ended_at)}{failed}"


def _as_error(refusal: Refusal) -> HealthArchiveError:
    kind = Locked if refusal.exit_code is ExitCode.LOCKED else Refused
    return kind(refusal.what, hint=refusal.hint)
