from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from healtharchive.control.model import Execution, JobFacts, PauseJob, Plan, RecoverStale, ResetRetryCount, RetryJob, Seen
from healtharchive.control.requests import jobs as requests
from healtharchive.errors import ExitCode, UsageError
from healtharchive.jobs.lifecycle import TRANSITIONS, Event
from healtharchive.jobs.model import Attempt, Job, Kind, Status
from healtharchive.jobs.stale import Hold

NOW = datetime(2026, 1, 24, 12, tzinfo=UTC)


def job(status: Status, job_id: int = 6, **changes: Any) -> Job:
    empty: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    known = {
        "id": job_id,
        "source": "hc",
        "name": "annual-2026",
        "status": status,
        "config": {},
        "fence": 3,
        "retry_count": 0,
        "infra_failures": 0,
        "next_attempt_at": NOW,
        "updated_at": NOW - timedelta(hours=1),
        "worker_id": "vps-1" if status in (Status.RUNNING, Status.INDEXING) else None,
    }
    return Job(**(empty | known | changes))


def attempt(*, age_minutes: float, silent_seconds: float | None) -> Attempt:
    started = NOW - timedelta(minutes=age_minutes)
    moved = started if silent_seconds is None else NOW - timedelta(seconds=silent_seconds)
    empty: dict[str, Any] = dict.fromkeys(Attempt.__dataclass_fields__)
    return Attempt(**(empty | {"id": 41, "job_id": 6, "n": 1, "kind": Kind.CRAWL, "started_at": started, "progress_at": moved}))


def facts(status: Status, **changes: Any) -> JobFacts:
    return JobFacts(job(status, **changes), NOW)


def running(*, held: Hold, silent_seconds: float | None, age_minutes: float = 120, job_id: int = 6) -> JobFacts:
    return JobFacts(job(Status.RUNNING, job_id), NOW, attempt(age_minutes=age_minutes, silent_seconds=silent_seconds), held)


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(
    ("plan", "event"),
    [
        (requests.retry, Event.RETRY),
        (requests.pause, Event.PAUSE),
        (requests.resume, Event.RESUME),
        (requests.cancel, Event.CANCEL),
    ],
)
def test_a_request_is_planned_exactly_where_the_transition_table_allows_it(status: Status, plan: Any, event: Event) -> None:
    made: Plan = plan(facts(status))
    legal = event in TRANSITIONS[status]
    assert (len(made.actions), len(made.refusals)) == ((1, 0) if legal else (0, 1))
    if not legal:
        refusal = made.refusals[0]
        assert refusal.exit_code is ExitCode.REFUSED
        assert status.value in refusal.what


def test_retry_names_the_job_and_what_was_seen_of_it() -> None:
    assert requests.retry(facts(Status.FAILED)).actions == (RetryJob(6, Seen(Status.FAILED, 3)),)


def test_a_refused_retry_says_what_to_do_instead() -> None:
    refusal = requests.retry(facts(Status.PAUSED)).refusals[0]
    assert str(refusal) == "Refused to retry job 6: it is paused. Resume it: healtharchive job resume 6"


def test_a_running_job_can_be_paused_and_its_pause_taken_back_only_when_it_has_stopped() -> None:
    assert isinstance(requests.pause(facts(Status.RUNNING)).actions[0], PauseJob)
    asked = facts(Status.RUNNING, pause_requested_at=NOW)
    assert requests.resume(asked).refusals[0].rule == "pausing"


@pytest.mark.parametrize("status", [Status.RUNNING, Status.INDEXING])
@pytest.mark.parametrize("held", [Hold.HELD, Hold.UNKNOWN])
def test_running_a_running_job_is_locked(status: Status, held: Hold) -> None:
    refusal = requests.run_now(JobFacts(job(status), NOW, held=held)).refusals[0]
    assert refusal.exit_code is ExitCode.LOCKED
    assert "already running" in refusal.what


def test_a_running_job_whose_worker_is_dead_may_be_run_now() -> None:
    assert requests.run_now(running(held=Hold.FREE, silent_seconds=5)) == Plan("run", requests.ASKED)


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RETRYABLE, Status.COMPLETED])
def test_a_waiting_job_may_be_run_now(status: Status) -> None:
    assert requests.run_now(facts(status)) == Plan("run", requests.ASKED)


