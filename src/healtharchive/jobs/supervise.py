"""One attempt, from its child's start or adoption to the one guarded transaction that ends it.

The supervisor reads what the child reports, stores it, registers sealed WARCs, carries a stored intent to the child and keeps the
child's own lease as long as ours. Three ways out:

    the child ended       classify, then finish in one transaction
    the lease is lost     let go: touch neither the job nor the child, which may be its new holder's by now
    no heartbeat          for two thirds of the lease: stop the child before somebody else may run it, and report when possible
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy.engine import Connection

from healtharchive import journal
from healtharchive.crawl.engine import ATTEMPT_FILE, MANIFEST_FILE, WARC_DIR, End, Event, RunningEngine, UrlState, read_lease
from healtharchive.errors import StaleFence, StorageUnavailable
from healtharchive.host import Clock
from healtharchive.instance import Instance
from healtharchive.jobs import classify, lease, queries, retry
from healtharchive.jobs.classify import Failure, Intent
from healtharchive.jobs.launch import Launcher
from healtharchive.jobs.lease import Claim
from healtharchive.jobs.model import FailureClass, Job, Kind
from healtharchive.storage import spool
from healtharchive.storage.model import SealedWarc

log = logging.getLogger("healtharchive.jobs")

LOOK_SECONDS = 0.1
_STORE_SECONDS = 1.0  # between two writes of progress, and between two looks for an intent
_CLOSING_SECONDS = 20.0  # from a child's last word to its exit
_REPORT_SECONDS = 2.0  # between two tries to report an end to a database that is away
_SELF_FENCE = 2 / 3  # of the lease
_SAME_SECONDS = 0.01  # two writings of one instant differ by less

EventSink = Callable[[int, Event], None]


@dataclass(frozen=True)
class Instant:
    """One moment on both of a host's clocks."""

    monotonic: float
    boottime: float

    @classmethod
    def of(cls, clock: Clock) -> Instant:
        return cls(clock.monotonic(), clock.boottime())


