from __future__ import annotations

from collections.abc import Callable

import pytest

from healtharchive import journal
from healtharchive.campaigns import sources
from healtharchive.control import observe
from healtharchive.control.execute import execute
from healtharchive.control.model import Plan
from healtharchive.control.requests import jobs as requests
from healtharchive.errors import ExitCode
from healtharchive.instance import Instance
from healtharchive.jobs import queries, queue
from healtharchive.jobs.model import Job, Status
from healtharchive.journal import Actor

ACTOR = Actor("person", "ana", "here")


@pytest.fixture
def job(instance: Instance) -> Job:
    with instance.db.write() as conn:
        source = sources.add(conn, name="hc", seeds=["https://example.org/"], actor=ACTOR)
        return queue.create_job(conn, source_id=source.id, source="hc", name="annual-2026", actor=ACTOR)


def plan(instance: Instance, job: Job, request: Callable[..., Plan], reason: str = "a test") -> Plan:
    with instance.db.read() as conn:
        return request(observe.job(conn, instance.host, job.id), reason=reason)


def now(instance: Instance, job: Job) -> Job:
    with instance.db.read() as conn:
        return queries.get(conn, job.id)


def journaled(instance: Instance, job: Job) -> list[tuple[str, journal.Outcome, str]]:
    with instance.db.read() as conn:
        found = journal.entries(conn, target=f"job:{job.id}")
    return [(entry.action, entry.outcome, entry.reason) for entry in reversed(found)][1:]  # after its creation


def test_an_action_is_journaled_as_intent_and_as_done_with_its_reason(instance: Instance, job: Job) -> None:
    execution = execute(plan(instance, job, requests.pause, "the site asked"), ACTOR, instance)
    assert execution.exit_code is ExitCode.OK
    assert now(instance, job).status is Status.PAUSED
    assert journaled(instance, job) == [
        ("job.pause", "intended", "the site asked"),
        ("job.pause", "done", "the site asked"),
    ]


def test_a_dry_run_is_the_same_plan_and_changes_nothing(instance: Instance, job: Job) -> None:
    made = plan(instance, job, requests.pause)
    execution = execute(made, ACTOR, instance, dry_run=True)
    assert execution.plan == made
    assert execution.outcomes == ()
    assert now(instance, job) == job
    assert journaled(instance, job) == []


def test_a_job_that_changed_since_it_was_looked_at_is_left_alone(instance: Instance, job: Job) -> None:
    late = plan(instance, job, requests.pause)
    execute(plan(instance, job, requests.cancel), ACTOR, instance)
    execution = execute(late, ACTOR, instance)
    assert [outcome.outcome for outcome in execution.outcomes] == ["overtaken"]
    assert execution.exit_code is ExitCode.LOCKED
    assert now(instance, job).status is Status.CANCELLED
    assert journaled(instance, job)[-1][:2] == ("job.pause", "overtaken")


def test_a_refusal_is_journaled_and_changes_nothing(instance: Instance, job: Job) -> None:
    execution = execute(plan(instance, job, requests.resume), ACTOR, instance)
    assert execution.exit_code is ExitCode.REFUSED
    assert now(instance, job) == job
    (entry,) = journaled(instance, job)
    assert entry[:2] == ("job.resume", "refused")


def test_the_failure_of_one_action_does_not_keep_the_next_from_its_own(instance: Instance, job: Job) -> None:
    with instance.db.write() as conn:
        other = queue.create_job(conn, source_id=job.source_id, source="hc", name="other", actor=ACTOR)
    first, second = plan(instance, job, requests.pause), plan(instance, other, requests.pause)
    execute(plan(instance, job, requests.cancel), ACTOR, instance)
    both = Plan("pause", "a test", first.actions + second.actions)
    execution = execute(both, ACTOR, instance)
    assert [outcome.outcome for outcome in execution.outcomes] == ["overtaken", "done"]
    assert now(instance, other).status is Status.PAUSED


def test_pause_and_resume_bring_a_job_back_to_the_queue(instance: Instance, job: Job) -> None:
    execute(plan(instance, job, requests.pause), ACTOR, instance)
    execute(plan(instance, job, requests.resume), ACTOR, instance)
    assert now(instance, job).status is Status.QUEUED
