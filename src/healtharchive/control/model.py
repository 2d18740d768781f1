"""Plans: what would be done, what is refused and why. A person's command and the watchdog's check both end in one.

Each action names the smallest thing it touches and what its planner saw there, so that the executor can tell a changed world
("overtaken") from the one that was decided about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from healtharchive.errors import ExitCode
from healtharchive.jobs.model import Attempt, Job, Status
from healtharchive.jobs.stale import Hold


@dataclass(frozen=True)
class JobFacts:
    """A job as it was observed at `now`, by the database's clock: its row, its open attempt, whether somebody holds its lease."""

    job: Job
    now: datetime
    attempt: Attempt | None = None
    held: Hold = Hold.FREE

    @property
    def silent_seconds(self) -> float | None:
        """For how long nothing has moved; None if no progress was ever reported (`progress_at` is then the attempt's start)."""
        if self.attempt is None or self.attempt.progress_at <= self.attempt.started_at:
            return None
        return (self.now - self.attempt.progress_at).total_seconds()


@dataclass(frozen=True)
class Seen:
    """What a planner saw of a job. Status and fence change with everything that could make its decision wrong."""

    status: Status
    fence: int

    @classmethod
    def of(cls, job: Job) -> Seen:
        return cls(job.status, job.fence)


@dataclass(frozen=True)
class RetryJob:
    """A failed job may run again, from where its frontier is; a job whose index failed is indexed again."""

    job_id: int
    seen: Seen


@dataclass(frozen=True)
class ResetRetryCount:
    """A job gets its whole retry budget back."""

    job_id: int
    seen: Seen


@dataclass(frozen=True)
class RecoverStale:
    """The open attempt of a job that nobody runs any more is closed, and the job may be claimed again."""

    job_id: int
    seen: Seen


@dataclass(frozen=True)
class PauseJob:
    """A job is not claimed until it is resumed; a running crawl checkpoints and stops first."""

    job_id: int
    seen: Seen


@dataclass(frozen=True)
class ResumeJob:
    """A paused job may be claimed again."""

    job_id: int
    seen: Seen


@dataclass(frozen=True)
class CancelJob:
    """A job never runs again; a running crawl checkpoints and stops first. What was captured stays."""

    job_id: int
    seen: Seen


Action = RetryJob | ResetRetryCount | RecoverStale | PauseJob | ResumeJob | CancelJob

VERBS: dict[type[Action], str] = {
    RetryJob: "job.retry",
    ResetRetryCount: "job.reset_retry_count",
    RecoverStale: "job.recover_stale",
    PauseJob: "job.pause",
    ResumeJob: "job.resume",
    CancelJob: "job.cancel",
}


@dataclass(frozen=True)
class Refusal:
    """Why nothing is done about one target, and what would help."""

    target: str
    rule: str
    what: str
    hint: str = ""
    exit_code: ExitCode = ExitCode.REFUSED

    def __str__(self) -> str:
        return f"{self.what} {self.hint}".rstrip()


@dataclass(frozen=True)
class Plan:
    """What one request comes to. Empty of both, there was nothing to do."""

    request: str
    reason: str
    actions: tuple[Action, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)


@dataclass(frozen=True)
class Outcome:
    """What became of one action. `overtaken`: the world had changed since the plan was made, and nothing was done."""

    action: Action
    outcome: Literal["done", "overtaken", "failed"]
    message: str = ""


@dataclass(frozen=True)
class Execution:
    """What became of a plan; of a dry run, the plan alone."""

    plan: Plan
    dry_run: bool
    outcomes: tuple[Outcome, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Refused or overtaken in part is not success: whoever asked must hear of it."""
        if any(outcome.outcome == "failed" for outcome in self.outcomes):
            return ExitCode.ERROR
        if any(outcome.outcome == "overtaken" for outcome in self.outcomes):
            return ExitCode.LOCKED
        return next((refusal.exit_code for refusal in self.plan.refusals), ExitCode.OK)
