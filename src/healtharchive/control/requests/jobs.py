"""What a person wants done with jobs, as plans. Pure: facts in, actions and refusals out; `execute` looks again before it acts.

Which status may become which is `jobs.lifecycle`'s; the rules here are about people: a running job is not touched behind its
worker's back, bulk requests are bounded and explained, and every refusal says what would help.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from healtharchive.control.model import (
    Action,
    CancelJob,
    JobFacts,
    PauseJob,
    Plan,
    RecoverStale,
    Refusal,
    ResetRetryCount,
    ResumeJob,
    RetryJob,
    Seen,
)
from healtharchive.errors import ExitCode, UsageError
from healtharchive.jobs import stale
from healtharchive.jobs.lifecycle import ATTEMPT_OF, CLAIMABLE, FINISHED, TRANSITIONS, Event
from healtharchive.jobs.model import Job, Status

ASKED = "asked for"


def retry(facts: JobFacts, *, reason: str = ASKED) -> Plan:
    """Let a failed job run again (failed becomes retryable, index_failed becomes completed)."""
    hints = {
        Status.QUEUED: "It waits already. To run it at once: healtharchive run-db-job --id {id}",
        Status.RETRYABLE: "It waits already. To run it at once: healtharchive run-db-job --id {id}",
        Status.PAUSED: "Resume it: healtharchive job resume {id}",
        Status.RUNNING: "Watch it: healtharchive job logs -f {id}",
        Status.INDEXING: "Watch it: healtharchive show-job --id {id}",
        Status.COMPLETED: "It waits for its index: healtharchive run-db-job --id {id}",
        Status.INDEXED: "To crawl the source again: healtharchive job create {source}",
        Status.CANCELLED: "To crawl the source again: healtharchive job create {source}",
    }
    return _transition("retry", Event.RETRY, facts, RetryJob, hints, reason)


def pause(facts: JobFacts, *, reason: str = ASKED) -> Plan:
    """Stop a job until it is resumed; a running crawl checkpoints first."""
    hints = {
        Status.PAUSED: "It is paused already.",
        Status.INDEXING: "Indexing takes minutes and interrupts nobody: let it end.",
    }
    return _transition("pause", Event.PAUSE, facts, PauseJob, hints, reason)


def resume(facts: JobFacts, *, reason: str = ASKED) -> Plan:
    """Let a paused job be claimed again, from where its frontier is."""
    hints = {
        Status.FAILED: "Retry it: healtharchive retry-job --id {id}",
        Status.INDEX_FAILED: "Retry it: healtharchive retry-job --id {id}",
        Status.QUEUED: "It is not paused.",
        Status.RETRYABLE: "It is not paused.",
    }
    job = facts.job
    if job.status is Status.RUNNING and job.pause_requested_at is not None:
        return _refused(
            "resume", reason, job, "pausing", "it is still on its way to a checkpoint.", "Ask again when it is paused."
        )
    return _transition("resume", Event.RESUME, facts, ResumeJob, hints, reason)


def cancel(facts: JobFacts, *, reason: str = ASKED) -> Plan:
    """End a job for good; what it captured stays."""
    hints = {
        Status.CANCELLED: "It is cancelled already.",
        Status.FAILED: "It has ended already.",
        Status.COMPLETED: "Its crawl has ended already.",
        Status.INDEXED: "It has ended already.",
    }
    return _transition("cancel", Event.CANCEL, facts, CancelJob, hints, reason)


def run_now(facts: JobFacts, *, reason: str = ASKED) -> Plan:
    """Whether a worker may be started for this one job. The plan holds refusals or nothing: claiming is the worker's own act.

    A job whose worker is dead is not running, whatever its row says: the new worker takes over what the dead one left.
    """
    job = facts.job
    if job.status in ATTEMPT_OF and facts.held is stale.Hold.FREE:
        return Plan("run", reason)
    if job.status in ATTEMPT_OF:
        what = f"Job {job.id} is already running: {job.worker_id or 'another worker'} holds it."
        hint = f"Watch it: healtharchive job logs -f {job.id}"
        return Plan("run", reason, refusals=(Refusal(_target(job), "already-running", what, hint, ExitCode.LOCKED),))
    if job.status in CLAIMABLE:
        return Plan("run", reason)
    hint = {
        Status.PAUSED: f"Resume it first: healtharchive job resume {job.id}",
        Status.FAILED: f"Retry it first: healtharchive retry-job --id {job.id}",
        Status.INDEX_FAILED: f"Retry it first: healtharchive retry-job --id {job.id}",
    }.get(job.status, f"To crawl the source again: healtharchive job create {job.source}")
    return _refused("run", reason, job, "not-claimable", f"it is {job.status}.", hint)


def reset_retry_count(found: Sequence[JobFacts], *, reason: str = ASKED) -> Plan:
    """Give jobs their whole budget back. A running job is refused; one whose budget is whole is left alone."""
    actions: list[Action] = []
    refusals: list[Refusal] = []
    for facts in found:
        job = facts.job
        if job.status in ATTEMPT_OF:
            what = f"Refused: job {job.id} is {job.status}, its budget belongs to its worker."
            refusals.append(Refusal(_target(job), "running", what, f"Pause it first: healtharchive job pause {job.id}"))
        elif job.status in FINISHED - {Status.FAILED, Status.INDEX_FAILED, Status.COMPLETED}:
            refusals.append(Refusal(_target(job), "over", f"Refused: job {job.id} is {job.status}, it has no use for a budget."))
        elif job.retry_count or job.infra_failures:
            actions.append(ResetRetryCount(job.id, Seen.of(job)))
    return Plan("reset-retry-count", reason, tuple(actions), tuple(refusals))


def check_reset_selection(
    *, ids: Sequence[int], source: str | None, status: Status | None, limit: int | None, reason: str | None
) -> None:
    """Raise UsageError unless the request is bounded: by ids, or by source and status and limit; several jobs need a reason."""
    if ids and (source or status or limit):
        raise UsageError("Name jobs by --id or select them by --source, --status and --limit, not both.")
    if not ids and not (source and status and limit):
        raise UsageError("Say which jobs: --id N, or all three of --source, --status and --limit.")
    if len(ids) != 1 and not reason:
        raise UsageError("More than one job may be touched: say why with --reason.")


def recover_stale(
    found: Sequence[JobFacts],
    *,
    older_than_minutes: float,
    require_no_progress_seconds: float | None = None,
    limit: int | None = None,
    reason: str = ASKED,
) -> Plan:
    """Free jobs whose attempt is open but that nobody runs: the longest silent first, at most `limit`.

    `jobs.stale` judges each of them; what could not be looked at is potentially held and left alone, and progress that nobody
    ever saw protects no job.
    """
    if older_than_minutes <= 0:
        raise UsageError("--older-than-minutes must be more than 0.")
    if require_no_progress_seconds is not None and require_no_progress_seconds < 0:
        raise UsageError("--require-no-progress-seconds cannot be negative.")
    if limit is not None and limit <= 0:
        raise UsageError("--limit must be more than 0.")
    actions: list[Action] = []
    refusals: list[Refusal] = []
    for facts in sorted(found, key=_longest_silent_first):
        verdict = stale.judge(
            facts.job,
            facts.attempt,
            held=facts.held,
            now=facts.now,
            older_than_minutes=older_than_minutes,
            require_no_progress_seconds=None if facts.silent_seconds is None else require_no_progress_seconds,
        )
        if verdict.is_stale and (limit is None or len(actions) < limit):
            actions.append(RecoverStale(facts.job.id, Seen.of(facts.job)))
            continue
        why = f"--limit {limit} is reached" if verdict.is_stale else verdict.reason
        # Leaving a healthy job alone is the purpose of the command, not a failure of it.
        what = f"Job {facts.job.id} left alone: {why}."
        refusals.append(Refusal(_target(facts.job), "limit" if verdict.is_stale else "not-stale", what, exit_code=ExitCode.OK))
    return Plan("recover-stale-jobs", reason, tuple(actions), tuple(refusals))


def _longest_silent_first(facts: JobFacts) -> tuple[float, int]:
    started = facts.attempt.started_at if facts.attempt else facts.job.updated_at
    silent = facts.silent_seconds
    return (-((facts.now - started).total_seconds() if silent is None else silent), facts.job.id)


def _transition(
    request: str,
    event: Event,
    facts: JobFacts,
    action: Callable[[int, Seen], Action],
    hints: dict[Status, str],
    reason: str,
) -> Plan:
    job = facts.job
    if event in TRANSITIONS[job.status]:
        return Plan(request, reason, (action(job.id, Seen.of(job)),))
    hint = hints.get(job.status, "").format(id=job.id, source=job.source)
    return _refused(request, reason, job, f"not-from-{job.status}", f"it is {job.status}.", hint)


def _refused(request: str, reason: str, job: Job, rule: str, why: str, hint: str) -> Plan:
    return Plan(request, reason, refusals=(Refusal(_target(job), rule, f"Refused to {request} job {job.id}: {why}", hint),))


def _target(job: Job) -> str:
    return f"job:{job.id}"
