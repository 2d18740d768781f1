"""Rows W3, W5, W9: a storm of ENOTCONN costs no budget, is tried at most once a window, and never holds up a healthy job.

The clock is the test's; the rest is real: the worker, its database, its child processes, and in the second test the errno
itself, by a FUSE mount whose server is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

import pytest
from tests.rigs import invariants
from tests.rigs.clocks import FakeClock
from tests.rigs.jobs import LastWordLauncher, SteadyLauncher, add_jobs, ended
from tests.rigs.stale_mount import stale_mount

from healtharchive import journal
from healtharchive.crawl.engine import End
from healtharchive.db import Database
from healtharchive.instance import Instance
from healtharchive.jobs import queries
from healtharchive.jobs.launch import Launcher
from healtharchive.jobs.model import Job, Status
from healtharchive.jobs.worker import Worker

pytestmark = pytest.mark.timeout(180)

FAILURES = 20
WINDOW_SECONDS = 45  # the shortest wait there is: 60 s, shortened by at most a quarter


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def instance(instance: Instance, clock: FakeClock) -> Iterator[Instance]:
    storage = instance.settings.storage.model_copy(update={"reserve_bytes": 0})
    database = Database(instance.settings.database.url, clock=clock)
    yield replace(instance, settings=instance.settings.model_copy(update={"storage": storage}), db=database)
    database.close()


def work(instance: Instance, launcher: Launcher) -> None:
    """Everything that is due now, by one slot."""
    Worker(instance, launcher=launcher, until_idle=True, max_jobs=1).run()


def look(instance: Instance, job_id: int) -> Job:
    with instance.db.read() as conn:
        assert invariants.broken(conn) == []
        return queries.get(conn, job_id)


def picks(instance: Instance, job_id: int) -> list[datetime]:
    """The instants at which the job was tried, each of which ended in a failure."""
    failed = ("job.retry_later", "job.defer", "job.park")
    with instance.db.read() as conn:
        rows = journal.entries(conn, target=f"job:{job_id}", limit=1000)
    return sorted(entry.at for entry in rows if entry.action in failed)


def assert_at_most_one_a_window(tried: list[datetime]) -> None:
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(tried)]
    assert min(gaps) >= WINDOW_SECONDS
    assert max(gaps) <= 3600 + 30


def test_twenty_infra_ends_leave_the_budget_alone_and_healthy_jobs_run_at_once(instance: Instance, clock: FakeClock) -> None:
    sick = add_jobs(instance.db, 1)[0]
    stale = LastWordLauncher(instance, ended(End.INFRA, reason="Transport endpoint is not connected", errno=107))
    while len(tried := picks(instance, sick.id)) < FAILURES:
        work(instance, stale)
        healthy = add_jobs(instance.db, 1, source="phac")[0]
        work(instance, SteadyLauncher(instance) if len(tried) % 5 == 0 else LastWordLauncher(instance, ended(End.COMPLETE)))
        assert look(instance, healthy.id).status is Status.INDEXED, "the healthy job behind runs at once"
        assert look(instance, sick.id).retry_count == 0
        clock.advance(seconds=30)
        while look(instance, sick.id).next_attempt_at > clock.at:
            clock.advance(seconds=30)
    assert_at_most_one_a_window(tried)
    assert look(instance, sick.id).infra_failures == FAILURES
    assert look(instance, sick.id).crawler_status == "infra_error"


def test_twenty_enotconn_of_a_stale_mount_leave_no_attempt_behind(instance: Instance, clock: FakeClock) -> None:
    sick, healthy = add_jobs(instance.db, 1)[0], add_jobs(instance.db, 1, source="phac")[0]
    place = instance.jobs_root / sick.output_dir
    place.mkdir(parents=True)
    with stale_mount(place):
        work(instance, SteadyLauncher(instance))
        assert look(instance, healthy.id).status is Status.INDEXED
        for _ in range(3000):
            if len(tried := picks(instance, sick.id)) >= FAILURES:
                break
            clock.advance(seconds=30)
            if look(instance, sick.id).next_attempt_at <= clock.at:
                work(instance, SteadyLauncher(instance))
        assert_at_most_one_a_window(tried)
        seen = look(instance, sick.id)
        assert (seen.retry_count, seen.status, seen.crawler_stage) == (0, Status.PAUSED, "parked")
        with instance.db.read() as conn:
            assert queries.attempts(conn, sick.id) == []
            assert journal.entries(conn, target=f"job:{sick.id}")[0].evidence == {"errno": 107, "infra_failures": 10}
    clock.advance(seconds=3600)
    work(instance, SteadyLauncher(instance))
    assert look(instance, sick.id).status is Status.INDEXED, "it comes back by itself"
