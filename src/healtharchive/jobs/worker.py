"""The worker: claims what is due, supervises several attempts at once, keeps their leases, takes over what others left.

Nothing that happens inside an iteration ends it: a database or a disk that is away is logged, waited for and tried again
(incident 2026-01-24: storage errors, then no worker for six hours). It ends when it is told to (SIGTERM: stop claiming, bring the
crawls to a checkpoint, give the leases back, spend no budget; a second SIGTERM: leave the crawls to the next worker, which adopts
them), or with `until_idle`, or when its one job is done.
"""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import FrameType

from healtharchive import db, journal
from healtharchive.errors import HealthArchiveError, Locked, StaleFence, StorageUnavailable
from healtharchive.host import ProcessId
from healtharchive.instance import Instance
from healtharchive.jobs import admission, lease, queries, queue, registry, retry
from healtharchive.jobs.classify import Intent
from healtharchive.jobs.launch import InstanceLauncher, Launcher, ProfileResolver
from healtharchive.jobs.model import Job, Status
from healtharchive.jobs.supervise import EventSink, Instant, Supervision

log = logging.getLogger("healtharchive.worker")

_IDLE_GROWTH = 2.0
_IDLE_MAX_SECONDS = 15.0
_GOODBYE_SECONDS = 5.0
_BUSY_SECONDS = 0.5  # between two looks at running attempts
_BEAT_RETRY_SECONDS = 1.0
_FAILURES_MAX = 5  # in a row, in a run that somebody waits for


