"""What is looked at before an attempt exists, and what a refusal leaves behind."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from tests.rigs.clocks import FakeClock
from tests.rigs.jobs import TESTER, add_jobs
from tests.rigs.stale_mount import stale_mount

from healtharchive import journal
from healtharchive.db import Database
from healtharchive.errors import ConfigurationError
from healtharchive.instance import Instance
from healtharchive.jobs import admission, breakers, queries, retry
from healtharchive.jobs.admission import Gate
from healtharchive.jobs.model import FailureClass, Job, Kind, Status

POLICY = retry.Policy()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def look(root: Path, *, reserve_bytes: int = 0, engine_module: str | None = None) -> str | None:
    failure = admission.host_failure(root, reserve_bytes=reserve_bytes, engine_module=engine_module)
    assert failure is None or failure.failure_class is FailureClass.INFRA
    return failure.reason if failure else None


def test_a_good_place_is_left_as_it_was_found(tmp_path: Path) -> None:
    assert look(tmp_path) is None
    assert admission.job_failure(tmp_path, "hc/x", kind=Kind.CRAWL) is None
    assert [path.name for path in tmp_path.rglob("*")] == ["hc", "x"]


def test_a_probe_left_by_a_killed_process_of_this_number_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".writable_test_{os.getpid()}").touch()
    assert look(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_too_little_space_a_missing_engine_and_a_missing_root_are_infra(tmp_path: Path) -> None:
    assert "reserve" in (look(tmp_path, reserve_bytes=1 << 60) or "")
    assert "not installed" in (look(tmp_path, engine_module="healtharchive.crawl.no_such_engine") or "")
    assert look(tmp_path, engine_module="healtharchive.crawl.engine") is None
    assert "No such file" in (look(tmp_path / "gone") or "")


def test_an_index_attempt_is_not_given_an_empty_directory_in_place_of_its_warcs(tmp_path: Path) -> None:
    failure = admission.job_failure(tmp_path, "hc/x", kind=Kind.INDEX)
    assert failure is not None
    assert failure.failure_class is FailureClass.INFRA
    assert not (tmp_path / "hc").exists()


@pytest.mark.parametrize("output_dir", ["../elsewhere", "/etc", "hc/../../x"])
def test_a_directory_outside_the_jobs_root_is_a_configuration_error(tmp_path: Path, output_dir: str) -> None:
    with pytest.raises(ConfigurationError):
        admission.job_failure(tmp_path / "jobs", output_dir, kind=Kind.CRAWL)
    assert list(tmp_path.iterdir()) == []


def test_a_stale_mount_is_named_by_its_errno(tmp_path: Path) -> None:
    place = tmp_path / "hc" / "x"
    place.mkdir(parents=True)
    with stale_mount(place):
        failure = admission.job_failure(tmp_path, "hc/x", kind=Kind.CRAWL)
        below = admission.job_failure(tmp_path, "hc/x/deeper", kind=Kind.CRAWL)
    assert failure is not None
    assert (failure.errno, failure.failure_class) == (107, FailureClass.INFRA)
    assert below is not None
    assert below.errno == 107
    assert admission.job_failure(tmp_path, "hc/x", kind=Kind.CRAWL) is None


class TestGate:
    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def instance(self, instance: Instance, clock: FakeClock) -> Instance:
        settings = instance.settings.model_copy(
            update={"storage": instance.settings.storage.model_copy(update={"reserve_bytes": 0})}
        )
        database = Database(instance.settings.database.url, clock=clock)
        return replace(instance, settings=settings, db=database)

    def gate(self, instance: Instance) -> Gate:
        return Gate(instance, engine_module=None, policy=POLICY, actor=TESTER)

    def job(self, instance: Instance, job_id: int) -> Job:
        with instance.db.read() as conn:
            return queries.get(conn, job_id)

    def test_a_refusal_costs_no_attempt_and_no_budget_and_the_tenth_parks(self, instance: Instance, clock: FakeClock) -> None:
        job = add_jobs(instance.db, 1)[0]
        (instance.jobs_root / "hc").write_text("not a directory")
        for number in range(1, 11):
            assert not self.gate(instance).admits(self.job(instance, job.id))
            seen = self.job(instance, job.id)
            assert (seen.retry_count, seen.infra_failures) == (0, number)
            assert seen.next_attempt_at > clock.at
        assert (seen.status, seen.crawler_stage) == (Status.PAUSED, "parked")
        with instance.db.read() as conn:
            assert queries.attempts(conn, job.id) == []
            assert journal.entries(conn, target=f"job:{job.id}")[0].action == "job.park"

    def test_a_parked_job_comes_back_by_itself_when_its_place_is_well(self, instance: Instance, clock: FakeClock) -> None:
        job = add_jobs(instance.db, 1)[0]
        (instance.jobs_root / "hc").write_text("not a directory")
        for _ in range(10):
            self.gate(instance).admits(self.job(instance, job.id))
        self.gate(instance).try_parked(self.job(instance, job.id))
        assert self.job(instance, job.id).status is Status.PAUSED
        (instance.jobs_root / "hc").unlink()
        self.gate(instance).try_parked(self.job(instance, job.id))
        assert self.job(instance, job.id).status is Status.QUEUED

    def test_a_broken_root_opens_one_breaker_and_blames_no_job(self, instance: Instance, clock: FakeClock) -> None:
        jobs = add_jobs(instance.db, 3)
        away = instance.jobs_root.rename(instance.root / "away")
        gate = self.gate(instance)
        assert not any(gate.admits(job) for job in jobs)
        assert gate.host_failure is not None
        with instance.db.read() as conn:
            (opened,) = breakers.all_open(conn)
        assert (opened.domain, opened.failures) == (f"jobs-root@{instance.host.name}", 1), "one look, not one a job"
        assert [self.job(instance, job.id).infra_failures for job in jobs] == [0, 0, 0]
        away.rename(instance.jobs_root)
        assert not gate.admits(jobs[0]), "not before the breaker says so"
        clock.advance(seconds=60)
        assert gate.admits(jobs[0])
        with instance.db.read() as conn:
            assert breakers.all_open(conn) == []
            actions = [entry.action for entry in journal.entries(conn, target=f"domain:{opened.domain}")]
        assert actions == ["breaker.close", "breaker.open"]
