"""Fenced writes, takeover and the end of an attempt; on both databases, with a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import Connection
from tests.rigs import invariants
from tests.rigs.clocks import FakeClock
from tests.rigs.jobs import TESTER, add_jobs

from healtharchive.db import Database
from healtharchive.errors import StaleFence
from healtharchive.jobs import lease, queries, queue, registry
from healtharchive.jobs.classify import Failure, Intent
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import FailureClass, Job, Kind, Lease, Status
from healtharchive.jobs.retry import Consequence

DONE = Consequence(Event.COMPLETE, 0, 0, 0)
WRITES: dict[str, Callable[[Connection, Lease], object]] = {
    "assert": lease.assert_held,
    "renew": lambda conn, held: lease.renew(conn, held, lease_seconds=90),
    "process": lambda conn, held: lease.record_process(conn, held, "b:1:2"),
    "progress": lambda conn, held: lease.record_progress(conn, held, {"captured": 1}, moved=True),
    "finish": lambda conn, held: lease.finish(conn, held, DONE, failure=None, actor=TESTER),
}


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(database_url: str, clock: FakeClock) -> Iterator[Database]:
    connected = Database(database_url, clock=clock)
    yield connected
    connected.close()


@pytest.fixture
def claimed(database: Database) -> lease.Claim:
    add_jobs(database, 1)
    return claim(database)


def claim(database: Database, worker: str = "w1") -> lease.Claim:
    claimed = queue.claim(
        database,
        worker_id=worker,
        host="here",
        lease_seconds=90,
        engine_of=lambda kind: kind.value,
        admit=lambda job: True,
    )
    assert claimed is not None
    return claimed


def adopt(database: Database, seen: Job, *, dead: bool = False) -> lease.Claim | None:
    with database.write() as conn:
        return lease.adopt(conn, seen, worker_id="w2", lease_seconds=90, holder_is_dead=dead)


def sound(database: Database) -> None:
    with database.read() as conn:
        assert invariants.broken(conn) == []


def test_a_claim_starts_one_attempt_with_its_own_directory_and_log(database: Database, claimed: lease.Claim) -> None:
    assert (claimed.job.status, claimed.job.fence, claimed.attempt.n) == (Status.RUNNING, 1, 1)
    assert claimed.attempt.directory == f"{claimed.job.output_dir}/attempts/0001"
    assert claimed.attempt.log_path.startswith(claimed.attempt.directory)
    assert claimed.job.host == "here"
    sound(database)


@pytest.mark.parametrize("write", WRITES)
def test_every_write_of_the_holder_lands_and_none_of_a_holder_that_lost(
    database: Database, clock: FakeClock, claimed: lease.Claim, write: str
) -> None:
    clock.advance(seconds=91)
    assert adopt(database, claimed.job) is not None
    with pytest.raises(StaleFence), database.write() as conn:
        WRITES[write](conn, claimed.lease)
    sound(database)


@pytest.mark.parametrize("write", WRITES)
def test_no_write_lands_after_the_end(database: Database, claimed: lease.Claim, write: str) -> None:
    with database.write() as conn:
        lease.finish(conn, claimed.lease, DONE, failure=None, actor=TESTER)
    again = claim(database)  # the index attempt: same job, next fence
    assert again.attempt.kind is Kind.INDEX
    for held in (claimed.lease, Lease(claimed.job.id, claimed.attempt.id, 1, again.lease.token)):
        with pytest.raises(StaleFence), database.write() as conn:
            WRITES[write](conn, held)
    sound(database)


def test_adopting_keeps_attempt_and_fence_and_changes_the_token(
    database: Database, clock: FakeClock, claimed: lease.Claim
) -> None:
    clock.advance(seconds=91)
    taken = adopt(database, claimed.job)
    assert taken is not None
    assert (taken.attempt.id, taken.lease.fence) == (claimed.attempt.id, claimed.lease.fence)
    assert taken.lease.token != claimed.lease.token
    assert taken.attempt.worker_id == taken.job.worker_id == "w2"
    sound(database)


def test_a_lease_that_runs_is_only_taken_from_the_provably_dead(
    database: Database, clock: FakeClock, claimed: lease.Claim
) -> None:
    clock.advance(seconds=89)
    assert adopt(database, claimed.job) is None
    assert adopt(database, claimed.job, dead=True) is not None
    assert adopt(database, claimed.job, dead=True) is None, "the second one saw a token that is no more"


def test_a_renewal_since_the_look_saves_the_lease(database: Database, clock: FakeClock, claimed: lease.Claim) -> None:
    clock.advance(seconds=91)
    with database.write() as conn:
        lease.renew(conn, claimed.lease, lease_seconds=90)
    assert adopt(database, claimed.job) is None


def test_liveness_and_progress_are_two_clocks(database: Database, clock: FakeClock, claimed: lease.Claim) -> None:
    clock.advance(seconds=30)
    with database.write() as conn:
        lease.renew(conn, claimed.lease, lease_seconds=90)
    with database.read() as conn:
        attempt = queries.attempts(conn, claimed.job.id)[0]
    assert attempt.heartbeat_at == clock.at
    assert attempt.progress_at == claimed.attempt.progress_at
    clock.advance(seconds=5)
    with database.write() as conn:
        lease.record_progress(conn, claimed.lease, {"captured": 7}, moved=True)
    with database.read() as conn:
        attempt = queries.attempts(conn, claimed.job.id)[0]
    assert (attempt.progress_at, attempt.counts) == (clock.at, {"captured": 7})


@pytest.mark.parametrize(
    ("failure_class", "expected"),
    [
        (None, "success"),
        (FailureClass.CRAWL, "failed"),
        (FailureClass.INFRA, "infra_error"),
        (FailureClass.CONFIG, "infra_error_config"),
    ],
)
def test_status_and_exit_code_belong_to_one_attempt(
    database: Database, claimed: lease.Claim, failure_class: FailureClass | None, expected: str
) -> None:
    failure = None if failure_class is None else Failure(failure_class, "why", 107)
    event = Event.COMPLETE if failure is None else Event.RETRY_LATER
    with database.write() as conn:
        after = lease.finish(
            conn, claimed.lease, Consequence(event, 0, 0, 60), failure=failure, actor=TESTER, exit_code=1, counts={"captured": 2}
        )
        attempt = queries.attempts(conn, after.id)[0]
    assert (after.crawler_status, after.crawler_exit_code) == (expected, 1)
    assert (attempt.failure_class, attempt.exit_code, attempt.counts) == (failure_class, 1, {"captured": 2})
    assert after.finished_at is None or after.status is Status.COMPLETED
    assert (after.lease_token, after.worker_id) == (None, None)
    sound(database)


@pytest.mark.parametrize("asked", ["cancel", "pause"])
@pytest.mark.parametrize("event", [Event.RETRY_LATER, Event.RELEASE, Event.PARK])
def test_what_was_asked_while_the_attempt_was_ending_is_carried_out(
    database: Database, claimed: lease.Claim, asked: str, event: Event
) -> None:
    ask = queue.cancel_job if asked == "cancel" else queue.pause_job
    failure = Failure(FailureClass.INFRA, "x")
    with database.write() as conn:
        ask(conn, claimed.job.id, actor=TESTER, reason="x")
        after = lease.finish(conn, claimed.lease, Consequence(event, 0, 1, 60), failure=failure, actor=TESTER)
    assert after.status is (Status.CANCELLED if asked == "cancel" else Status.PAUSED)
    assert (after.cancel_requested_at, after.pause_requested_at) == (None, None)
    sound(database)


def test_a_crawl_that_was_complete_when_it_was_cancelled_is_complete(database: Database, claimed: lease.Claim) -> None:
    with database.write() as conn:
        queue.cancel_job(conn, claimed.job.id, actor=TESTER, reason="x")
        after = lease.finish(conn, claimed.lease, DONE, failure=None, actor=TESTER)
    assert (after.status, after.cancel_requested_at) == (Status.COMPLETED, None)


@pytest.mark.parametrize("ask", [queue.pause_job, queue.cancel_job])
def test_a_job_remembers_why_a_person_stopped_it(database: Database, claimed: lease.Claim, ask: Callable[..., Job]) -> None:
    stopped = Failure(FailureClass.CANCELLED, "asked to stop")
    event = Event.PAUSE if ask is queue.pause_job else Event.CANCEL
    with database.write() as conn:
        ask(conn, claimed.job.id, actor=TESTER, reason="the agency asked")
        ended = lease.finish(conn, claimed.lease, Consequence(event, 0, 0, 0), failure=stopped, actor=TESTER)
        (attempt,) = queries.attempts(conn, claimed.job.id)
    assert (ended.reason, attempt.reason) == ("the agency asked", "asked to stop")


def test_a_pause_taken_back_in_time_only_gives_the_lease_back(database: Database, claimed: lease.Claim) -> None:
    stopped = Failure(FailureClass.CANCELLED, "x", intent=Intent.PAUSE)
    with database.write() as conn:
        after = lease.finish(conn, claimed.lease, Consequence(Event.PAUSE, 0, 0, 0), failure=stopped, actor=TESTER)
    assert after.status is Status.QUEUED


def test_the_child_of_an_attempt_outlives_an_adoption_but_not_the_attempt(
    database: Database, clock: FakeClock, claimed: lease.Claim
) -> None:
    def child(conn: Connection) -> None:
        lease.assert_attempt(conn, job_id=claimed.job.id, attempt_id=claimed.attempt.id, fence=claimed.lease.fence)

    clock.advance(seconds=91)
    taken = adopt(database, claimed.job)
    assert taken is not None
    with database.write() as conn:
        child(conn)
        lease.finish(conn, taken.lease, DONE, failure=None, actor=TESTER)
    with pytest.raises(StaleFence), database.write() as conn:
        child(conn)


def test_an_expired_attempt_of_another_host_is_ended_without_budget(
    database: Database, clock: FakeClock, claimed: lease.Claim
) -> None:
    with database.write() as conn:
        assert not lease.recover(conn, claimed.job, actor=TESTER, reason="x", stage="lease_expired", only_expired=True)
    clock.advance(seconds=91)
    with database.write() as conn:
        assert lease.recover(conn, claimed.job, actor=TESTER, reason="x", stage="lease_expired", only_expired=True)
    with database.read() as conn:
        after, attempt = queries.get(conn, claimed.job.id), queries.attempts(conn, claimed.job.id)[0]
    assert (after.status, after.retry_count, after.host) == (Status.RETRYABLE, 0, "here")
    assert attempt.failure_class is FailureClass.INFRA
    sound(database)


def test_a_lease_from_before_the_clock_was_set_back_is_shortened(
    database: Database, clock: FakeClock, claimed: lease.Claim
) -> None:
    clock.advance(minutes=-60)
    with database.write() as conn:
        assert lease.shorten(conn, lease_seconds=90) == 1
        assert lease.shorten(conn, lease_seconds=90) == 0
    clock.advance(seconds=91)
    assert adopt(database, claimed.job) is not None


def test_holders_know_the_process_of_their_worker(database: Database, claimed: lease.Claim, clock: FakeClock) -> None:
    with database.write() as conn:
        registry.register(conn, "w1", host="here", process="boot:7:8")
    with database.read() as conn:
        (holder,) = lease.holders(conn, clock.at)
    assert (holder.job.id, holder.process, holder.host, holder.expired) == (claimed.job.id, "boot:7:8", "here", False)
