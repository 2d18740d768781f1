"""The one executor: the only code that carries out a plan, whoever asked for it.

For each action: journal the intent; look again at what the planner saw, and leave a changed job alone ("overtaken"); call the
function of the room that owns the rows; journal the outcome. A failure ends its own target only. A dry run is the same plan,
stopped before the first intent: there is no second code path that could drift.
"""

from __future__ import annotations

import logging
from typing import assert_never

from sqlalchemy.engine import Connection

from healtharchive import journal
from healtharchive.control.model import (
    VERBS,
    Action,
    CancelJob,
    Execution,
    Outcome,
    PauseJob,
    Plan,
    RecoverStale,
    ResetRetryCount,
    ResumeJob,
    RetryJob,
    Seen,
)
from healtharchive.errors import ExitCode, HealthArchiveError, StaleFence
from healtharchive.instance import Instance
from healtharchive.jobs import queries, queue
from healtharchive.journal import Actor

_log = logging.getLogger("healtharchive")


def execute(plan: Plan, actor: Actor, instance: Instance, *, dry_run: bool = False) -> Execution:
    """Carry out `plan`, or only return it. Refusals are journaled too: a "no" must be found later."""
    if dry_run:
        return Execution(plan, dry_run=True)
    _journal_refusals(plan, actor, instance)
    return Execution(plan, dry_run=False, outcomes=tuple(_one(action, plan.reason, actor, instance) for action in plan))


def _one(action: Action, reason: str, actor: Actor, instance: Instance) -> Outcome:
    verb, target = VERBS[type(action)], f"job:{action.job_id}"
    with instance.db.write() as conn:
        evidence = {"status": action.seen.status.value, "fence": action.seen.fence}
        journal.record(conn, actor, action=verb, target=target, reason=reason, outcome="intended", evidence=evidence)
    try:
        with instance.db.write() as conn:
            _require_unchanged(conn, action)
            _act(conn, action, actor, reason)
        return Outcome(action, "done")  # the owning room has journaled it, in the transaction of the act
    except StaleFence as error:
        outcome = Outcome(action, "overtaken", str(error))
    except HealthArchiveError as error:
        outcome = Outcome(action, "failed", str(error))
    _log.warning("action.%s action=%s %s reason=%r", outcome.outcome, verb, target.replace(":", "="), outcome.message)
    with instance.db.write() as conn:
        journal.record(conn, actor, action=verb, target=target, reason=outcome.message, outcome=outcome.outcome)
    return outcome


def _require_unchanged(conn: Connection, action: Action) -> None:
    """The world may have moved since the plan was made. Raises StaleFence: somebody else was faster."""
    job = queries.get(conn, action.job_id)
    if Seen.of(job) != action.seen:
        raise StaleFence(
            f"Job {job.id} has changed since it was looked at: it was {action.seen.status}, now it is {job.status}.",
            hint=f"Nothing was done to it. See: healtharchive show-job --id {job.id}",
        )


def _act(conn: Connection, action: Action, actor: Actor, reason: str) -> None:
    match action:
        case RetryJob():
            queue.retry_job(conn, action.job_id, actor=actor, reason=reason)
        case ResetRetryCount():
            queue.reset_retry_count(conn, action.job_id, actor=actor, reason=reason)
        case PauseJob():
            queue.pause_job(conn, action.job_id, actor=actor, reason=reason)
        case ResumeJob():
            queue.resume_job(conn, action.job_id, actor=actor, reason=reason)
        case CancelJob():
            queue.cancel_job(conn, action.job_id, actor=actor, reason=reason)
        case RecoverStale():
            _recover(conn, action, actor, reason)
        case _:
            assert_never(action)


def _recover(conn: Connection, action: RecoverStale, actor: Actor, reason: str) -> None:
    seen = queries.get(conn, action.job_id)
    # Guarded by the lease's token: a holder that came back between plan and act keeps its job.
    if not queue.recover_stale(conn, seen, actor=actor, reason=reason):
        raise StaleFence(f"Job {seen.id} is held again.", hint="Nothing was done to it.")


def _journal_refusals(plan: Plan, actor: Actor, instance: Instance) -> None:
    refused = [refusal for refusal in plan.refusals if refusal.exit_code is not ExitCode.OK]
    if not refused:
        return
    with instance.db.write() as conn:
        for refusal in refused:
            journal.record(
                conn,
                actor,
                action=f"job.{plan.request.replace('-', '_')}",
                target=refusal.target,
                reason=str(refusal),
                outcome="refused",
                evidence={"rule": refusal.rule, "asked_because": plan.reason},
            )