class TestResetRetryCount:
    def test_only_spent_budgets_are_reset(self) -> None:
        plan = requests.reset_retry_count(
            [facts(Status.FAILED, job_id=7, retry_count=3), facts(Status.RETRYABLE, job_id=8), facts(Status.QUEUED, job_id=9)]
        )
        assert plan.actions == (ResetRetryCount(7, Seen(Status.FAILED, 3)),)
        assert plan.refusals == ()

    def test_a_running_job_is_refused_and_the_others_are_not(self) -> None:
        plan = requests.reset_retry_count(
            [facts(Status.RUNNING, job_id=7, retry_count=1), facts(Status.RETRYABLE, job_id=8, retry_count=2)]
        )
        assert [action.job_id for action in plan.actions] == [8]
        assert [refusal.target for refusal in plan.refusals] == ["job:7"]
        assert "healtharchive job pause 7" in plan.refusals[0].hint

    @pytest.mark.parametrize(
        "selection",
        [
            {},
            {"source": "hc"},
            {"source": "hc", "status": Status.FAILED},
            {"source": "hc", "status": Status.FAILED, "limit": 5},  # no reason
            {"ids": [1, 2]},  # no reason
            {"ids": [1], "source": "hc"},
        ],
    )
    def test_a_request_without_bounds_or_reason_is_a_usage_error(self, selection: dict[str, Any]) -> None:
        complete = {"ids": [], "source": None, "status": None, "limit": None, "reason": None} | selection
        with pytest.raises(UsageError):
            requests.check_reset_selection(**complete)

    @pytest.mark.parametrize(
        "selection",
        [{"ids": [1]}, {"ids": [1, 2], "reason": "x"}, {"source": "hc", "status": Status.FAILED, "limit": 5, "reason": "x"}],
    )
    def test_a_bounded_and_explained_request_passes(self, selection: dict[str, Any]) -> None:
        requests.check_reset_selection(**({"ids": [], "source": None, "status": None, "limit": None, "reason": None} | selection))


class TestRecoverStale:
    """Row W11: the matrix of lock and progress."""

    @pytest.mark.parametrize("held", list(Hold))
    @pytest.mark.parametrize("silent_seconds", [5.0, 7200.0, None])
    def test_only_a_free_job_without_fresh_progress_is_recovered(self, held: Hold, silent_seconds: float | None) -> None:
        plan = requests.recover_stale(
            [running(held=held, silent_seconds=silent_seconds)], older_than_minutes=10, require_no_progress_seconds=3600
        )
        eligible = held is Hold.FREE and silent_seconds != 5.0
        assert plan.actions == ((RecoverStale(6, Seen(Status.RUNNING, 3)),) if eligible else ())
        assert len(plan.refusals) == (0 if eligible else 1)

    def test_progress_does_not_matter_unless_asked_for(self) -> None:
        plan = requests.recover_stale([running(held=Hold.FREE, silent_seconds=5)], older_than_minutes=10)
        assert len(plan.actions) == 1

    def test_a_young_attempt_is_left_alone(self) -> None:
        plan = requests.recover_stale([running(held=Hold.FREE, silent_seconds=None, age_minutes=4)], older_than_minutes=5)
        assert plan.actions == ()

    def test_the_limit_keeps_the_longest_silent(self) -> None:
        found = [
            running(held=Hold.FREE, silent_seconds=seconds, job_id=n) for n, seconds in [(1, 100.0), (2, 9000.0), (3, 500.0)]
        ]
        plan = requests.recover_stale(found, older_than_minutes=1, limit=2)
        assert [action.job_id for action in plan.actions] == [2, 3]
        assert [(refusal.target, refusal.rule) for refusal in plan.refusals] == [("job:1", "limit")]

    def test_leaving_healthy_jobs_alone_is_success(self) -> None:
        plan = requests.recover_stale([running(held=Hold.HELD, silent_seconds=1)], older_than_minutes=1)
        assert Execution(plan, dry_run=False).exit_code is ExitCode.OK

    @pytest.mark.parametrize("bad", [{"older_than_minutes": 0}, {"older_than_minutes": -1}, {"limit": 0}])
    def test_senseless_bounds_are_usage_errors(self, bad: dict[str, Any]) -> None:
        with pytest.raises(UsageError):
            requests.recover_stale([], **({"older_than_minutes": 10} | bad))


def test_a_plan_says_what_was_seen_so_that_a_changed_job_is_told() -> None:
    before, after = job(Status.FAILED), replace(job(Status.FAILED), fence=4)
    assert Seen.of(before) != Seen.of(after)