class Worker:
    """One worker process. `run` returns when it is drained, idle or done."""

    def __init__(
        self,
        instance: Instance,
        *,
        profiles: ProfileResolver | None = None,
        launcher: Launcher | None = None,
        max_jobs: int | None = None,
        only_job: int | None = None,
        until_idle: bool = False,
        on_event: EventSink | None = None,
    ) -> None:
        if launcher is None:
            if profiles is None:
                raise ValueError("a worker needs a profile resolver or a launcher")
            launcher = InstanceLauncher(instance, profiles)
        self._instance = instance
        self._settings = instance.settings.worker
        self._host = instance.host
        self._launcher = launcher
        self._max_jobs = 1 if only_job is not None else max_jobs or self._settings.max_jobs
        self._only_job = only_job
        self._ignore_wait = only_job is not None  # "run it now" excuses one wait, not those after its own failures
        self._until_idle = until_idle or only_job is not None
        self._on_event = on_event
        self._policy = policy_of(instance)
        process = self._host.processes.me()
        self.id = f"{self._host.name}-{process.pid}-{uuid.uuid4().hex[:8]}"
        self._process = process
        self._actor = journal.Actor("worker", self.id, self._host.name)
        self._gate = admission.Gate(
            instance,
            engine_module=launcher.module,
            policy=self._policy,
            actor=self._actor,
            looks_at_once=only_job is not None,
        )
        self._has_claimed = False
        self._running: dict[int, Supervision] = {}
        self._wake = threading.Event()
        self._over = threading.Event()
        self._draining = False
        self._abandoning = False
        self._reported_waits: dict[int, datetime] = {}
        self._failures = 0

    # -- from outside --------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Stop claiming, end the attempts at a checkpoint, return from `run`. Asked twice, the attempts are left to run."""
        self._abandoning = self._draining
        self._draining = True
        self._wake.set()

    def run(self) -> None:
        """Work. Raises Locked if the one job is run by somebody else, StorageUnavailable if an idle-ending run cannot begin."""
        self._require_free()
        threads = [
            threading.Thread(target=self._keep_alive, name="heartbeat", daemon=True),
            threading.Thread(target=self._keep_fences, name="fences", daemon=True),
        ]
        with self._signals():
            self._patiently(self._register)
            for thread in threads:
                thread.start()
            try:
                self._loop()
                self._drain()
            finally:
                self._over.set()
                for thread in threads:
                    thread.join(timeout=_GOODBYE_SECONDS)
                self._say_goodbye()
        if not self._has_claimed:
            self._require_free()  # two at the same instant: the other one won
        if self._until_idle and self._gate.host_failure is not None:
            raise StorageUnavailable(f"No job can run here: {self._gate.host_failure.reason}.", hint="No data was touched.")

    # -- the loop ------------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        pause = self._settings.poll_seconds
        next_sweep = 0.0
        while not self._draining:
            busy = False
            try:
                self._reap()
                if self._host.clock.monotonic() >= next_sweep:
                    self._sweep()
                    next_sweep = self._host.clock.monotonic() + self._settings.heartbeat_seconds
                while not self._draining and len(self._running) < self._max_jobs and self._claim_one():
                    busy = True
                self._failures = 0
            except Exception as error:
                self._failures += 1
                expected = isinstance(error, HealthArchiveError)
                log.warning("worker.iteration_failed failures=%s: %s", self._failures, error, exc_info=not expected)
                if self._until_idle and self._failures >= _FAILURES_MAX:
                    raise
            if self._until_idle and not self._running and not busy and not self._failures:
                return
            pause = self._settings.poll_seconds if busy else min(pause * _IDLE_GROWTH, self._longest_pause)
            self._wake.wait(min(pause, _BUSY_SECONDS) if self._running else pause)  # an attempt's end ends the pause
            self._wake.clear()

    @property
    def _longest_pause(self) -> float:
        return max(self._settings.poll_seconds, min(_IDLE_MAX_SECONDS, self._settings.heartbeat_seconds))

    def _reap(self) -> None:
        for job_id, supervision in list(self._running.items()):
            if not supervision.is_alive():
                del self._running[job_id]

    def _claim_one(self) -> bool:
        asked = Instant.of(self._host.clock)
        claim = queue.claim(
            self._instance.db,
            worker_id=self.id,
            host=self._host.name,
            lease_seconds=self._settings.lease_seconds,
            engine_of=self._launcher.engine_name,
            admit=self._gate.admits,
            only_job=self._only_job,
            ignore_wait=self._ignore_wait,
        )
        if claim is None:
            return False
        self._ignore_wait, self._has_claimed = False, True
        log.info("attempt.claimed job=%s attempt=%s fence=%s", claim.job.id, claim.attempt.n, claim.lease.fence)
        self._supervise(claim, adopted=False, asked=asked)
        return True

    def _supervise(self, claim: lease.Claim, *, adopted: bool, asked: Instant) -> None:
        supervision = Supervision(
            self._instance,
            claim,
            self._launcher,
            adopted=adopted,
            asked=asked,
            policy=self._policy,
            actor=self._actor,
            on_event=self._on_event,
            on_end=self._wake.set,
        )
        self._running[claim.job.id] = supervision
        supervision.start()

    # -- what others left ----------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        with self._instance.db.write() as conn:
            lease.shorten(conn, lease_seconds=self._settings.lease_seconds)
        with self._instance.db.read() as conn:
            now = db.now(conn)
            held, parked = lease.holders(conn, now), queue.parked_due(conn, host=self._host.name)
            waiting = queries.waiting(conn, now)
            dead = [row.id for row in queries.workers(conn) if is_dead(self._instance, row)]
        if dead:
            with self._instance.db.write() as conn:
                registry.bury(conn, dead)
        for holder in held:
            if holder.job.id not in self._running and self._only_job in (None, holder.job.id):
                self._take_over(holder)
        for job in parked:
            self._gate.try_parked(job)
        self._report_waiting(waiting)

    def _take_over(self, holder: lease.Holder) -> None:
        if holder.host != self._host.name:
            if holder.expired:
                reason = f"worker {holder.job.worker_id} on {holder.host} lost its lease"
                with self._instance.db.write() as conn:
                    lease.recover(conn, holder.job, actor=self._actor, reason=reason, stage="lease_expired", only_expired=True)
            return
        dead = is_alive(self._instance, holder) is False
        if not (dead or holder.expired):
            return
        asked = Instant.of(self._host.clock)
        with self._instance.db.write() as conn:
            claim = lease.adopt(
                conn,
                holder.job,
                worker_id=self.id,
                lease_seconds=self._settings.lease_seconds,
                holder_is_dead=dead,
            )
            if claim is not None:
                why = "its worker is dead" if dead else "its lease ran out"
                evidence = {"attempt": claim.attempt.id, "fence": claim.lease.fence, "from": holder.job.worker_id}
                journal.record(conn, self._actor, action="job.adopt", target=f"job:{claim.job.id}", reason=why, evidence=evidence)
        if claim is not None:
            # Also beyond `max_jobs`: a crawl that runs is never stopped for want of a slot.
            self._supervise(claim, adopted=True, asked=asked)

    def _report_waiting(self, waiting: Sequence[Job]) -> None:
        """A cooldown must be seen to be at work: one line a job and window."""
        for job in waiting:
            if self._reported_waits.get(job.id) != job.next_attempt_at:
                state = "parked" if job.status is Status.PAUSED else "cooling down"
                until = job.next_attempt_at.isoformat(timespec="seconds")
                log.info(
                    "job.waiting job=%s %s until=%s infra_failures=%s: %s", job.id, state, until, job.infra_failures, job.reason
                )
        self._reported_waits = {job.id: job.next_attempt_at for job in waiting}

    # -- staying alive -------------------------------------------------------------------------------------------------

    def _keep_alive(self) -> None:
        """The heartbeat: its own thread, so that nothing that the loop waits for can cost a lease."""
        while not self._over.wait(self._settings.heartbeat_seconds if self._beat() else _BEAT_RETRY_SECONDS):
            pass

    def _keep_fences(self) -> None:
        """Stops what the heartbeat cannot keep, from a thread that waits for nothing."""
        while not self._over.wait(min(1.0, self._settings.lease_seconds / 20)):
            for supervision in list(self._running.values()):
                try:
                    supervision.fence()
                except OSError:
                    log.exception("fence.failed job=%s", supervision.claim.job.id)

    def _beat(self) -> bool:
        whole = True
        for supervision in list(self._running.values()):
            asked = Instant.of(self._host.clock)
            try:
                with self._instance.db.write() as conn:
                    lease.renew(conn, supervision.claim.lease, lease_seconds=self._settings.lease_seconds)
                supervision.renewed(asked)
            except StaleFence:
                # Either somebody took it over, or its own supervisor has just ended it.
                supervision.lose()
            except HealthArchiveError as error:
                whole = False
                log.warning("heartbeat.failed job=%s: %s", supervision.claim.job.id, error)
            except Exception:
                whole = False
                log.exception("heartbeat.failed job=%s", supervision.claim.job.id)
        try:
            with self._instance.db.write() as conn:
                registry.beat(conn, self.id, draining=self._draining)
        except Exception:
            whole = False
            log.exception("heartbeat.failed worker=%s", self.id)
        return whole

    def _register(self) -> None:
        with self._instance.db.write() as conn:
            registry.register(conn, self.id, host=self._host.name, process=str(self._process))
        log.info("worker.started id=%s max_jobs=%s", self.id, self._max_jobs)

    def _say_goodbye(self) -> None:
        try:
            with self._instance.db.write() as conn:
                registry.end(conn, self.id)
        except HealthArchiveError as error:
            log.warning("worker.goodbye_failed id=%s: %s", self.id, error)
        log.info("worker.ended id=%s", self.id)

    def _patiently(self, act: Callable[[], None]) -> None:
        while not self._draining:
            try:
                act()
                return
            except StorageUnavailable as error:
                if self._until_idle:
                    raise
                log.warning("worker.waiting_for_database: %s", error)
                self._wake.wait(self._longest_pause)
                self._wake.clear()

    # -- the end -------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """End what runs at a checkpoint and wait for it; the heartbeat goes on meanwhile."""
        if self._running:
            log.info("worker.draining id=%s jobs=%s", self.id, sorted(self._running))
        for supervision in self._running.values():
            supervision.ask(Intent.DRAIN)
        while self._running:
            if self._abandoning:
                for supervision in self._running.values():
                    supervision.abandon()
                    supervision.join(timeout=5)
                log.warning("worker.left_running id=%s jobs=%s", self.id, sorted(self._running))
                return
            self._reap()
            self._wake.wait(_BUSY_SECONDS / 2)
            self._wake.clear()

    def _require_free(self) -> None:
        """The one job must not be run by anybody else: two of these commands, one wins."""
        if self._only_job is None:
            return
        with self._instance.db.read() as conn:
            seen, now = queries.get(conn, self._only_job), db.now(conn)
            held = [holder for holder in lease.holders(conn, now) if holder.job.id == seen.id]
        if held and not held[0].expired and is_alive(self._instance, held[0]) is not False:
            raise Locked(f"Job {seen.id} is already running (worker {seen.worker_id}).", hint="Nothing was started.")

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT drain. Only the main thread may install handlers; elsewhere the caller drains."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self.drain()

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def policy_of(instance: Instance) -> retry.Policy:
    """The instance's `[retry]` section."""
    section = instance.settings.retry
    return retry.Policy(
        crawl_budget=section.crawl_budget,
        backoff_min_seconds=section.infra_backoff_min_seconds,
        backoff_max_seconds=section.infra_backoff_max_seconds,
        park_after=section.infra_park_after,
    )


def is_dead(instance: Instance, row: queries.WorkerRow) -> bool:
    """Whether a worker of this host is provably gone without having said goodbye."""
    if row.host != instance.host.name:
        return False
    try:
        return not instance.host.processes.is_alive(ProcessId.parse(row.process))
    except ValueError:
        return False


def is_alive(instance: Instance, holder: lease.Holder) -> bool | None:
    """Whether the worker that holds a job runs; None if it cannot be told from this host."""
    if holder.host != instance.host.name or holder.process is None:
        return None
    try:
        return instance.host.processes.is_alive(ProcessId.parse(holder.process))
    except ValueError:
        return None
