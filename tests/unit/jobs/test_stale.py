"""Row W11: lease free, held or unknown, by progress fresh, old or unknown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from healtharchive.jobs import stale
from healtharchive.jobs.model import Attempt, Job, Kind, Status
from healtharchive.jobs.stale import Hold

NOW = datetime(2026, 2, 6, 2, 35, tzinfo=UTC)
LONG_AGO = NOW - timedelta(hours=20)
JOB = Job(
    id=6,
    source_id=1,
    source="hc",
    name="hc-20260101",
    status=Status.RUNNING,
    config={},
    output_dir="hc/x",
    host="vps",
    fence=3,
    lease_token="t",
    lease_until=NOW - timedelta(seconds=1),
    worker_id="w",
    retry_count=0,
    infra_failures=0,
    next_attempt_at=LONG_AGO,
    queued_at=LONG_AGO,
    created_at=LONG_AGO,
    updated_at=LONG_AGO,
    started_at=LONG_AGO,
    finished_at=None,
    cancel_requested_at=None,
    pause_requested_at=None,
    crawler_status=None,
    crawler_stage=None,
    crawler_exit_code=None,
    reason=None,
    indexed_page_count=0,
)
ATTEMPT = Attempt(
    id=9,
    job_id=6,
    n=2,
    kind=Kind.CRAWL,
    engine="http",
    fence=3,
    worker_id="w",
    host="vps",
    process=None,
    directory="hc/x/attempts/0002",
    log_path="hc/x/attempts/0002/engine.log",
    started_at=LONG_AGO,
    heartbeat_at=LONG_AGO,
    progress_at=LONG_AGO,
    ended_at=None,
    failure_class=None,
    exit_code=None,
    errno=None,
    reason=None,
    counts=None,
)
FRESH, OLD, UNKNOWN = replace(ATTEMPT, progress_at=NOW - timedelta(seconds=30)), ATTEMPT, None


@pytest.mark.parametrize("held", list(Hold))
@pytest.mark.parametrize(("attempt", "idle"), [(FRESH, False), (OLD, True), (UNKNOWN, True)])
def test_only_a_free_lease_without_fresh_progress_is_stale(held: Hold, attempt: Attempt | None, idle: bool) -> None:
    found = stale.judge(JOB, attempt, held=held, now=NOW, older_than_minutes=10, require_no_progress_seconds=3600)
    assert found.is_stale is (held is Hold.FREE and idle)
    assert found.reason


def test_without_a_limit_of_progress_a_free_lease_is_enough() -> None:
    assert stale.judge(JOB, FRESH, held=Hold.FREE, now=NOW, older_than_minutes=10).is_stale


def test_a_young_attempt_and_a_job_that_does_not_run_are_left_alone() -> None:
    young = replace(ATTEMPT, started_at=NOW - timedelta(minutes=9))
    assert not stale.judge(JOB, young, held=Hold.FREE, now=NOW, older_than_minutes=10).is_stale
    assert not stale.judge(replace(JOB, status=Status.PAUSED), None, held=Hold.FREE, now=NOW, older_than_minutes=10).is_stale


def test_older_than_must_be_above_zero() -> None:
    with pytest.raises(ValueError):
        stale.judge(JOB, ATTEMPT, held=Hold.FREE, now=NOW, older_than_minutes=0)


@pytest.mark.parametrize(
    ("until", "alive", "expected"),
    [
        (NOW - timedelta(seconds=1), True, Hold.FREE),  # expired: fenced, whether its worker lives or not
        (NOW + timedelta(seconds=60), True, Hold.HELD),
        (NOW + timedelta(seconds=60), False, Hold.FREE),
        (NOW + timedelta(seconds=60), None, Hold.UNKNOWN),
        (None, True, Hold.FREE),
    ],
)
def test_what_is_known_about_the_holder(until: datetime | None, alive: bool | None, expected: Hold) -> None:
    assert stale.hold(replace(JOB, lease_until=until), now=NOW, holder_alive=alive) is expected
