"""The transition table and both databases agree, whatever is done to a job and in whichever order.

The model is `lifecycle` alone: it says which status must follow or that the act is refused. After every act the row has that
status, a refused act has changed nothing, writes of leases that were lost are refused, and rules W1 and W2 hold.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from tests.rigs import invariants
from tests.rigs.clocks import FakeClock
from tests.rigs.databases import Databases, Kind
from tests.rigs.jobs import TESTER, add_jobs

from healtharchive.db import Database
from healtharchive.errors import Refused, StaleFence
from healtharchive.jobs import lease, lifecycle, queries, queue, retry
from healtharchive.jobs.classify import Failure, Intent
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import FailureClass, Job, Lease, Status

POLICY = retry.Policy(park_after=3)
ASKED = {
    Event.PAUSE: queue.pause_job,
    Event.RESUME: queue.resume_job,
    Event.CANCEL: queue.cancel_job,
    Event.RETRY: queue.retry_job,
}
FAILURES = [
    None,
    Failure(FailureClass.INFRA, "stale", 107),
    Failure(FailureClass.CRAWL, "no seed"),
    Failure(FailureClass.CONFIG, "bad"),
    *(Failure(FailureClass.CANCELLED, "stopped", intent=intent) for intent in Intent),
]


class JobMachine(RuleBasedStateMachine):
    """One job, its current lease, and every lease that was lost."""

    database: Database
    clock: FakeClock

    @initialize()
    def create(self) -> None:
        self.job_id = add_jobs(self.database, 1)[0].id
        self.held: Lease | None = None
        self.lost: list[Lease] = []

    @property
    def row(self) -> Job:
        with self.database.read() as conn:
            return queries.get(conn, self.job_id)

    @rule()
    def claim(self) -> None:
        before = self.row
        claimable = before.status in lifecycle.CLAIMABLE
        claimed = queue.claim(
            self.database,
            worker_id="w",
            host="here",
            lease_seconds=90,
            engine_of=lambda kind: kind.value,
            admit=lambda job: True,
            only_job=self.job_id,
            ignore_wait=True,
        )
        assert (claimed is not None) is claimable
        if claimed is not None:
            self.held = claimed.lease
            assert claimed.job.status is lifecycle.next_status(before.status, Event.CLAIM)
            assert claimed.job.fence == before.fence + 1

    @precondition(lambda self: self.held is not None)
    @rule(failure=st.sampled_from(FAILURES), progressed=st.booleans())
    def finish(self, failure: Failure | None, progressed: bool) -> None:
        assert self.held is not None
        before = self.row
        consequence = retry.after(
            failure,
            kind=lifecycle.ATTEMPT_OF[before.status],
            retry_count=before.retry_count,
            infra_failures=before.infra_failures,
            progressed=progressed,
            policy=POLICY,
            spread=0.5,
        )
        with self.database.write() as conn:
            after = lease.finish(conn, self.held, consequence, failure=failure, actor=TESTER)
        assert after.status in lifecycle.TRANSITIONS[before.status].values()
        if failure is None:
            assert after.status is lifecycle.next_status(before.status, Event.COMPLETE)
        if failure is not None and failure.failure_class is FailureClass.INFRA:
            assert after.retry_count == before.retry_count
        self._lose()

    @precondition(lambda self: self.held is not None)
    @rule(expired=st.booleans())
    def adopt(self, expired: bool) -> None:
        if expired:
            self.clock.advance(seconds=91)
        with self.database.write() as conn:
            claim = lease.adopt(conn, self.row_in(conn), worker_id="v", lease_seconds=90, holder_is_dead=False)
        assert (claim is not None) is expired
        if claim is not None:
            self._lose()
            self.held = claim.lease

    def row_in(self, conn: object) -> Job:
        return queries.get(conn, self.job_id)  # type: ignore[arg-type]

    @precondition(lambda self: self.held is not None)
    @rule()
    def recover(self) -> None:
        before = self.row
        with self.database.write() as conn:
            assert queue.recover_stale(conn, before, actor=TESTER, reason="drill")
        assert self.row.status in (lifecycle.next_status(before.status, Event.RECOVER), Status.CANCELLED)
        self._lose()

    @rule(event=st.sampled_from(sorted(ASKED)))
    def ask(self, event: Event) -> None:
        before = self.row
        takes_back = event is Event.RESUME and before.pause_requested_at is not None
        if before.status is Status.RUNNING and (event in (Event.PAUSE, Event.CANCEL) or takes_back):
            with self.database.write() as conn:
                assert ASKED[event](conn, self.job_id, actor=TESTER, reason="x").status is Status.RUNNING
            return
        legal = event in lifecycle.TRANSITIONS[before.status]
        try:
            with self.database.write() as conn:
                after = ASKED[event](conn, self.job_id, actor=TESTER, reason="x")
        except Refused:
            assert not legal
            assert self.row == before
            return
        assert legal
        assert after.status is lifecycle.next_status(before.status, event)

    @rule(row=st.integers(1, 3))
    def refuse_admission(self, row: int) -> None:
        before = self.row
        if before.status not in (Status.QUEUED, Status.RETRYABLE):
            return
        event = Event.PARK if row >= POLICY.park_after else Event.RETRY_LATER
        failure = Failure(FailureClass.INFRA, "stale", 107)
        with self.database.write() as conn:
            assert queue.defer(conn, before, retry.Consequence(event, before.retry_count, row, 60), failure=failure, actor=TESTER)
        after = self.row
        assert after.retry_count == before.retry_count
        assert after.next_attempt_at == self.clock.at + timedelta(seconds=60)
        assert after.status is (Status.PAUSED if event is Event.PARK else before.status)

    @rule()
    def reset(self) -> None:
        before = self.row
        try:
            with self.database.write() as conn:
                assert queue.reset_retry_count(conn, self.job_id, actor=TESTER, reason="x").retry_count == 0
        except Refused:
            assert before.status in lifecycle.ATTEMPT_OF

    @invariant()
    def no_late_write_lands(self) -> None:
        for old in getattr(self, "lost", [])[-2:]:
            before = self.row
            with pytest.raises(StaleFence), self.database.write() as conn:
                lease.finish(conn, old, retry.Consequence(Event.COMPLETE, 0, 0, 0), failure=None, actor=TESTER)
            with pytest.raises(StaleFence), self.database.write() as conn:
                lease.renew(conn, old, lease_seconds=90)
            assert self.row == before

    @invariant()
    def the_rules_of_rows_hold(self) -> None:
        with self.database.read() as conn:
            broken = [found for found in invariants.broken(conn) if "at most once" not in found]  # a person may index again
        assert broken == []

    def _lose(self) -> None:
        assert self.held is not None
        self.lost.append(self.held)
        self.held = None


def test_table_and_database_agree(databases: Databases, database_kind: Kind) -> None:
    url, clock = databases.fresh(database_kind), FakeClock()
    database = Database(url, clock=clock)
    machine = type("Machine", (JobMachine,), {"database": database, "clock": clock})
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
        )
    finally:
        database.close()
        databases.drop(url)
