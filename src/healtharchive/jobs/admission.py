"""May an attempt begin here now? Looked at before it exists, so that a broken place costs no attempt and no retry budget.

Two scopes. What every job of this host needs (the jobs root, free space, the engine) is one domain with one breaker: while it is
broken no job is tried, and none is blamed. What one job needs (its own directory) concerns that job alone: it is deferred, and
those behind it run. Every look at a place is in this file, to be moved behind a prober that can be killed once places may hang.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import random
from pathlib import Path

from healtharchive import db, journal
from healtharchive.errors import ConfigurationError
from healtharchive.instance import Instance
from healtharchive.jobs import breakers, classify, lifecycle, queue, retry
from healtharchive.jobs.classify import Failure
from healtharchive.jobs.model import FailureClass, Job, Kind

log = logging.getLogger("healtharchive.jobs")

_PROBE_PREFIX = ".writable_test_"
_BELIEVED_SECONDS = 10.0  # how long a good look at the host's own places is believed


class Gate:
    """Admits jobs on one host, and writes down when a refused one is looked at again.

    `looks_at_once`: somebody who has mended the place asks for one job now, so that an open breaker is no reason not to look.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        engine_module: str | None,
        policy: retry.Policy,
        actor: journal.Actor,
        looks_at_once: bool = False,
    ) -> None:
        self._instance = instance
        self._engine_module = engine_module
        self._policy = policy
        self._actor = actor
        self._looks_at_once = looks_at_once
        self._domain = f"jobs-root@{instance.host.name}"
        self._believed_until = 0.0
        self.host_failure: Failure | None = None  # of the latest look; while it stands nothing is claimed here

    def admits(self, candidate: Job) -> bool:
        """Whether an attempt of this job may begin. A refusal is infra: a later `next_attempt_at`, and no budget spent."""
        if not self._host_is_fit():
            return False
        kind = lifecycle.CLAIMABLE[candidate.status]
        failure = self._look(candidate, kind)
        if failure is None:
            log.info("picked job %s with status %s and retry_count %s", candidate.id, candidate.status, candidate.retry_count)
            return True
        self._defer(candidate, kind, failure)
        return False

    def try_parked(self, parked: Job) -> None:
        """Look at a parked job's place again: queued if it is well, else left alone for the longest wait."""
        if not self._host_is_fit():
            return
        failure = self._look(parked, Kind.CRAWL)
        wait = self._policy.backoff_max_seconds
        later = retry.Consequence(lifecycle.Event.RETRY_LATER, parked.retry_count, parked.infra_failures, wait)
        with self._instance.db.write() as conn:
            if failure is None:
                queue.unpark(conn, parked, actor=self._actor, reason="its place can be written again")
            else:
                queue.defer(conn, parked, later, failure=failure, actor=self._actor)

    def _defer(self, candidate: Job, kind: Kind, failure: Failure) -> None:
        consequence = retry.after(
            failure,
            kind=kind,
            retry_count=candidate.retry_count,
            infra_failures=candidate.infra_failures,
            progressed=False,
            policy=self._policy,
            spread=_spread(),
        )
        with self._instance.db.write() as conn:
            written = queue.defer(conn, candidate, consequence, failure=failure, actor=self._actor)
        if written:
            log.warning(
                "infra error before job %s began (errno %s): %s. Not consuming retry budget (retry_count=%s), again in %.0f s",
                candidate.id,
                failure.errno,
                failure.reason,
                candidate.retry_count,
                consequence.wait_seconds,
            )

    def _look(self, candidate: Job, kind: Kind) -> Failure | None:
        try:
            return job_failure(self._instance.jobs_root, candidate.output_dir, kind=kind)
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this job, and those behind it must run
            return classify.of_exception(error, own_paths=[self._instance.jobs_root])

    def _host_is_fit(self) -> bool:
        """Whether what every job of this host needs is there. A bad look opens the domain's breaker, a good one closes it."""
        now = self._instance.host.clock.monotonic()
        if now < self._believed_until:
            return True
        with self._instance.db.read() as conn:
            breaker, at = breakers.get(conn, self._domain), db.now(conn)
        if not (self._looks_at_once or breaker.admits(at)):
            self.host_failure = Failure(FailureClass.INFRA, breaker.reason)
            return False
        reserve_bytes = self._instance.settings.storage.reserve_bytes
        failure = host_failure(self._instance.jobs_root, reserve_bytes=reserve_bytes, engine_module=self._engine_module)
        if failure is not None or breaker.is_open:
            with self._instance.db.write() as conn:
                breakers.note(conn, breaker, failure, policy=self._policy, spread=_spread(), actor=self._actor)
        if failure is not None:
            log.warning("breaker.open domain=%s errno=%s: %s", self._domain, failure.errno, failure.reason)
        self.host_failure = failure
        self._believed_until = now + _BELIEVED_SECONDS if failure is None else 0.0
        return failure is None


def host_failure(jobs_root: Path, *, reserve_bytes: int, engine_module: str | None) -> Failure | None:
    """What keeps every job of this host from running, None if nothing does.

    `reserve_bytes` of free space must be left for what runs already, and for the database beside it.
    """
    try:
        _must_be_writable(jobs_root)
        space = os.statvfs(jobs_root)
    except OSError as error:
        return _infra(error, jobs_root)
    free_bytes = space.f_bavail * space.f_frsize
    if free_bytes < reserve_bytes:
        free_mb, reserve_mb = free_bytes // 1_000_000, reserve_bytes // 1_000_000
        return Failure(FailureClass.INFRA, f"{jobs_root} has {free_mb} MB free, less than the reserve of {reserve_mb} MB")
    if engine_module is not None and not _is_importable(engine_module):
        return Failure(FailureClass.INFRA, f"the engine {engine_module} is not installed")
    return None


def job_failure(jobs_root: Path, output_dir: str, *, kind: Kind) -> Failure | None:
    """What keeps this one job from running, None if nothing does. Raises ConfigurationError for a directory outside the root.

    The job's directory is made here, before its first crawl. An index attempt of a job whose directory is gone is not given an
    empty one: its WARCs are elsewhere, and that is infra.
    """
    directory = jobs_root / output_dir
    if not directory.is_relative_to(jobs_root) or ".." in directory.parts:
        raise ConfigurationError(f"Output directory {output_dir!r} leaves the jobs root.", hint="Nothing was touched.")
    try:
        try:
            _must_be_writable(directory)
        except FileNotFoundError:
            if kind is not Kind.CRAWL:
                raise
            # Not at once: of a stale mount it would say "exists", and hide the errno that tells. Two workers may be here.
            directory.mkdir(parents=True, exist_ok=True)
            _must_be_writable(directory)
    except OSError as error:
        return _infra(error, directory)
    return None


def _must_be_writable(directory: Path) -> None:
    """Create and remove a file: the mode bits of a directory promise nothing. Raises OSError."""
    probe = directory / f"{_PROBE_PREFIX}{os.getpid()}"
    probe.unlink(missing_ok=True)  # left by a process of this number that was killed here
    # Not exclusively: another worker in this process may look at the same place in the same instant.
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    probe.unlink(missing_ok=True)


def _infra(error: OSError, directory: Path) -> Failure:
    """Whatever fails in our own place is infra, also an errno that nobody has listed."""
    return Failure(FailureClass.INFRA, f"{directory} cannot be written: {error.strerror or error}", error.errno)


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _spread() -> float:
    return random.random()  # noqa: S311 - keeps jobs apart, protects nothing
