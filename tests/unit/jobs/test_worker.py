"""The worker with real child processes: outcomes, intents, adoption, draining, storage that fails inside an iteration."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.rigs import invariants, steady_engine
from tests.rigs.instances import quick
from tests.rigs.jobs import TESTER, LastWordLauncher, SteadyLauncher, add_jobs, ended

from healtharchive.crawl.engine import MANIFEST_FILE, WARC_DIR, End
from healtharchive.errors import Locked, StorageUnavailable
from healtharchive.host import ProcessId
from healtharchive.instance import Instance
from healtharchive.jobs import lease, queries, queue, registry
from healtharchive.jobs.launch import Launcher
from healtharchive.jobs.lease import Claim
from healtharchive.jobs.model import Attempt, FailureClass, Job, Kind, Status
from healtharchive.jobs.worker import Worker
from healtharchive.storage import spool

pytestmark = pytest.mark.timeout(60)

SLOW = steady_engine.profile(pages=400, page_ms=50)


@pytest.fixture
def instance(instance: Instance) -> Instance:
    """With short waits, and no reserve of disk."""
    return quick(instance)


def run(instance: Instance, launcher: Launcher, *, max_jobs: int | None = None, only_job: int | None = None) -> Worker:
    worker = Worker(instance, launcher=launcher, until_idle=True, max_jobs=max_jobs, only_job=only_job)
    worker.run()
    return worker


@contextmanager
def running(instance: Instance, launcher: Launcher) -> Iterator[Worker]:
    """A worker in a thread, drained at the end."""
    worker = Worker(instance, launcher=launcher)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.drain()
        thread.join(timeout=30)
        assert not thread.is_alive()


def job_of(instance: Instance, job_id: int) -> Job:
    with instance.db.read() as conn:
        assert invariants.broken(conn) == []
        return queries.get(conn, job_id)


def attempts_of(instance: Instance, job_id: int) -> list[Attempt]:
    with instance.db.read() as conn:
        return list(queries.attempts(conn, job_id))


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def captured(instance: Instance, job_id: int) -> int:
    attempts = attempts_of(instance, job_id)
    return (attempts[-1].counts or {}).get("captured", 0) if attempts else 0


def test_several_jobs_are_crawled_registered_and_indexed(instance: Instance) -> None:
    jobs = add_jobs(instance.db, 3)
    run(instance, SteadyLauncher(instance), max_jobs=3)
    for job in jobs:
        after = job_of(instance, job.id)
        assert (after.status, after.crawler_status, after.crawler_exit_code) == (Status.INDEXED, "success", 0)
        crawl, index = attempts_of(instance, job.id)
        assert (crawl.kind, index.kind) == (Kind.CRAWL, Kind.INDEX)
        assert (crawl.counts or {})["captured"] == 3
        assert crawl.process is not None
        with instance.db.read() as conn:
            (warc,) = spool.warcs_of(conn, job_id=job.id)
        assert (instance.jobs_root / warc.path).stat().st_size == warc.size_bytes


@pytest.mark.parametrize(
    ("end", "status", "failure_class", "retry_count"),
    [
        (End.CRAWL, Status.RETRYABLE, FailureClass.CRAWL, 1),
        (End.INFRA, Status.RETRYABLE, FailureClass.INFRA, 0),
        (End.RESERVE, Status.RETRYABLE, FailureClass.INFRA, 0),
        (End.FENCED, Status.RETRYABLE, FailureClass.INFRA, 0),
        (End.CONFIG, Status.FAILED, FailureClass.CONFIG, 0),
    ],
)
def test_what_follows_from_an_engines_last_word(
    instance: Instance, end: End, status: Status, failure_class: FailureClass, retry_count: int
) -> None:
    job = add_jobs(instance.db, 1)[0]
    run(instance, LastWordLauncher(instance, ended(end, reason="because", errno=28)))
    after, (attempt,) = job_of(instance, job.id), attempts_of(instance, job.id)
    assert (after.status, after.retry_count, after.reason) == (status, retry_count, "because")
    assert (attempt.failure_class, attempt.errno) == (failure_class, 28)
    if status is Status.RETRYABLE:
        assert (after.next_attempt_at - (attempt.ended_at or after.updated_at)).total_seconds() >= 44


@pytest.mark.parametrize("code", [0, 3])
def test_an_engine_without_a_last_word_counts_against_the_budget(instance: Instance, code: int) -> None:
    job = add_jobs(instance.db, 1)[0]
    run(instance, LastWordLauncher(instance, code=code))
    assert (job_of(instance, job.id).retry_count, attempts_of(instance, job.id)[0].exit_code) == (1, code)


def test_a_killed_engine_is_infra_and_the_next_attempt_goes_on(instance: Instance) -> None:
    instance = quick(instance, infra_backoff_min_seconds=1)
    job = add_jobs(instance.db, 1)[0]
    with running(instance, SteadyLauncher(instance, steady_engine.profile(pages=20, page_ms=50))):
        wait_for(lambda: captured(instance, job.id) >= 3)
        engine = ProcessId.parse(attempts_of(instance, job.id)[0].process or "")
        assert instance.host.processes.signal(engine, signal.SIGKILL)
        wait_for(lambda: job_of(instance, job.id).status is Status.INDEXED)
    first, second, _ = attempts_of(instance, job.id)
    assert (first.failure_class, first.exit_code) == (FailureClass.INFRA, -9)
    assert (second.failure_class, (second.counts or {})["captured"]) == (None, 20)
    assert job_of(instance, job.id).retry_count == 0


def test_run_it_now_spends_one_failure_and_not_the_whole_budget(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    run(instance, LastWordLauncher(instance, code=1), only_job=job.id)
    assert len(attempts_of(instance, job.id)) == 1
    run(instance, LastWordLauncher(instance, code=1), only_job=job.id)
    assert len(attempts_of(instance, job.id)) == 2, "asked again, it runs again, wait or not"


def test_a_second_run_of_the_same_job_is_refused_while_the_first_runs(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    with running(instance, SteadyLauncher(instance, SLOW)):
        wait_for(lambda: captured(instance, job.id))
        with pytest.raises(Locked, match="already running"):
            run(instance, SteadyLauncher(instance), only_job=job.id)


def test_cancel_is_carried_to_the_engine_and_keeps_what_was_captured(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    with running(instance, SteadyLauncher(instance, SLOW)):
        wait_for(lambda: captured(instance, job.id))
        with instance.db.write() as conn:
            queue.cancel_job(conn, job.id, actor=TESTER, reason="enough")
        wait_for(lambda: job_of(instance, job.id).status is Status.CANCELLED)
    (attempt,) = attempts_of(instance, job.id)
    assert attempt.failure_class is FailureClass.CANCELLED
    with instance.db.read() as conn:
        assert len(spool.warcs_of(conn, job_id=job.id)) == 1


def test_pause_checkpoints_and_resume_goes_on_without_spending_budget(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    with running(instance, SteadyLauncher(instance, steady_engine.profile(pages=150, page_ms=30))):
        wait_for(lambda: captured(instance, job.id) >= 2)
        with instance.db.write() as conn:
            queue.pause_job(conn, job.id, actor=TESTER, reason="quiet hours")
        wait_for(lambda: job_of(instance, job.id).status is Status.PAUSED)
        done = captured(instance, job.id)
        assert 2 <= done < 150
        with instance.db.write() as conn:
            queue.resume_job(conn, job.id, actor=TESTER, reason="go on")
        wait_for(lambda: job_of(instance, job.id).status is Status.INDEXED)
    assert job_of(instance, job.id).retry_count == 0
    assert len(attempts_of(instance, job.id)) == 3


def test_a_drained_worker_gives_its_jobs_back_at_a_checkpoint_without_budget(instance: Instance) -> None:
    jobs = add_jobs(instance.db, 2)
    with running(instance, SteadyLauncher(instance, SLOW)) as worker:
        wait_for(lambda: all(captured(instance, job.id) for job in jobs))
    for job in jobs:
        after = job_of(instance, job.id)
        assert (after.status, after.retry_count, after.infra_failures, after.worker_id) == (Status.QUEUED, 0, 0, None)
        assert after.queued_at == job.queued_at, "it keeps its place"
    with instance.db.read() as conn:
        row = queries.worker(conn, worker.id)
    assert row is not None
    assert row.ended_at is not None


def test_a_worker_told_twice_leaves_its_crawls_to_the_next_one(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    launcher = SteadyLauncher(instance, steady_engine.profile(pages=60, page_ms=50))
    with running(instance, launcher) as first:
        wait_for(lambda: captured(instance, job.id))
        first.drain()
        first.drain()
    (attempt,) = attempts_of(instance, job.id)
    assert attempt.ended_at is None, "it did not wait for the crawl"
    wait_for(lambda: expired(instance, job.id))  # this process lives, so that the lease must run out first
    with running(instance, launcher):
        wait_for(lambda: job_of(instance, job.id).status is Status.INDEXED)
    assert job_of(instance, job.id).retry_count == 0


def expired(instance: Instance, job_id: int) -> bool:
    until = job_of(instance, job_id).lease_until
    return until is not None and until <= instance.host.clock.now()


def dead_process(instance: Instance) -> str:
    """The identity of a process that was and is no more."""
    child = instance.host.processes.spawn(["/bin/true"], cwd=Path("/"), log=Path(os.devnull))
    wait_for(child.poll)
    return str(child.id)


def left_behind(instance: Instance, launcher: SteadyLauncher | None) -> Claim:
    """A job whose worker died: before its engine began, or with the engine running."""
    add_jobs(instance.db, 1)
    with instance.db.write() as conn:
        registry.register(conn, "dead", host=instance.host.name, process=dead_process(instance))
    claim = queue.claim(
        instance.db,
        worker_id="dead",
        host=instance.host.name,
        lease_seconds=3600,
        engine_of=lambda kind: "steady",
        admit=lambda job: True,
    )
    assert claim is not None
    if launcher is not None:
        directory = instance.jobs_root / claim.attempt.directory
        launcher.start(claim, directory, instance.host.clock.boottime() + 60)
    return claim


def test_a_running_crawl_of_a_dead_worker_is_adopted_at_once_and_not_restarted(instance: Instance) -> None:
    claim = left_behind(instance, SteadyLauncher(instance, steady_engine.profile(pages=30, page_ms=30)))
    run(instance, SteadyLauncher(instance))
    crawl, index = attempts_of(instance, claim.job.id)
    assert (crawl.fence, crawl.failure_class, (crawl.counts or {})["captured"]) == (1, None, 30)
    assert index.kind is Kind.INDEX
    assert job_of(instance, claim.job.id).status is Status.INDEXED


def test_a_crawl_that_ended_while_nobody_looked_is_complete_and_its_warcs_are_registered(instance: Instance) -> None:
    claim = left_behind(instance, SteadyLauncher(instance))
    manifest = instance.jobs_root / claim.job.output_dir / WARC_DIR / MANIFEST_FILE
    wait_for(manifest.exists)
    time.sleep(0.3)
    run(instance, SteadyLauncher(instance))
    crawl, _ = attempts_of(instance, claim.job.id)
    assert crawl.failure_class is None
    with instance.db.read() as conn:
        assert len(spool.warcs_of(conn, job_id=claim.job.id)) == 1


def test_a_job_whose_worker_died_before_the_engine_began_starts_again_at_once(instance: Instance) -> None:
    claim = left_behind(instance, None)
    run(instance, SteadyLauncher(instance))
    first, second, _ = attempts_of(instance, claim.job.id)
    assert (first.failure_class, second.failure_class) == (FailureClass.CANCELLED, None)
    assert job_of(instance, claim.job.id).infra_failures == 0


def test_an_expired_attempt_of_another_host_is_ended_but_its_job_waits_for_that_host(instance: Instance) -> None:
    claim = left_behind(instance, None)
    with instance.db.write() as conn:
        conn.execute(sa.text("UPDATE job SET host = 'elsewhere'"))
        conn.execute(sa.text("UPDATE attempt SET host = 'elsewhere'"))
        conn.execute(sa.text("UPDATE worker SET host = 'elsewhere'"))
    run(instance, SteadyLauncher(instance))
    assert job_of(instance, claim.job.id).status is Status.RUNNING, "its lease still runs"
    with instance.db.write() as conn:
        lease.renew(conn, claim.lease, lease_seconds=0)
    run(instance, SteadyLauncher(instance))
    after = job_of(instance, claim.job.id)
    assert (after.status, after.host, after.retry_count) == (Status.RETRYABLE, "elsewhere", 0)
    assert len(attempts_of(instance, claim.job.id)) == 1


def test_a_broken_directory_of_one_job_does_not_keep_the_others_from_running(instance: Instance) -> None:
    broken, healthy = add_jobs(instance.db, 1, source="phac")[0], add_jobs(instance.db, 1)[0]
    (instance.jobs_root / "phac").write_text("in the way")
    run(instance, SteadyLauncher(instance), max_jobs=1)
    assert job_of(instance, healthy.id).status is Status.INDEXED
    after = job_of(instance, broken.id)
    assert (after.status, after.retry_count, after.infra_failures) == (Status.QUEUED, 0, 1)
    assert attempts_of(instance, broken.id) == []


def test_a_jobs_root_that_cannot_be_used_is_one_sentence_for_the_person_who_waits(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    instance.jobs_root.rename(instance.root / "away")
    with pytest.raises(StorageUnavailable, match="No job can run here"):
        run(instance, SteadyLauncher(instance), only_job=job.id)
    assert job_of(instance, job.id).infra_failures == 0


def test_a_launch_that_fails_is_classified_and_the_next_job_runs(instance: Instance) -> None:
    first, second = add_jobs(instance.db, 2)

    class Failing(SteadyLauncher):
        def start(self, claim: Claim, directory: Path, until_boottime: float):  # type: ignore[no-untyped-def]
            if claim.job.id == first.id:
                raise RuntimeError("state") from OSError(107, "Transport endpoint is not connected", str(directory))
            return super().start(claim, directory, until_boottime)

    run(instance, Failing(instance), max_jobs=1)
    assert job_of(instance, second.id).status is Status.INDEXED
    after = job_of(instance, first.id)
    assert (after.status, after.retry_count, after.crawler_status) == (Status.RETRYABLE, 0, "infra_error")
    assert attempts_of(instance, first.id)[0].errno == 107


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_worker_whose_database_hangs_stops_its_crawl_before_the_lease_ends(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    with running(instance, SteadyLauncher(instance, SLOW)):
        wait_for(lambda: captured(instance, job.id))
        engine = ProcessId.parse(attempts_of(instance, job.id)[0].process or "")
        other = sqlite3.connect(instance.db.url.database or "")
        other.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        wait_for(lambda: not instance.host.processes.is_alive(engine))
        assert time.monotonic() - began < instance.settings.worker.lease_seconds
        other.rollback()
        other.close()
        wait_for(lambda: len(attempts_of(instance, job.id)) == 2)
    first = attempts_of(instance, job.id)[0]
    assert first.failure_class is not FailureClass.CRAWL
    assert job_of(instance, job.id).retry_count == 0


def test_workers_that_died_without_a_word_are_buried_by_the_next(instance: Instance) -> None:
    with instance.db.write() as conn:
        registry.register(conn, "dead", host=instance.host.name, process=dead_process(instance))
        registry.register(conn, "far", host="elsewhere", process=dead_process(instance))
    run(instance, SteadyLauncher(instance))
    with instance.db.read() as conn:
        assert [row.id for row in queries.workers(conn)] == ["far"]


def test_of_two_simultaneous_runs_of_one_job_one_wins_and_the_other_says_so(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]
    launcher = SteadyLauncher(instance, steady_engine.profile(pages=100, page_ms=50))
    refused: list[Locked] = []

    def attempt() -> None:
        try:
            run(instance, launcher, only_job=job.id)
        except Locked as error:
            refused.append(error)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=90)
    assert len(refused) == 1
    assert job_of(instance, job.id).status is Status.INDEXED
    assert [attempt.kind for attempt in attempts_of(instance, job.id)] == [Kind.CRAWL, Kind.INDEX]


def test_a_display_that_fails_does_not_cost_a_crawl(instance: Instance) -> None:
    job = add_jobs(instance.db, 1)[0]

    def broken(job_id: int, event: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    Worker(instance, launcher=SteadyLauncher(instance), until_idle=True, on_event=broken).run()
    assert job_of(instance, job.id).status is Status.INDEXED
    assert len(attempts_of(instance, job.id)) == 2
