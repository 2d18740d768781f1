"""The order of the queue, and what people may ask of a job; on both databases."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from tests.rigs import invariants
from tests.rigs.jobs import TESTER, add_jobs, add_source

from healtharchive import db, journal
from healtharchive.db import Database
from healtharchive.errors import NotFound, Refused, UsageError
from healtharchive.jobs import lease, queries, queue
from healtharchive.jobs.classify import Failure
from healtharchive.jobs.lifecycle import Event, IllegalTransition
from healtharchive.jobs.model import FailureClass, Job, Status
from healtharchive.jobs.retry import Consequence
from healtharchive.jobs.tables import job as job_table

HERE, THERE = "here", "there"


def claim(database: Database, *, host: str = HERE, **options: Any) -> lease.Claim | None:
    return queue.claim(
        database,
        worker_id="w1",
        host=host,
        lease_seconds=90,
        engine_of=lambda kind: kind.value,
        admit=lambda job: True,
        **options,
    )


def order(database: Database, **options: Any) -> list[int]:
    with database.read() as conn:
        return [job.id for job in queue.next_jobs(conn, 100, **options)]


def put(database: Database, job_id: int, **values: Any) -> None:
    with database.write() as conn:
        conn.execute(sa.update(job_table).where(job_table.c.id == job_id).values(values))


def get(database: Database, job_id: int) -> Job:
    with database.read() as conn:
        return queries.get(conn, job_id)


def actions(database: Database, job_id: int) -> list[tuple[str, str, str]]:
    with database.read() as conn:
        return [(e.action, e.reason, e.outcome) for e in journal.entries(conn, target=f"job:{job_id}")]


def test_a_new_job_has_a_directory_of_its_own_also_within_the_same_second(database: Database) -> None:
    with database.write() as conn:
        source_id = add_source(conn)
        made = [queue.create_job(conn, source_id=source_id, source="hc", name="hc-2026", actor=TESTER) for _ in range(12)]
    assert len({job.output_dir for job in made}) == 12
    assert all(job.output_dir.startswith("hc/2") and "__hc-2026" in job.output_dir for job in made)
    assert {job.status for job in made} == {Status.QUEUED}
    assert actions(database, made[0].id) == [("job.create", "created", "done")]


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 101, "a b"])
def test_a_name_that_would_leave_the_directory_is_refused(database: Database, name: str) -> None:
    with database.write() as conn:
        source_id = add_source(conn)
        with pytest.raises(UsageError):
            queue.create_job(conn, source_id=source_id, source="hc", name=name, actor=TESTER)


def test_the_order_is_queued_at_nulls_first_then_created_at_then_id(database: Database) -> None:
    jobs = add_jobs(database, 6)
    early = jobs[0].created_at - timedelta(days=1)
    put(database, jobs[0].id, queued_at=jobs[0].created_at + timedelta(hours=1))
    put(database, jobs[3].id, queued_at=early)
    put(database, jobs[4].id, queued_at=None, created_at=early)
    put(database, jobs[5].id, queued_at=None)
    assert order(database) == [jobs[n].id for n in (4, 5, 3, 1, 2, 0)]


def test_an_index_attempt_goes_before_crawls(database: Database) -> None:
    first, second = add_jobs(database, 2)
    put(database, second.id, status=Status.COMPLETED, finished_at=second.created_at)
    assert order(database) == [second.id, first.id]


def test_passed_over_are_paused_jobs_paused_sources_other_hosts_and_those_that_wait(database: Database) -> None:
    ours = add_jobs(database, 6)
    other = add_jobs(database, 1, source="phac")[0]
    later = ours[0].created_at + timedelta(hours=1)
    put(database, ours[0].id, next_attempt_at=later, infra_failures=1)
    put(database, ours[1].id, host=THERE)
    put(database, ours[2].id, cancel_requested_at=later)
    put(database, ours[3].id, pause_requested_at=later)
    with database.write() as conn:
        queue.pause_job(conn, ours[4].id, actor=TESTER, reason="quiet")
        queue.pause_scope(conn, "source", "phac", actor=TESTER, reason="their request")
    assert order(database, host=HERE) == [ours[5].id]
    assert order(database, host=THERE) == [ours[1].id, ours[5].id]
    with database.write() as conn:
        queue.pause_scope(conn, "all", actor=TESTER, reason="deploy")
    assert order(database) == []
    assert claim(database) is None
    with database.write() as conn:
        queue.resume_scope(conn, "all", actor=TESTER, reason="deployed")
        queue.resume_scope(conn, "source", "phac", actor=TESTER, reason="fine again")
    assert other.id in order(database)
    with database.write() as conn, pytest.raises(NotFound):
        queue.resume_scope(conn, "all", actor=TESTER, reason="again")


def test_an_expired_pause_pauses_nothing(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    with database.write() as conn:
        queue.pause_scope(conn, "all", actor=TESTER, reason="an hour", expires_at=db.now(conn) - timedelta(seconds=1))
    assert order(database) == [only.id]


def test_a_job_that_never_failed_does_not_wait_for_a_clock_that_was_set_back(database: Database) -> None:
    fine, failed, absurd = add_jobs(database, 3)
    put(database, fine.id, next_attempt_at=fine.created_at + timedelta(hours=1))
    put(database, failed.id, next_attempt_at=fine.created_at + timedelta(hours=1), retry_count=1)
    put(database, absurd.id, next_attempt_at=fine.created_at + timedelta(days=400), infra_failures=3)
    assert order(database) == [fine.id, absurd.id]


def test_run_it_now_excuses_the_wait(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    put(database, only.id, next_attempt_at=only.created_at + timedelta(hours=1), infra_failures=1)
    assert claim(database, only_job=only.id) is None
    claimed = claim(database, only_job=only.id, ignore_wait=True)
    assert claimed is not None
    assert claimed.job.status is Status.RUNNING


def test_a_refused_job_is_deferred_with_its_reason_and_those_behind_it_run(database: Database) -> None:
    first, second = add_jobs(database, 2)
    failure = Failure(FailureClass.INFRA, "Transport endpoint is not connected", 107)

    def admit(candidate: Job) -> bool:
        if candidate.id == second.id:
            return True
        with database.write() as conn:
            return not queue.defer(conn, candidate, Consequence(Event.RETRY_LATER, 0, 1, 60), failure=failure, actor=TESTER)

    claimed = queue.claim(database, worker_id="w", host=HERE, lease_seconds=90, engine_of=lambda kind: kind.value, admit=admit)
    assert claimed is not None
    assert claimed.job.id == second.id
    refused = get(database, first.id)
    assert (refused.status, refused.retry_count, refused.infra_failures) == (Status.QUEUED, 0, 1)
    assert refused.crawler_status == "infra_error"
    assert refused.next_attempt_at >= first.next_attempt_at + timedelta(seconds=59)
    with database.read() as conn:
        assert queries.attempts(conn, first.id) == []
        assert [job.id for job in queries.waiting(conn, db.now(conn))] == [first.id]
    assert actions(database, first.id)[0] == ("job.defer", failure.reason, "done")


def test_a_deferral_that_comes_too_late_writes_nothing(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    assert claim(database) is not None
    failure = Failure(FailureClass.INFRA, "late", 107)
    with database.write() as conn:
        assert not queue.defer(conn, only, Consequence(Event.RETRY_LATER, 0, 1, 60), failure=failure, actor=TESTER)
    assert get(database, only.id).infra_failures == 0


def test_pause_resume_and_cancel_of_a_waiting_job(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    with database.write() as conn:
        assert queue.pause_job(conn, only.id, actor=TESTER, reason="a").status is Status.PAUSED
    with database.write() as conn, pytest.raises(IllegalTransition):
        queue.pause_job(conn, only.id, actor=TESTER, reason="twice")
    with database.write() as conn:
        assert queue.resume_job(conn, only.id, actor=TESTER, reason="b").status is Status.QUEUED
        cancelled = queue.cancel_job(conn, only.id, actor=TESTER, reason="c")
    assert cancelled.status is Status.CANCELLED
    assert cancelled.finished_at is not None
    assert [(action, reason) for action, reason, _ in actions(database, only.id)] == [
        ("job.cancel", "c"),
        ("job.resume", "b"),
        ("job.pause", "a"),
        ("job.create", "created"),
    ]


def test_what_is_asked_of_a_running_job_is_stored_as_an_intent_first(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    claim(database)
    with database.write() as conn:
        paused = queue.pause_job(conn, only.id, actor=TESTER, reason="quiet")
        cancelled = queue.cancel_job(conn, only.id, actor=TESTER, reason="enough")
    assert (paused.status, cancelled.status) == (Status.RUNNING, Status.RUNNING)
    assert paused.pause_requested_at is not None
    assert cancelled.cancel_requested_at is not None
    assert actions(database, only.id)[0] == ("job.cancel", "enough", "intended")
    with database.write() as conn:
        assert queue.resume_job(conn, only.id, actor=TESTER, reason="go on").pause_requested_at is None


def test_retry_makes_a_failed_job_pickable_and_leaves_the_others_alone(database: Database) -> None:
    failed, index_failed, untouched = add_jobs(database, 3)
    put(database, failed.id, status=Status.FAILED, finished_at=failed.created_at, retry_count=3)
    put(database, index_failed.id, status=Status.INDEX_FAILED, finished_at=failed.created_at)
    with database.write() as conn:
        queue.retry_job(conn, failed.id, actor=TESTER, reason="x")
        queue.retry_job(conn, index_failed.id, actor=TESTER, reason="x")
        with pytest.raises(IllegalTransition):
            queue.retry_job(conn, untouched.id, actor=TESTER, reason="x")
    assert (get(database, failed.id).status, get(database, failed.id).retry_count) == (Status.RETRYABLE, 0)
    assert get(database, index_failed.id).status is Status.COMPLETED
    assert get(database, untouched.id) == untouched
    assert set(order(database)) == {failed.id, index_failed.id, untouched.id}
    with database.read() as conn:
        assert invariants.broken(conn) == []


def test_reset_retry_count_refuses_a_job_that_runs_and_writes_an_audit_row(database: Database) -> None:
    running, waiting = add_jobs(database, 2)
    put(database, waiting.id, retry_count=2, status=Status.RETRYABLE)
    claim(database)
    with database.write() as conn, pytest.raises(Refused) as refused:
        queue.reset_retry_count(conn, running.id, actor=TESTER, reason="x")
    assert "Pause it first" in str(refused.value)
    with database.write() as conn:
        assert queue.reset_retry_count(conn, waiting.id, actor=TESTER, reason="storage is back").retry_count == 0
    assert actions(database, waiting.id)[0] == ("job.reset_retry_count", "storage is back", "done")


def test_recover_stale_gives_the_job_back_and_refuses_what_has_changed(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    claimed = claim(database)
    assert claimed is not None
    with database.write() as conn:
        assert not queue.recover_stale(conn, only_renewed(conn, claimed), actor=TESTER, reason="x")
    with database.write() as conn:
        assert queue.recover_stale(conn, claimed.job, actor=TESTER, reason="no worker")
        assert not queue.recover_stale(conn, claimed.job, actor=TESTER, reason="twice")
    after = get(database, only.id)
    assert (after.status, after.crawler_stage, after.retry_count) == (Status.RETRYABLE, "recovered_stale_running", 0)
    with database.read() as conn:
        assert queries.open_attempt(conn, only.id) is None
        assert invariants.broken(conn) == []


def only_renewed(conn: sa.Connection, claimed: lease.Claim) -> Job:
    """The job as somebody saw it before another worker adopted it."""
    del conn
    return Job(**{**claimed.job.__dict__, "lease_token": "another"})


def test_a_parked_job_is_looked_at_again_and_its_row_of_failures_stands(database: Database) -> None:
    only = add_jobs(database, 1)[0]
    failure = Failure(FailureClass.INFRA, "stale", 107)
    with database.write() as conn:
        assert queue.defer(conn, only, Consequence(Event.PARK, 0, 10, 0), failure=failure, actor=TESTER)
    parked = get(database, only.id)
    assert (parked.status, parked.crawler_stage) == (Status.PAUSED, queue.PARKED_STAGE)
    assert order(database) == []
    with database.read() as conn:
        assert [job.id for job in queue.parked_due(conn, host=HERE)] == [only.id]
        assert [job.id for job in queries.waiting(conn, db.now(conn))] == [only.id]
    with database.write() as conn:
        assert queue.unpark(conn, parked, actor=TESTER, reason="well again")
        assert not queue.unpark(conn, parked, actor=TESTER, reason="twice")
    assert (get(database, only.id).status, get(database, only.id).infra_failures) == (Status.QUEUED, 10)
