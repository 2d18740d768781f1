"""Row W8: what `next_jobs` shows is what workers claim, in that order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.rigs.clocks import FakeClock
from tests.rigs.jobs import TESTER, add_jobs

from healtharchive.db import Database
from healtharchive.jobs import queue
from healtharchive.jobs.model import Status
from healtharchive.jobs.tables import job as job_table

NOW = datetime(2026, 1, 24, 6, 28, tzinfo=UTC)
instants = st.integers(-5, 5).map(lambda minutes: NOW + timedelta(minutes=minutes))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "status": st.sampled_from([s for s in Status if s not in (Status.RUNNING, Status.INDEXING)]),
            "queued_at": st.none() | instants,
            "created_at": instants,
            "next_attempt_at": instants,
            "infra_failures": st.integers(0, 2),
            "retry_count": st.integers(0, 1),
            "host": st.sampled_from([None, "here", "there"]),
            "source": st.sampled_from(["hc", "phac"]),
            "cancel_requested_at": st.none() | instants,
        }
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=rows, paused=st.sampled_from([None, "hc", "phac"]))
def _check(database: Database, rows: list[dict[str, object]], paused: str | None) -> None:
    with database.write() as conn:
        conn.execute(sa.text("UPDATE job SET status = 'cancelled'"))  # those of the example before
        conn.execute(sa.text("UPDATE attempt SET ended_at = started_at"))
        conn.execute(sa.text("DELETE FROM pause"))
    made = add_jobs(database, len(rows))
    with database.write() as conn:
        for job, row in zip(made, rows, strict=True):
            conn.execute(sa.update(job_table).where(job_table.c.id == job.id).values(row))
        if paused is not None:
            queue.pause_scope(conn, "source", paused, actor=TESTER, reason="x")
    with database.read() as conn:
        shown = [job.id for job in queue.next_jobs(conn, 100, host="here")]
        assert shown == [job.id for n in range(len(shown)) for job in [queue.next_jobs(conn, n + 1, host="here")[n]]]
    claimed = []
    while True:
        claim = queue.claim(
            database,
            worker_id="w",
            host="here",
            lease_seconds=90,
            engine_of=lambda kind: kind.value,
            admit=lambda job: True,
        )
        if claim is None:
            break
        claimed.append(claim.job.id)
    assert claimed == shown
    assert all(_may_run(row, paused) is (job.id in shown) for job, row in zip(made, rows, strict=True))


def _may_run(row: dict[str, object], paused: str | None) -> bool:
    """The rule in other words."""
    due = row["next_attempt_at"] <= NOW or (row["infra_failures"], row["retry_count"]) == (0, 0)  # type: ignore[operator]
    return (
        row["status"] in (Status.QUEUED, Status.RETRYABLE, Status.COMPLETED)
        and due
        and row["host"] in (None, "here")
        and row["source"] != paused
        and row["cancel_requested_at"] is None
    )


def test_the_next_n_are_the_ones_that_are_claimed(database_url: str) -> None:
    database = Database(database_url, clock=FakeClock(NOW))
    try:
        _check(database)
    finally:
        database.close()


@pytest.mark.parametrize("count", [1, 3])
def test_two_workers_never_get_the_same_job(database_url: str, count: int) -> None:
    first, second = Database(database_url), Database(database_url)
    add_jobs(first, count)
    seen = []
    for _ in range(count):
        for database in (first, second):
            claim = queue.claim(
                database,
                worker_id="w",
                host="here",
                lease_seconds=90,
                engine_of=lambda kind: kind.value,
                admit=lambda job: True,
            )
            seen += [claim.job.id] if claim else []
    first.close()
    second.close()
    assert len(seen) == len(set(seen)) == count
