"""Budgets, waits, parking and breakers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from healtharchive.jobs import retry
from healtharchive.jobs.classify import Failure, Intent
from healtharchive.jobs.lifecycle import Event
from healtharchive.jobs.model import FailureClass, Kind
from healtharchive.jobs.retry import Breaker, Consequence, Policy

POLICY = Policy()
NOW = datetime(2026, 1, 24, 6, 28, tzinfo=UTC)


def after(
    failure: Failure | None, *, kind: Kind = Kind.CRAWL, retry_count: int = 0, infra_failures: int = 0, progressed: bool = False
) -> Consequence:
    return retry.after(
        failure,
        kind=kind,
        retry_count=retry_count,
        infra_failures=infra_failures,
        progressed=progressed,
        policy=POLICY,
        spread=0.0,
    )


INFRA, CRAWL, CONFIG = (Failure(c, "x") for c in (FailureClass.INFRA, FailureClass.CRAWL, FailureClass.CONFIG))


def test_waits_double_from_a_minute_to_an_hour() -> None:
    waits = [retry.backoff_seconds(n, spread=0, policy=POLICY) for n in range(1, 10)]
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_within_its_bounds_whatever_the_chance(failures: int, spread: float) -> None:
    assert 45 <= retry.backoff_seconds(failures, spread=spread, policy=POLICY) <= 3600


@pytest.mark.parametrize(("failures", "spread"), [(0, 0.0), (-1, 0.0), (1, 1.0), (1, -0.1)])
def test_a_wait_after_no_failure_is_our_bug(failures: int, spread: float) -> None:
    with pytest.raises(ValueError):
        retry.backoff_seconds(failures, spread=spread, policy=POLICY)


@given(st.integers(0, 3), st.integers(0, 100), st.booleans(), st.sampled_from(Kind))
def test_infra_failures_never_touch_the_retry_budget(count: int, row: int, progressed: bool, kind: Kind) -> None:
    found = after(INFRA, kind=kind, retry_count=count, infra_failures=row, progressed=progressed)
    assert found.retry_count == count
    assert found.event in (Event.RETRY_LATER, Event.PARK)
    assert found.wait_seconds >= 45


def test_the_tenth_infra_failure_in_a_row_parks_a_crawl_and_only_slows_an_index() -> None:
    assert after(INFRA, infra_failures=8).event is Event.RETRY_LATER
    assert after(INFRA, infra_failures=9).event is Event.PARK
    assert after(INFRA, infra_failures=40, kind=Kind.INDEX).event is Event.RETRY_LATER


def test_an_attempt_that_gained_ground_starts_a_new_row() -> None:
    found = after(INFRA, infra_failures=9, progressed=True)
    assert (found.event, found.infra_failures, found.wait_seconds) == (Event.RETRY_LATER, 1, 60)


def test_a_job_survives_three_crawl_failures() -> None:
    counts, events, count = [], [], 0
    for _ in range(4):
        found = after(CRAWL, retry_count=count)
        count = found.retry_count
        counts.append(count)
        events.append(found.event)
    assert events == [Event.RETRY_LATER] * 3 + [Event.GIVE_UP]
    assert counts == [1, 2, 3, 3]


def test_a_configuration_is_never_tried_again_and_success_clears_the_counters() -> None:
    assert after(CONFIG).event is Event.GIVE_UP
    assert after(None, retry_count=2, infra_failures=5) == Consequence(Event.COMPLETE, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("intent", "event"), [(Intent.CANCEL, Event.CANCEL), (Intent.PAUSE, Event.PAUSE), (Intent.DRAIN, Event.RELEASE)]
)
def test_what_we_stopped_ourselves_spends_nothing(intent: Intent, event: Event) -> None:
    stopped = Failure(FailureClass.CANCELLED, "x", intent=intent)
    assert after(stopped, retry_count=2, infra_failures=3) == Consequence(event, 2, 3, 0.0)
    assert after(stopped, kind=Kind.INDEX).event is Event.RELEASE


def test_a_breaker_opens_at_once_waits_longer_each_time_and_forgets_on_success() -> None:
    breaker = Breaker("jobs-root@here")
    assert breaker.admits(NOW)
    opened = retry.breaker_after_failure(breaker, now=NOW, reason="full", spread=0, policy=POLICY)
    assert opened.is_open
    assert not opened.admits(NOW + timedelta(seconds=59))
    assert opened.admits(NOW + timedelta(seconds=60))
    again = retry.breaker_after_failure(opened, now=NOW + timedelta(seconds=60), reason="full", spread=0, policy=POLICY)
    assert (again.opened_at, again.failures) == (NOW, 2)
    assert not again.admits(NOW + timedelta(seconds=179))
    assert retry.breaker_after_success(again) == breaker
