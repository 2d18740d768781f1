"""Eight workers, two hundred jobs, and all that can happen to a process: each job is finished once, and no late write lands.

Workers and their engines are real processes on one real database. They are killed (SIGKILL), frozen past their lease (SIGSTOP,
SIGCONT), see the database's clock jump forward and back, and have attempts ended from outside while a frozen engine still holds
the files. A watcher looks at the rows all along, keeps every lease and fence that ever was, and tries to write with them.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.rigs import invariants, lease_worker
from tests.rigs.jobs import TESTER, add_jobs

from healtharchive.crawl.engine import FRONTIER_FILE, MANIFEST_FILE, WARC_DIR, UrlState, read_events
from healtharchive.crawl.entries import Batch, Found
from healtharchive.crawl.frontier import Frontier, ledger
from healtharchive.crawl.frontier_file import Fenced
from healtharchive.errors import StaleFence, StorageUnavailable
from healtharchive.host import ProcessId
from healtharchive.instance import Instance
from healtharchive.jobs import lease, queries, queue
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import Kind, Lease, Status
from healtharchive.jobs.retry import Consequence
from healtharchive.storage import spool
from healtharchive.storage.model import SealedWarc

pytestmark = [pytest.mark.drill, pytest.mark.slow, pytest.mark.timeout(420)]

WORKERS = 8
JOBS = int(os.environ.get("HA_DRILL_JOBS", "200"))
LEASE_SECONDS = 3
SECONDS_MAX = 300
_OVER = Consequence(Event.COMPLETE, 0, 0, 0)
_SETTINGS = f"""
[worker]
max_jobs = 3
lease_seconds = {LEASE_SECONDS}
heartbeat_seconds = 0.6
poll_seconds = 0.2
drain_seconds = 10
[retry]
infra_backoff_min_seconds = 1
infra_backoff_max_seconds = 3
infra_park_after = 50
[storage]
reserve_bytes = 0
"""


@dataclass
class Chaos:
    """Breaks processes at random, and remembers what it did."""

    root: Path
    instance: Instance
    chance: random.Random
    done: Counter[str] = field(default_factory=Counter)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    thaws: list[threading.Timer] = field(default_factory=list)

    def start_worker(self) -> None:
        with open(self.root / "workers.log", "ab") as log:
            command = [sys.executable, lease_worker.__file__, str(self.root)]
            env = {**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])}
            repository = Path(__file__).parents[2]
            self.workers.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=repository)
            )

    def step(self) -> None:
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < WORKERS:
            self.start_worker()
        acts = [
            self.kill_worker,
            self.kill_engine,
            self.freeze_worker,
            self.freeze_engine,
            self.jump,
            self.recover,
            self.kill_both,
        ]
        act = self.chance.choice(acts)
        if act():
            self.done[act.__name__] += 1

    def kill_worker(self) -> bool:
        return _send(self.chance.choice(self.workers).pid, signal.SIGKILL)

    def freeze_worker(self) -> bool:
        return self._freeze(self.chance.choice(self.workers).pid)

    def kill_engine(self) -> bool:
        engine = self._engine()
        return engine is not None and self.instance.host.processes.signal(engine, signal.SIGKILL)

    def freeze_engine(self) -> bool:
        engine = self._engine()
        return engine is not None and self._freeze(engine.pid)

    def kill_both(self) -> bool:
        return self.kill_engine() and self.kill_worker()

    def jump(self) -> bool:
        set_clock(self.root, self.chance.choice([-20.0, -3.0, 0.0, 3.0, 30.0]))
        return True

    def recover(self) -> bool:
        """What a person does with `recover-stale-jobs`, at the worst moment."""
        with self.instance.db.read() as conn:
            running = queries.list_jobs(conn, status=Status.RUNNING)
        if not running:
            return False
        chosen = self.chance.choice(running)
        with self.instance.db.read() as conn:
            attempt = queries.open_attempt(conn, chosen.id)
        if attempt is not None and attempt.process is not None:
            self._freeze(ProcessId.parse(attempt.process).pid)
        with self.instance.db.write() as conn:
            return queue.recover_stale(conn, chosen, actor=TESTER, reason="drill")

    def end(self) -> None:
        for thaw in self.thaws:
            thaw.join()
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            try:
                worker.wait(timeout=20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _engine(self) -> ProcessId | None:
        query = sa.text("SELECT process FROM attempt WHERE ended_at IS NULL AND process IS NOT NULL AND kind = 'crawl'")
        with self.instance.db.read() as conn:
            alive = list(conn.execute(query).scalars())
        return ProcessId.parse(self.chance.choice(alive)) if alive else None

    def _freeze(self, pid: int) -> bool:
        # From a thread: a process frozen inside a SQLite transaction holds up this one too, until it is let go.
        thaw = threading.Timer(LEASE_SECONDS * self.chance.uniform(0.5, 1.6), _send, (pid, signal.SIGCONT))
        thaw.daemon = True
        self.thaws.append(thaw)
        stopped = _send(pid, signal.SIGSTOP)
        thaw.start()
        return stopped


class Watcher(threading.Thread):
    """Looks at the rows all along, keeps every lease that ever was, and writes with those that are no longer held."""

    def __init__(self, instance: Instance) -> None:
        super().__init__(daemon=True)
        self.instance = instance
        self.stopped = threading.Event()
        self.broken: list[str] = []
        self.looks = 0
        self.refused: Counter[str] = Counter()
        self.landed: list[str] = []
        self._leases: set[Lease] = set()
        self._frontiers: dict[tuple[int, int], tuple[Path, Frontier]] = {}
        self._chance = random.Random(1)

    def run(self) -> None:
        try:
            while not self.stopped.wait(0.1):
                self.look()
                self.haunt()
        except Exception as error:  # a watcher that died has seen nothing
            self.broken.append(f"the watcher died: {error!r}")
            raise

    def look(self) -> None:
        with self.instance.db.read() as conn:
            self.broken += invariants.broken(conn)
            held = sa.text(
                "SELECT job.id, attempt.id, job.fence, job.lease_token, job.output_dir, attempt.directory FROM job "
                "JOIN attempt ON attempt.job_id = job.id WHERE attempt.ended_at IS NULL"
            )
            for job_id, attempt_id, fence, token, output_dir, directory in conn.execute(held):
                self._leases.add(Lease(job_id, attempt_id, fence, token))
                root = self.instance.jobs_root
                if len(self._frontiers) < 100 and _commits(root / directory):
                    self._keep_frontier(job_id, fence, root / output_dir / FRONTIER_FILE)
        self.looks += 1

    def _keep_frontier(self, job_id: int, fence: int, path: Path) -> None:
        try:
            self._frontiers.setdefault((job_id, fence), (path, Frontier(path, fence)))
        except (StaleFence, sqlite3.OperationalError):
            return  # a newer attempt owns it already, or is busy with it

    def haunt(self) -> None:
        """Every write of a lost lease, each in a transaction of its own."""
        with self.instance.db.read() as conn:
            current = {row.lease_token for row in conn.execute(sa.text("SELECT lease_token FROM job"))}
        lost = [old for old in self._leases if old.token not in current]
        for old in self._chance.sample(sorted(lost, key=str), min(3, len(lost))):
            self._haunt(old)

    def _haunt(self, old: Lease) -> None:
        self._expect_refusal("renew", lambda conn: lease.renew(conn, old, lease_seconds=90))
        self._expect_refusal("progress", lambda conn: lease.record_progress(conn, old, {"pages": 1}, moved=True))
        self._expect_refusal("finish", lambda conn: lease.finish(conn, old, _OVER, failure=None, actor=TESTER))
        self._expect_refusal("spool", lambda conn: _register_late(conn, old))

    def haunt_frontiers(self) -> None:
        """Commits of old fences, through handles that were opened while they were new.

        Which attempts were superseded is chance; the frontiers of the others are opened by a newer fence first.
        """
        with self.instance.db.read() as conn:
            query = sa.text("SELECT job_id, max(fence) AS fence FROM attempt WHERE kind = 'crawl' GROUP BY job_id")
            newest = {row.job_id: row.fence for row in conn.execute(query)}
        for (job_id, fence), (path, frontier) in self._frontiers.items():
            if fence == newest[job_id]:
                Frontier(path, fence + 1).close()
            try:
                frontier.commit(Batch(found=[Found("http://late.test/", UrlState.PENDING, "L")]))
                self.landed.append(f"frontier of job {job_id}, fence {fence}")
            except Fenced:
                self.refused["frontier"] += 1
            frontier.close()

    def _expect_refusal(self, what: str, write: Callable[[sa.Connection], object]) -> None:
        try:
            with self.instance.db.write() as conn:
                write(conn)
            self.landed.append(what)
        except StaleFence:
            self.refused[what] += 1
        except StorageUnavailable:
            self.refused["database busy"] += 1


def _commits(directory: Path) -> bool:
    """Whether the crawl of this attempt has committed something: from then on its frontier is whole."""
    return any(event.name == "progress" and "captured" in event.data["counts"] for event, _ in read_events(directory))


def _register_late(conn: sa.Connection, old: Lease) -> None:
    lease.assert_held(conn, old)
    now = queries.get(conn, old.job_id).created_at
    spool.register_sealed(conn, old.job_id, "hc", SealedWarc(f"late-{old.token}.warc.gz", 1, "00", 1, old.fence, now), "late")


@contextmanager
def _chaos(instance: Instance, seed: int) -> Iterator[Chaos]:
    chaos = Chaos(instance.root, instance, random.Random(seed))
    try:
        yield chaos
    finally:
        chaos.end()


def test_every_job_is_finished_once_and_no_late_write_lands(instance: Instance) -> None:
    root = instance.root
    with open(root / "healtharchive.toml", "a", encoding="ascii") as config:
        config.write(_SETTINGS)
    set_clock(root, 0.0)
    ours = lease_worker.opened(root)
    add_jobs(ours.db, JOBS)
    seed = int(os.environ.get("HA_DRILL_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
    watcher = Watcher(ours)
    watcher.start()
    began = time.monotonic()
    with _chaos(ours, seed) as chaos:
        while (left := _left(ours)) > 0 and time.monotonic() - began < SECONDS_MAX and not watcher.broken:
            chaos.step()
            time.sleep(0.5)
    took = time.monotonic() - began
    watcher.stopped.set()
    watcher.join(timeout=30)
    watcher.haunt_frontiers()
    log = (root / "workers.log").read_text(encoding="utf-8", errors="replace")
    with ours.db.read() as conn:
        adopted = conn.execute(sa.text("SELECT count(*) FROM journal WHERE action = 'job.adopt'")).scalar_one()
        attempts = conn.execute(sa.text("SELECT count(*) FROM attempt")).scalar_one()
    lost = log.count("lease.lost") + log.count("attempt.let_go")
    print(f"\nseed {seed}: {JOBS} jobs, {attempts} attempts, {took:.0f} s, {watcher.looks} looks, {dict(chaos.done)}")
    print(f"adopted {adopted}, lost leases noticed {lost}, refused late writes {dict(watcher.refused)}")

    assert left == 0, f"{left} jobs are not finished after {took:.0f} s (seed {seed})"
    assert watcher.broken == []
    assert watcher.landed == []
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    if JOBS >= 100:
        assert adopted > 0
        assert all(watcher.refused[kind] > 0 for kind in ("renew", "progress", "finish", "spool", "frontier"))
    _assert_each_finished_once(ours)
    _assert_files_and_rows_agree(ours)


def _assert_each_finished_once(instance: Instance) -> None:
    with instance.db.read() as conn:
        assert invariants.broken(conn) == []
        for job in queries.list_jobs(conn):
            ends = Counter(attempt.kind for attempt in queries.attempts(conn, job.id) if attempt.failure_class is None)
            assert ends == {Kind.CRAWL: 1, Kind.INDEX: 1}, (job, queries.attempts(conn, job.id))
            assert job.status is Status.INDEXED
            assert job.retry_count == 0  # everything that happened was our own fault
        completions = conn.execute(sa.text("SELECT count(*) FROM journal WHERE action = 'job.complete'")).scalar_one()
        assert completions == 2 * JOBS


def _assert_files_and_rows_agree(instance: Instance) -> None:
    pages = lease_worker.PROFILE.max_pages
    with instance.db.read() as conn:
        for job in queries.list_jobs(conn):
            directory = instance.jobs_root / job.output_dir
            assert ledger(directory / FRONTIER_FILE)["captured"] == pages, job
            listed, _ = spool.read_manifest(directory / WARC_DIR / MANIFEST_FILE)
            files = {path.name for path in (directory / WARC_DIR).glob("*.warc.gz")}
            rows = {stored.name for stored in spool.warcs_of(conn, job_id=job.id)}
            assert rows == {sealed.name for sealed in listed} == files, job


def _left(instance: Instance) -> int:
    """Jobs not yet indexed. One that has given up will never be, and why is in the assertion."""
    with instance.db.read() as conn:
        jobs = queries.list_jobs(conn)
    gone_wrong = [(job.id, job.status, job.reason) for job in jobs if job.status in (Status.FAILED, Status.INDEX_FAILED)]
    assert not gone_wrong
    return sum(job.status is not Status.INDEXED for job in jobs)


def set_clock(root: Path, offset_seconds: float) -> None:
    beside = root / f".{lease_worker.OFFSET_FILE}.new"
    beside.write_text(f"{offset_seconds}", encoding="ascii")
    beside.replace(root / lease_worker.OFFSET_FILE)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
