"""Sources, jobs and launchers for tests of the queue and the worker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.rigs import steady_engine

import healtharchive.campaigns.tables  # noqa: F401 - so that the metadata knows the sources
from healtharchive import db
from healtharchive.crawl.child import RunningChild
from healtharchive.crawl.engine import LOG_FILE, AttemptSpec, CrawlProfile, End, write_lease
from healtharchive.host import Host, ProcessId
from healtharchive.instance import Instance
from healtharchive.jobs import queue
from healtharchive.jobs.lease import Claim
from healtharchive.jobs.model import Job, Kind
from healtharchive.journal import Actor

TESTER = Actor("person", "tester", "here")

# Ends at once with the last word that it is told; for tests of what follows from an end.
_LAST_WORD = """
import json, os, sys
word = json.loads(os.environ["HA_TEST_LAST_WORD"])
with open(os.path.join(sys.argv[1], "progress.jsonl"), "a") as file:
    for event in word["events"]:
        file.write(json.dumps({"at": "2026-01-01T00:00:00+00:00", **event}) + "\\n")
sys.exit(word["code"])
"""


def add_source(conn: Connection, name: str = "hc") -> int:
    """A row of `source`, whose room is above."""
    source = db.metadata.tables["source"]
    now = db.now(conn)
    values = {"name": name, "title": name, "seeds": [], "profile": {}, "created_at": now, "updated_at": now}
    inserted = conn.execute(sa.insert(source).values(values))
    assert inserted.inserted_primary_key is not None
    return int(inserted.inserted_primary_key[0])


def add_jobs(database: db.Database, count: int, *, source: str = "hc") -> list[Job]:
    with database.write() as conn:
        known = conn.execute(sa.text("SELECT id FROM source WHERE name = :name"), {"name": source}).scalar()
        source_id = known or add_source(conn, source)
        return [queue.create_job(conn, source_id=source_id, source=source, name=f"j{n}", actor=TESTER) for n in range(count)]


class SteadyLauncher:
    """Children of the steady engine, for crawls and in place of indexing."""

    module = None

    def __init__(self, instance: Instance, profile: CrawlProfile | None = None) -> None:
        self._instance = instance
        self._host: Host = instance.host
        self._profile = profile or steady_engine.profile()

    def engine_name(self, kind: Kind) -> str:
        return "steady" if kind is Kind.CRAWL else "index"

    def start(self, claim: Claim, directory: Path, until_boottime: float) -> RunningChild:
        directory.mkdir(parents=True)
        crawling = claim.attempt.kind is Kind.CRAWL
        job_directory = (self._instance.jobs_root / claim.job.output_dir).absolute()
        AttemptSpec(
            job_id=claim.job.id,
            attempt=claim.attempt.n,
            fence=claim.lease.fence,
            source=claim.job.source,
            job_directory=str(job_directory if crawling else directory.absolute()),
            warc_prefix=f"{claim.job.source}-{claim.job.id:06d}",
            profile=self._profile,
        ).write(directory)
        write_lease(directory, until_boottime)
        if not crawling:
            return self._spawn(directory, ["-c", _LAST_WORD], {"events": [ended(End.COMPLETE)], "code": 0})
        child = self._host.processes.spawn(
            [sys.executable, steady_engine.__file__, str(directory)], cwd=directory, log=directory / LOG_FILE
        )
        return RunningChild(self._host, directory, child=child)

    def adopt(self, claim: Claim, directory: Path) -> RunningChild:
        process = ProcessId.parse(claim.attempt.process) if claim.attempt.process else None
        return RunningChild(self._host, directory, process=process)

    def _spawn(self, directory: Path, words: list[str], word: dict[str, object]) -> RunningChild:
        env = {"HA_TEST_LAST_WORD": json.dumps(word)}
        argv = [sys.executable, "-S", "-E", *words, str(directory)]
        child = self._host.processes.spawn(argv, cwd=directory, log=directory / LOG_FILE, env=env)
        return RunningChild(self._host, directory, child=child)


class LastWordLauncher(SteadyLauncher):
    """Children that only say how they ended, as the test wants it."""

    def __init__(self, instance: Instance, *events: dict[str, object], code: int = 0) -> None:
        super().__init__(instance)
        self.word: dict[str, object] = {"events": list(events), "code": code}

    def start(self, claim: Claim, directory: Path, until_boottime: float) -> RunningChild:
        if claim.attempt.kind is Kind.INDEX:
            return super().start(claim, directory, until_boottime)
        directory.mkdir(parents=True)
        (directory / "attempt.json").write_text("{}")
        write_lease(directory, until_boottime)
        return self._spawn(directory, ["-c", _LAST_WORD], self.word)


def ended(end: End, *, reason: str = "", errno: int | None = None) -> dict[str, object]:
    return {"event": "ended", "end": end.value, "reason": reason, "errno": errno, "counts": {}}
