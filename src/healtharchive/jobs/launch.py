"""How an attempt's child process is started or found again: the crawl engine for a crawl, `index_child` for an index attempt.

Both children report through `progress.jsonl` in their attempt's directory and live no longer than their lease file allows, so
that supervising and adopting them is one piece of code.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import Connection

from healtharchive.access import captures
from healtharchive.crawl.child import HTTP_MODULE, RunningChild, http_engine
from healtharchive.crawl.engine import (
    ATTEMPT_FILE,
    LOG_FILE,
    PRIOR_FILE,
    AttemptSpec,
    CaptureEngine,
    CrawlProfile,
    RunningEngine,
    write_lease,
)
from healtharchive.host import ProcessId
from healtharchive.host.files import create_exclusively
from healtharchive.instance import Instance
from healtharchive.jobs.lease import Claim
from healtharchive.jobs.model import Job, Kind

INDEX_MODULE = "healtharchive.jobs.index_child"

# From a job and its source to what the engine is told. It belongs to a room above this one, which hands it in.
ProfileResolver = Callable[[Connection, Job], CrawlProfile]


class Launcher(Protocol):
    """Starts and adopts the children of attempts."""

    @property
    def module(self) -> str | None:
        """The Python module that must be there for a crawl to start."""

    def engine_name(self, kind: Kind) -> str:
        """What the attempt's row says about it."""

    def start(self, claim: Claim, directory: Path, until_boottime: float) -> RunningEngine:
        """Start the child of a new attempt. Raises OSError, ConfigurationError."""

    def adopt(self, claim: Claim, directory: Path) -> RunningEngine:
        """Find the child of an attempt that another worker started."""


class InstanceLauncher:
    """The real `Launcher`: children of this instance."""

    def __init__(self, instance: Instance, profiles: ProfileResolver) -> None:
        self._instance = instance
        self._profiles = profiles
        self._crawler: CaptureEngine = http_engine(instance.host)

    @property
    def module(self) -> str | None:
        return HTTP_MODULE

    def engine_name(self, kind: Kind) -> str:
        return self._crawler.name if kind is Kind.CRAWL else "index"

    def start(self, claim: Claim, directory: Path, until_boottime: float) -> RunningEngine:
        directory.mkdir(parents=True)  # not exist_ok: an attempt's directory is never reused
        if claim.attempt.kind is Kind.CRAWL:
            return self._crawler.start(self._crawl_spec(claim, directory), directory, until_boottime)
        return self._start_index(claim, directory, until_boottime)

    def adopt(self, claim: Claim, directory: Path) -> RunningEngine:
        process = ProcessId.parse(claim.attempt.process) if claim.attempt.process else None
        if claim.attempt.kind is Kind.CRAWL:
            return self._crawler.adopt(directory, process)
        return RunningChild(self._instance.host, directory, process=process)

    def _crawl_spec(self, claim: Claim, directory: Path) -> AttemptSpec:
        job = claim.job
        prior = directory / PRIOR_FILE
        with self._instance.db.read() as conn:
            profile = self._profiles(conn, job)
            captures.write_prior(conn, job.source, prior)
        return AttemptSpec(
            job_id=job.id,
            attempt=claim.attempt.n,
            fence=claim.lease.fence,
            source=job.source,
            job_directory=str((self._instance.jobs_root / job.output_dir).absolute()),
            warc_prefix=f"{job.source}-{job.id:06d}",
            profile=profile,
            operator=self._instance.settings.web.archive_name,
            prior=str(prior.absolute()) if prior.exists() else None,
        )

    def _start_index(self, claim: Claim, directory: Path, until_boottime: float) -> RunningEngine:
        told = {
            "instance": str(self._instance.root.absolute()),
            "job_id": claim.job.id,
            "attempt_id": claim.attempt.id,
            "fence": claim.lease.fence,
            "source": claim.job.source,
        }
        create_exclusively(directory / ATTEMPT_FILE, json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True).encode())
        write_lease(directory, until_boottime)
        argv = [sys.executable, "-m", INDEX_MODULE, str(directory.absolute())]
        child = self._instance.host.processes.spawn(argv, cwd=directory, log=directory / LOG_FILE)
        return RunningChild(self._instance.host, directory, child=child)
