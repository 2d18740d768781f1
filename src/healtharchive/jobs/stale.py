"""Whether a running job is run by nobody: the judgement behind `recover-stale-jobs`. Pure.

A lease takes the place of the first generation's lock files. What cannot be told for certain counts as held: a healthy crawl is
never ended because a look at it failed (incident 2026-02-06).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from healtharchive.jobs.lifecycle import ATTEMPT_OF
from healtharchive.jobs.model import Attempt, Job


class Hold(StrEnum):
    """What is known about the holder of a job's lease."""

    FREE = "free"  # expired, or its worker is provably dead on this host
    HELD = "held"
    UNKNOWN = "unknown"  # its worker cannot be looked at from here, and the lease runs


@dataclass(frozen=True)
class Staleness:
    """The answer, with the sentence that a person reads."""

    is_stale: bool
    reason: str


def hold(seen: Job, *, now: datetime, holder_alive: bool | None) -> Hold:
    """`holder_alive` is None if the worker runs on another host, or could not be looked at."""
    if seen.lease_until is None or seen.lease_until <= now or holder_alive is False:
        return Hold.FREE
    return Hold.HELD if holder_alive else Hold.UNKNOWN


def judge(
    seen: Job,
    attempt: Attempt | None,
    *,
    held: Hold,
    now: datetime,
    older_than_minutes: float,
    require_no_progress_seconds: float | None = None,
) -> Staleness:
    """Whether the job's attempt may be ended from outside.

    It must have started more than `older_than_minutes` (above 0) ago, its lease must be free, and, if asked, it must have moved
    nothing for `require_no_progress_seconds`; a progress that nobody knows does not protect it.
    """
    if older_than_minutes <= 0:
        raise ValueError("older_than_minutes must be above 0")
    if seen.status not in ATTEMPT_OF:
        return Staleness(False, f"it is {seen.status.value}")
    started = attempt.started_at if attempt else seen.started_at
    if started is not None and started > now - timedelta(minutes=older_than_minutes):
        return Staleness(False, f"it started less than {older_than_minutes:g} minutes ago")
    if held is Hold.HELD:
        return Staleness(False, "a living worker holds its lease")
    if held is Hold.UNKNOWN:
        return Staleness(False, "its lease is potentially held: its worker cannot be looked at from here")
    if attempt is not None and require_no_progress_seconds is not None:
        idle = (now - attempt.progress_at).total_seconds()
        if idle < require_no_progress_seconds:
            return Staleness(False, f"it made progress {idle:.0f} seconds ago")
    return Staleness(True, "nobody holds its lease")
