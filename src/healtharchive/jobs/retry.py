"""What follows from how an attempt ended: budgets, waits, parking, breakers. Pure: chance and clock come from the caller."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from healtharchive.jobs.classify import Failure, Intent
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import FailureClass, Kind


@dataclass(frozen=True)
class Policy:
    """The `[retry]` section. Defaults as in the settings."""

    crawl_budget: int = 3
    backoff_min_seconds: float = 60
    backoff_max_seconds: float = 3600
    park_after: int = 10


@dataclass(frozen=True)
class Consequence:
    """What becomes of the job."""

    event: Event
    retry_count: int
    infra_failures: int
    wait_seconds: float  # until the next attempt may begin


@dataclass(frozen=True)
class Breaker:
    """A row of `breaker`: whether a domain that several jobs need may be used now."""

    domain: str
    failures: int = 0  # in a row
    opened_at: datetime | None = None
    next_probe_at: datetime | None = None
    reason: str = ""

    @property
    def is_open(self) -> bool:
        return self.opened_at is not None

    def admits(self, now: datetime) -> bool:
        """Closed, or open and due for a probe. The domain is then looked at; no job is risked on it before that succeeds."""
        return not self.is_open or self.next_probe_at is None or now >= self.next_probe_at


def backoff_seconds(failures: int, *, spread: float, policy: Policy) -> float:
    """Seconds until the next attempt after `failures` failures in a row (1 or more).

    Doubles from the least to the longest wait, then shortens by up to a quarter: `spread` in [0, 1), drawn by the caller, keeps
    jobs that failed together from returning together. With the default policy 45 to 3,600. Raises ValueError below 1: our bug,
    never an operator's. Source: incident 2026-01-24, one job picked again within the same second.
    """
    if failures < 1:
        raise ValueError(f"backoff after {failures} failures")
    if not 0 <= spread < 1:
        raise ValueError(f"spread {spread} is not in [0, 1)")
    doublings = min(failures - 1, 40)  # a power beyond any wait, and still a float
    longest = min(policy.backoff_max_seconds, policy.backoff_min_seconds * 2.0**doublings)
    return longest * (1 - spread / 4)


def after(
    failure: Failure | None,
    *,
    kind: Kind,
    retry_count: int,
    infra_failures: int,
    progressed: bool,
    policy: Policy,
    spread: float,
) -> Consequence:
    """What becomes of a job after an attempt of `kind` ended with `failure` (None: it succeeded).

    `progressed` tells that this attempt moved pages before it failed: then its infra failure is the first of a new row, because a
    crawl that gains ground every day and is killed every day must not end up parked.
    """
    if failure is None:
        return Consequence(Event.COMPLETE, 0, 0, 0.0)
    match failure.failure_class:
        case FailureClass.CANCELLED:
            return Consequence(_after_intent(failure.intent, kind), retry_count, infra_failures, 0.0)
        case FailureClass.CONFIG:
            return Consequence(Event.GIVE_UP, retry_count, infra_failures, 0.0)
        case FailureClass.CRAWL:
            spent = retry_count + 1
            if spent > policy.crawl_budget:
                return Consequence(Event.GIVE_UP, retry_count, 0, 0.0)
            return Consequence(Event.RETRY_LATER, spent, 0, backoff_seconds(spent, spread=spread, policy=policy))
        case FailureClass.INFRA:
            row = 1 if progressed else infra_failures + 1
            if row >= policy.park_after and kind is Kind.CRAWL:
                return Consequence(Event.PARK, retry_count, row, policy.backoff_max_seconds)
            return Consequence(Event.RETRY_LATER, retry_count, row, backoff_seconds(row, spread=spread, policy=policy))


def _after_intent(intent: Intent | None, kind: Kind) -> Event:
    if kind is Kind.INDEX:
        return Event.RELEASE
    match intent:
        case Intent.CANCEL:
            return Event.CANCEL
        case Intent.PAUSE:
            return Event.PAUSE
        case Intent.DRAIN | None:
            return Event.RELEASE


def breaker_after_failure(breaker: Breaker, *, now: datetime, reason: str, spread: float, policy: Policy) -> Breaker:
    """The breaker after its domain was found unusable. One failure opens it: the look itself is the proof, no job was risked."""
    failures = breaker.failures + 1
    wait = timedelta(seconds=backoff_seconds(failures, spread=spread, policy=policy))
    return Breaker(breaker.domain, failures, breaker.opened_at or now, now + wait, reason)


def breaker_after_success(breaker: Breaker) -> Breaker:
    """Closed, and the row of failures forgotten."""
    return Breaker(breaker.domain)
