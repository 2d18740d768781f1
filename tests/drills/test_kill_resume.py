"""SIGKILL at any instant, then resume: nothing committed is lost, nothing finished is fetched again, every WARC stays readable.

The engine is killed while it starts, recovers, fetches, commits and seals; the worker that supervises it is killed, and both at
once. Each trial is compared with an undisturbed crawl of the same site. The random instants come from a seed that a failure
prints.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from tests.rigs import crawl_worker
from tests.rigs.crawls import CrawledJob, captured_urls, end_of, impolite, record_url_at
from tests.rigs.jobs import add_jobs
from tests.rigs.nginx import Nginx, die_with_parent, nginx
from tests.rigs.sites import POSTGRESQL_DOC

from healtharchive.crawl.engine import End, read_events
from healtharchive.crawl.frontier import FrontierUrl
from healtharchive.crawl.ledger import warc_lengths
from healtharchive.host import ProcessId, this_host
from healtharchive.instance import Instance, create_instance, open_instance
from healtharchive.jobs import queries
from healtharchive.jobs.model import Status

pytestmark = [pytest.mark.drill, pytest.mark.slow]

# 6 x 5 of the engine alone, 3 x 4 of the worker, 2 x 4 of both: fifty.
ENGINE_TRIALS, ENGINE_KILLS = 6, 5
WORKER_TRIALS, WORKER_KILLS = 3, 4
BOTH_TRIALS, BOTH_KILLS = 2, 4
SETTLE_SECONDS = 0.05  # for nginx to log what it was sending when its client died


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx"), POSTGRESQL_DOC.serve()) as running:
        yield running


@pytest.fixture(scope="module")
def undisturbed(server: Nginx, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """States of all URLs after a crawl that nobody killed."""
    job = CrawledJob(tmp_path_factory.mktemp("undisturbed") / "job", impolite(server.url(POSTGRESQL_DOC.name)))
    assert end_of(job.run()) is End.COMPLETE
    return job.states()


class Witness:
    """What was committed at each kill, and what must be true of it ever after."""

    def __init__(self, server: Nginx, directory: Path) -> None:
        self.server = server
        self.directory = directory
        self.finished: dict[str, FrontierUrl] = {}
        self.answered = 0  # lines of the access log at the last kill
        self.fetched_again: list[str] = []
        self.kills = 0

    def after_kill(self, job: CrawledJob) -> None:
        self.kills += 1
        time.sleep(SETTLE_SECONDS)
        self.look_at_log()
        if not job.frontier.exists():
            return
        rows = job.urls()
        for url, row in self.finished.items():
            assert rows[url].state == row.state, f"{url} was {row.state} and is {rows[url].state}"
        self.finished = {url: row for url, row in rows.items() if row.status is not None and row.state != "pending"}
        self.read_open_warcs(job)

    def look_at_log(self) -> None:
        accesses = self.server.accesses()
        asked = (f"http://{self.server.host(POSTGRESQL_DOC.name)}{access.uri}" for access in accesses[self.answered :])
        self.fetched_again += [url for url in asked if url in self.finished]
        self.answered = len(accesses)

    def read_open_warcs(self, job: CrawledJob) -> None:
        lengths = warc_lengths(job.frontier)
        for path in job.open_warcs():
            committed = lengths.get(path.name.removesuffix(".open"), 0)
            data = path.read_bytes()
            assert len(data) >= committed, f"{path.name} is shorter than what was committed"
            captured_urls(data[:committed])

    def at_end(self, job: CrawledJob, undisturbed: dict[str, str]) -> None:
        self.look_at_log()
        assert self.fetched_again == []
        assert job.states() == undisturbed
        records: Counter[str] = Counter()
        data = {path.name: path.read_bytes() for path in job.warcs()}
        for content in data.values():
            records += captured_urls(content)
        assert {url for url, count in records.items() if count > 1} == set(), "a URL has two records"
        for url, row in job.urls().items():
            if row.warc is not None and row.offset is not None and row.length is not None:
                assert record_url_at(data[row.warc], row.offset, row.length) == url
        for url, row in self.finished.items():
            assert records[url] == 1, f"the record of {url}, committed as {row.state}, is gone"
        assert job.open_warcs() == []


@pytest.mark.parametrize("trial", range(ENGINE_TRIALS))
def test_an_engine_killed_at_random_instants_loses_nothing_and_repeats_nothing(
    trial: int, server: Nginx, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    dice = random.Random(trial)
    job = CrawledJob(tmp_path / "job", impolite(server.url(POSTGRESQL_DOC.name), warc_bytes=1_000_000))
    witness = Witness(server, job.directory)
    witness.answered = len(server.accesses())
    for _ in range(ENGINE_KILLS):
        engine = job.start()
        _wait_for_random_instant(job, dice)
        job.kill(engine)
        witness.after_kill(job)
    events = job.run()
    assert end_of(events) is End.COMPLETE, events[-1]
    witness.at_end(job, undisturbed)
    assert witness.kills == ENGINE_KILLS


def _wait_for_random_instant(job: CrawledJob, dice: random.Random) -> None:
    """One time in four any instant from birth on, else one while it crawls."""
    if dice.random() < 0.25:
        time.sleep(dice.uniform(0.05, 0.6))
        return
    progress = job.attempt_directory() / "progress.jsonl"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not (progress.exists() and b'"started"' in progress.read_bytes()):
        time.sleep(0.005)
    time.sleep(dice.uniform(0.0, 0.35))


class WorkedJob(CrawledJob):
    """The same, but run by a worker process of an instance: the attempts are the worker's."""

    instance: Instance

    @classmethod
    def queued(cls, root: Path, seed: str) -> WorkedJob:
        create_instance(root)
        with open(root / "healtharchive.toml", "a") as file:
            file.write(SETTINGS)
        # Slow enough that the last kill still finds it at work.
        profile = impolite(seed, warc_bytes=1_000_000, connections_per_host=2, min_delay_ms=5, max_delay_ms=5)
        (root / crawl_worker.PROFILE_FILE).write_text(json.dumps(asdict(profile)))
        instance = open_instance(root)
        (queued,) = add_jobs(instance.db, 1)
        job = cls(instance.jobs_root / queued.output_dir, profile)
        job.instance = instance
        return job

    def start_worker(self) -> subprocess.Popen[bytes]:
        root = self.instance.root
        with open(root / "worker.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, crawl_worker.__file__, str(root)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def status(self) -> Status:
        with self.instance.db.read() as conn:
            return queries.get(conn, 1).status

    def engine(self) -> ProcessId | None:
        """The newest engine that announced itself, if it lives."""
        for directory in sorted((self.directory / "attempts").glob("*"), reverse=True):
            for event, _ in read_events(directory):
                if event.name == "started":
                    process = ProcessId.parse(event.data["process"])
                    return process if this_host().processes.is_alive(process) else None
        return None

    def log(self) -> str:
        return (self.instance.root / "worker.log").read_text(errors="replace")[-6000:]

    def await_(self, what: str, holds: Callable[[], bool], seconds: float = 40.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not come true within {seconds} s; job {self.status()}:\n{self.log()}")
            time.sleep(0.02)


SETTINGS = """
[worker]
lease_seconds = 3
heartbeat_seconds = 0.5
poll_seconds = 0.1
[retry]
infra_backoff_min_seconds = 1
infra_backoff_max_seconds = 1
infra_park_after = 50
[storage]
reserve_bytes = 0
"""
OVER = (Status.COMPLETED, Status.INDEXING, Status.INDEXED, Status.INDEX_FAILED, Status.FAILED)


@pytest.mark.parametrize(
    ("victims", "kills", "trial"),
    [("worker", WORKER_KILLS, trial) for trial in range(WORKER_TRIALS)]
    + [("both", BOTH_KILLS, trial) for trial in range(BOTH_TRIALS)],
)
def test_a_worker_killed_alone_or_with_its_engine_loses_nothing_and_repeats_nothing(
    victims: str, kills: int, trial: int, server: Nginx, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    dice = random.Random(f"{victims} {trial}")
    job = WorkedJob.queued(tmp_path / "instance", server.url(POSTGRESQL_DOC.name))
    witness = Witness(server, job.directory)
    witness.answered = len(server.accesses())
    for _ in range(kills):
        worker = job.start_worker()
        job.await_("an engine at work", lambda: job.engine() is not None or job.status() in OVER)
        time.sleep(dice.uniform(0.0, 0.3))
        engine = job.engine()
        assert job.status() not in OVER, "the crawl was over before all kills: make it slower"
        worker.kill()
        if victims == "both" and engine is not None:
            this_host().processes.signal(engine, signal.SIGKILL)
        worker.wait()
        if victims == "both":
            witness.after_kill(job)
        else:
            witness.kills += 1
    worker = job.start_worker()
    job.await_("the end of the crawl", lambda: job.status() in OVER, 60.0)
    worker.terminate()
    worker.wait(20)
    assert job.status() is not Status.FAILED, job.log()
    witness.at_end(job, undisturbed)
    assert witness.kills == kills