class Supervision(threading.Thread):
    """Runs one attempt in a thread of its own. The worker's heartbeat calls `renewed` and `lose`, its drain `ask`."""

    def __init__(
        self,
        instance: Instance,
        claim: Claim,
        launcher: Launcher,
        *,
        adopted: bool,
        asked: Instant,
        policy: retry.Policy,
        actor: journal.Actor,
        on_event: EventSink | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name=f"job-{claim.job.id}", daemon=True)
        self.claim = claim
        self._instance = instance
        self._launcher = launcher
        self._adopted = adopted
        self._policy = policy
        self._actor = actor
        self._on_event = on_event
        self._on_end = on_end
        self._clock = instance.host.clock
        self._lease_seconds = instance.settings.worker.lease_seconds
        self._stop_seconds = instance.settings.worker.drain_seconds
        self._directory = instance.jobs_root / claim.attempt.directory
        self._manifest_offset = 0
        self._has_unregistered = adopted  # WARCs sealed while nobody looked
        self._unrecorded: str | None = None  # the child's identity, until a row has it
        self._wake = threading.Event()
        self._lost = False
        self._abandoned = False
        self._asked: Intent | None = None
        self.renewed(asked)
        self._given_until = 0.0  # what the child's lease file says, if nobody else wrote it
        self._child: RunningEngine | None = None
        self._fenced = 0
        self._ledger = _Ledger(claim.attempt.counts or {})

    # -- called from other threads -------------------------------------------------------------------------------------

    def renewed(self, asked: Instant) -> None:
        """The lease was granted by a statement that was sent at `asked`: the child's lease, counted from there, ends no later."""
        self._renewed_monotonic = asked.monotonic
        self._until_boottime = asked.boottime + self._lease_seconds

    def lose(self) -> None:
        """Somebody else holds the job."""
        self._lost = True
        self._wake.set()

    def ask(self, intent: Intent) -> None:
        """Stop the child. The first intent stays, except that a cancel wins over everything."""
        if self._asked is None or intent is Intent.CANCEL:
            self._asked = intent
            self._wake.set()

    def fence(self) -> None:
        """Stop the child while the lease is still ours, if the heartbeat could not keep it. Raises OSError.

        For a thread that does nothing else. It asks no database, for that may be what hangs. A lease file that somebody else
        has written tells that this process slept and the child has another holder.
        """
        child, silent_seconds = self._child, self._clock.monotonic() - self._renewed_monotonic
        if child is None or silent_seconds <= self._lease_seconds * _SELF_FENCE:
            self._fenced = 0
            return
        if read_lease(self._directory) > self._given_until + _SAME_SECONDS:
            self.lose()
            return
        step = 2 if silent_seconds > self._lease_seconds else 1
        if step > self._fenced:
            self._fenced = step
            log.warning("attempt.self_fenced job=%s attempt=%s hard=%s", self._job_id, self._n, step == 2)
            child.stop(hard=step == 2)

    def abandon(self) -> None:
        """Leave the child running, for the next worker to adopt."""
        self._abandoned = True
        self._wake.set()

    # -- the thread ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            self._run()
        except StaleFence as error:
            log.warning("lease.lost job=%s attempt=%s fence=%s: %s", self._job_id, self._n, self.claim.lease.fence, error)
        except Exception:
            # Nothing may end the worker. The lease runs out, and whoever adopts the attempt reads how it ended.
            log.exception("attempt.unsupervised job=%s attempt=%s", self._job_id, self._n)
        finally:
            self._on_end()

    def _run(self) -> None:
        running: RunningEngine | None = None
        try:
            self._child = running = self._begin()
            failure = self._follow(running)
        except StaleFence:
            raise
        except Exception as error:
            failure = classify.of_exception(error, own_paths=self._own_paths())
            log.warning("attempt.raised job=%s attempt=%s: %s", self._job_id, self._n, failure.reason, exc_info=True)
            if running is not None:
                running.stop(hard=True)
        finally:
            self._child = None
        if self._lost or self._abandoned:
            log.info("attempt.let_go job=%s attempt=%s lost=%s", self._job_id, self._n, self._lost)
            return
        self._report(failure, running.exit_code() if running is not None else None)

    def _begin(self) -> RunningEngine:
        if self._adopted:
            log.info("attempt.adopted job=%s attempt=%s fence=%s", self._job_id, self._n, self.claim.lease.fence)
            self._given_until = read_lease(self._directory)
            return self._launcher.adopt(self.claim, self._directory)
        self._given_until = self._until_boottime
        running = self._launcher.start(self.claim, self._directory, self._given_until)
        self._unrecorded = str(running.process)
        log.info("attempt.started job=%s attempt=%s process=%s", self._job_id, self._n, self._unrecorded)
        return running

    def _follow(self, running: RunningEngine) -> Failure | None:
        """Until the child has ended: how. None if it did all of its work, or if we have let go."""
        self._exchange()
        stored_at = self._clock.monotonic()
        stop_at, closing_at = None, None
        end: Event | None = None
        while not (self._lost or self._abandoned):
            alive = running.is_alive() or self._may_still_start(running)  # before reading: a dead child writes nothing more
            for event in running.progress():
                end = event if event.name == "ended" else end
                self._handle(event)
            if not alive:
                return self._how_it_ended(end, running.exit_code())
            now = self._clock.monotonic()
            if end is not None:
                closing_at = closing_at or now
                if now - closing_at > _CLOSING_SECONDS:
                    running.stop(hard=True)
            if self._until_boottime > self._given_until:
                self._renew_child(running)
            if now - stored_at >= _STORE_SECONDS:
                stored_at = now
                self._exchange()
            if self._asked is not None and end is None:
                if stop_at is None:
                    log.info("attempt.stopping job=%s attempt=%s intent=%s", self._job_id, self._n, self._asked.value)
                    running.stop()
                    stop_at = now
                elif now - stop_at > self._stop_seconds:
                    running.stop(hard=True)
            self._wake.wait(LOOK_SECONDS)
            self._wake.clear()
        return None

    def _renew_child(self, running: RunningEngine) -> None:
        before, self._given_until = self._given_until, self._until_boottime
        try:
            running.renew(self._given_until)
        except OSError as error:
            # As on a full disk. The child ends by itself if it lasts; that is its decision, with a checkpoint.
            self._given_until = before
            log.warning("attempt.not_renewed job=%s attempt=%s: %s", self._job_id, self._n, error)

    def _may_still_start(self, running: RunningEngine) -> bool:
        """Whether an adopted child that has not said who it is may yet do so: until the lease that it was given runs out."""
        try:
            running.process  # noqa: B018
        except LookupError:
            return self._clock.boottime() <= read_lease(self._directory)
        return False

    def _handle(self, event: Event) -> None:
        if event.name in ("progress", "checkpoint", "ended") and isinstance(event.data.get("counts"), Mapping):
            self._ledger.take(event.data)
        self._has_unregistered = self._has_unregistered or event.name == "sealed"
        if event.name == "finding":
            log.warning("attempt.finding job=%s attempt=%s: %s", self._job_id, self._n, event.data.get("message"))
        if self._on_event is not None:
            try:
                self._on_event(self._job_id, event)
            except Exception:
                log.exception("attempt.not_shown job=%s attempt=%s", self._job_id, self._n)
                self._on_event = None  # a display that fails must not cost a crawl

    def _exchange(self) -> None:
        """Store what the child reported and look for intents. A place that is away is waited for, not the crawl's fault."""
        try:
            if self._unrecorded is not None:
                with self._instance.db.write() as conn:
                    lease.record_process(conn, self.claim.lease, self._unrecorded)
                self._unrecorded = None
            if self._has_unregistered:
                self._sync_manifest()
            if self._ledger.changed:
                with self._instance.db.write() as conn:
                    lease.record_progress(conn, self.claim.lease, self._ledger.counts, moved=True)
                self._ledger.changed = False
            with self._instance.db.read() as conn:
                seen = queries.get(conn, self._job_id)
        except (StorageUnavailable, OSError, spool.NameTaken) as error:
            log.warning("attempt.not_stored job=%s attempt=%s: %s", self._job_id, self._n, error)
            return
        if seen.lease_token != self.claim.lease.token:
            self.lose()
        elif seen.cancel_requested_at is not None:
            self.ask(Intent.CANCEL)
        elif seen.pause_requested_at is not None:
            self.ask(Intent.PAUSE)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _how_it_ended(self, end: Event | None, exit_code: int | None) -> Failure | None:
        intent = self._intent()
        if end is None and not (self._directory / ATTEMPT_FILE).exists():
            return Failure(FailureClass.CANCELLED, "the worker was gone before the attempt began", intent=intent or Intent.DRAIN)
        if end is None:
            return classify.of_silence(exit_code, intent=intent)
        number, reason = end.data.get("errno"), str(end.data.get("reason") or "")
        return classify.of_end(End(end.data["end"]), reason=reason, number=number, intent=intent)

    def _intent(self) -> Intent | None:
        """The stored intent, also if the child was gone before we carried it there."""
        self._exchange()
        return self._asked

    def _report(self, failure: Failure | None, exit_code: int | None) -> None:
        """End the attempt. Tries until it is written, until somebody else holds the job, or until the worker is told to go."""
        sealed: list[SealedWarc] = []
        try:
            sealed, _ = spool.read_manifest(self._manifest, self._manifest_offset)
        except (OSError, ValueError, KeyError) as error:
            # Complete means that every WARC is registered; so it is not, and the next attempt's supervisor reads them again.
            failure = failure or classify.of_exception(error, own_paths=self._own_paths())
        while not (self._lost or self._abandoned):
            try:
                self._finish(failure, exit_code, sealed)
                return
            except StorageUnavailable as error:
                log.warning("attempt.not_reported job=%s attempt=%s: %s", self._job_id, self._n, error)
            except spool.NameTaken as error:
                log.error("attempt.not_registered job=%s attempt=%s: %s", self._job_id, self._n, error)
                failure, sealed = failure or classify.of_exception(error), []
                continue
            self._wake.wait(_REPORT_SECONDS)
            self._wake.clear()

    def _finish(self, failure: Failure | None, exit_code: int | None, sealed: Sequence[SealedWarc]) -> None:
        kind, ledger = self.claim.attempt.kind, self._ledger
        with self._instance.db.write() as conn:
            lease.assert_held(conn, self.claim.lease)
            self._register(conn, sealed)
            seen = queries.get(conn, self._job_id)
            consequence = retry.after(
                failure,
                kind=kind,
                retry_count=seen.retry_count,
                infra_failures=seen.infra_failures,
                progressed=ledger.progressed,
                policy=self._policy,
                spread=random.random(),  # noqa: S311 - keeps jobs apart, protects nothing
            )
            after = lease.finish(
                conn,
                self.claim.lease,
                consequence,
                failure=failure,
                actor=self._actor,
                exit_code=exit_code,
                counts=ledger.counts or None,
                indexed_page_count=ledger.pages if kind is Kind.INDEX and failure is None else None,
            )
        self._log_end(failure, exit_code, after)

    def _log_end(self, failure: Failure | None, exit_code: int | None, after: Job) -> None:
        log.info(
            "attempt.ended job=%s attempt=%s kind=%s class=%s errno=%s rc=%s status=%s retry_count=%s next_attempt_at=%s: %s",
            self._job_id,
            self._n,
            self.claim.attempt.kind.value,
            failure.failure_class.value if failure else None,
            failure.errno if failure else None,
            exit_code,
            after.status.value,
            after.retry_count,
            after.next_attempt_at.isoformat(timespec="seconds"),
            failure.reason if failure else "complete",
        )
        if failure is not None and failure.failure_class is FailureClass.INFRA:
            log.warning("infra error (RC=%s) of job %s. Not consuming retry budget", exit_code, self._job_id)

    def _sync_manifest(self) -> None:
        """Register what the manifest lists and no row says yet, under our lease."""
        sealed, offset = spool.read_manifest(self._manifest, self._manifest_offset)
        if sealed:
            with self._instance.db.write() as conn:
                lease.assert_held(conn, self.claim.lease)
                self._register(conn, sealed)
        self._manifest_offset, self._has_unregistered = offset, False

    def _register(self, conn: Connection, sealed: Sequence[SealedWarc]) -> None:
        job = self.claim.job
        for warc in sealed:
            spool.register_sealed(conn, job.id, job.source, warc, PurePosixPath(job.output_dir) / WARC_DIR / warc.name)

    @property
    def _manifest(self) -> Path:
        return self._instance.jobs_root / self.claim.job.output_dir / WARC_DIR / MANIFEST_FILE

    @property
    def _job_id(self) -> int:
        return self.claim.job.id

    @property
    def _n(self) -> int:
        return self.claim.attempt.n

    def _own_paths(self) -> list[Path]:
        return [self._instance.jobs_root.absolute(), self._instance.jobs_root]


class _Ledger:
    """The child's latest counts, and whether they moved."""

    def __init__(self, before: Mapping[str, Any]) -> None:
        self.counts: dict[str, Any] = dict(before)
        self.changed = False
        self.progressed = False
        self._first: int | None = None

    def take(self, data: Mapping[str, Any]) -> None:
        counts = dict(data["counts"])
        for key in ("fetches", "bytes"):
            if key in data:
                counts[key] = data[key]
        if counts == self.counts:
            return
        self.counts, self.changed = counts, True
        done = sum(value for key, value in counts.items() if isinstance(value, int) and key not in (UrlState.PENDING, "bytes"))
        if self._first is None:
            self._first = done
        self.progressed = self.progressed or done > self._first

    @property
    def pages(self) -> int | None:
        value = self.counts.get("pages")
        return value if isinstance(value, int) else None
