"""Row W10: whatever place turns stale, and whenever the database goes away, the worker lives and the other jobs run.

The faults are real: FUSE mounts whose server is gone, connections cut by the server, a database file locked by somebody else.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.rigs import invariants, steady_engine
from tests.rigs.instances import quick
from tests.rigs.jobs import SteadyLauncher, add_jobs
from tests.rigs.stale_mount import stale_mount

from healtharchive.crawl.engine import WARC_DIR
from healtharchive.instance import Instance
from healtharchive.jobs import queries
from healtharchive.jobs.model import FailureClass, Status
from healtharchive.jobs.worker import Worker

pytestmark = [pytest.mark.drill, pytest.mark.timeout(90)]


@pytest.fixture
def instance(instance: Instance) -> Instance:
    return quick(instance, infra_backoff_min_seconds=1, infra_backoff_max_seconds=1)


@contextmanager
def running(instance: Instance, launcher: SteadyLauncher) -> Iterator[threading.Thread]:
    worker = Worker(instance, launcher=launcher)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield thread
    finally:
        worker.drain()
        thread.join(timeout=30)
        assert not thread.is_alive()


def wait_until(instance: Instance, job_id: int, status: Status, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 30
    while True:
        with instance.db.read() as conn:
            seen = queries.get(conn, job_id)
            if seen.status is status:
                return
        assert thread.is_alive(), "the worker died"
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)


@pytest.mark.parametrize("where", ["source", "job", "attempts", WARC_DIR])
def test_a_place_that_is_stale_before_the_crawl_costs_time_and_nothing_else(instance: Instance, where: str) -> None:
    sick, healthy = add_jobs(instance.db, 1)[0], add_jobs(instance.db, 1, source="phac")[0]
    output = instance.jobs_root / sick.output_dir
    place = {"source": output.parent, "job": output}.get(where, output / where)
    place.mkdir(parents=True)
    with running(instance, SteadyLauncher(instance)) as thread:
        with stale_mount(place):
            wait_until(instance, healthy.id, Status.INDEXED, thread)
            with instance.db.read() as conn:
                seen, tried = queries.get(conn, sick.id), queries.attempts(conn, sick.id)
            assert seen.retry_count == 0
            assert seen.status is not Status.FAILED
            assert {attempt.failure_class for attempt in tried} <= {None, FailureClass.INFRA}
            assert where in ("attempts", WARC_DIR) or not tried, "admission looks before an attempt exists"
        wait_until(instance, sick.id, Status.INDEXED, thread)


def test_a_job_directory_that_turns_stale_during_the_crawl(instance: Instance) -> None:
    sick, healthy = add_jobs(instance.db, 1)[0], add_jobs(instance.db, 1, source="phac")[0]
    launcher = SteadyLauncher(instance, steady_engine.profile(pages=40, page_ms=50))
    with running(instance, launcher) as thread:
        wait_until(instance, sick.id, Status.RUNNING, thread)
        time.sleep(0.7)
        with stale_mount(instance.jobs_root / sick.output_dir):
            wait_until(instance, healthy.id, Status.INDEXED, thread)
        wait_until(instance, sick.id, Status.INDEXED, thread)
    with instance.db.read() as conn:
        assert queries.get(conn, sick.id).retry_count == 0
        assert invariants.broken(conn) == []


def test_a_jobs_root_that_turns_stale_stops_claims_and_comes_back(instance: Instance) -> None:
    jobs = add_jobs(instance.db, 2)
    with running(instance, SteadyLauncher(instance)) as thread:
        with stale_mount(instance.jobs_root):
            more = add_jobs(instance.db, 1)
            time.sleep(2)
            assert thread.is_alive()
        for job in (*jobs, *more):
            wait_until(instance, job.id, Status.INDEXED, thread)


def test_a_database_that_cuts_or_blocks_its_clients_costs_no_attempt(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    launcher = SteadyLauncher(instance, steady_engine.profile(pages=60, page_ms=50))
    with running(instance, launcher) as thread:
        wait_until(instance, job.id, Status.RUNNING, thread)
        for _ in range(4):
            _disturb(instance)
            time.sleep(0.3)
        wait_until(instance, job.id, Status.INDEXED, thread)
    with instance.db.read() as conn:
        crawl, index = queries.attempts(conn, job.id)
        assert (crawl.failure_class, index.failure_class) == (None, None)
        assert invariants.broken(conn) == []


def _disturb(instance: Instance) -> None:
    if instance.db.dialect == "postgresql":
        cut = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        with instance.db.write() as conn:
            conn.execute(cut)
        return
    other = sqlite3.connect(Path(instance.db.url.database or ""))
    other.execute("BEGIN EXCLUSIVE")
    time.sleep(0.8)
    other.rollback()
    other.close()
