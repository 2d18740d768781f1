"""The transition table, against the one that people read."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from healtharchive.jobs import lifecycle
from healtharchive.jobs.lifecycle import TRANSITIONS, Event, IllegalTransition, next_status
from healtharchive.jobs.model import Kind, Status

_DOCUMENTED = Path(__file__).parents[3] / "docs" / "reference" / "job-states.md"


def documented() -> dict[tuple[Status, Event], Status]:
    rows = re.findall(r"^\| `(\w+)` \|[^|]+\|[^|]+\| (.+) \|$", _DOCUMENTED.read_text(encoding="utf-8"), re.MULTILINE)
    moves = [(status, *move) for status, events in rows for move in re.findall(r"(\w+) → `(\w+)`", events)]
    return {(Status(status), Event(event)): Status(after) for status, event, after in moves}


def test_the_documented_table_is_the_one_in_force() -> None:
    assert documented() == {(status, event): after for status, events in TRANSITIONS.items() for event, after in events.items()}


@pytest.mark.parametrize(("status", "event"), list(product(Status, Event)))
def test_every_pair_is_a_documented_transition_or_refused_with_what_would_be_legal(status: Status, event: Event) -> None:
    expected = documented().get((status, event))
    if expected is not None:
        assert next_status(status, event) is expected
        return
    with pytest.raises(IllegalTransition) as refused:
        next_status(status, event)
    sentence = str(refused.value)
    assert status.value in sentence
    assert event.value.replace("_", " ") in sentence
    assert all(legal.value in sentence for legal in TRANSITIONS[status])
    assert refused.value.exit_code == 14


def test_every_status_has_a_row_and_every_one_but_queued_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(Status)
    reached = {after for events in TRANSITIONS.values() for after in events.values()}
    assert reached | {Status.QUEUED} == set(Status)


def test_only_running_and_indexing_have_an_open_attempt() -> None:
    assert lifecycle.ATTEMPT_OF == {Status.RUNNING: Kind.CRAWL, Status.INDEXING: Kind.INDEX}
    assert lifecycle.CLAIMABLE == {
        Status.QUEUED: Kind.CRAWL,
        Status.RETRYABLE: Kind.CRAWL,
        Status.COMPLETED: Kind.INDEX,
    }


def test_a_status_is_not_both_finished_and_running() -> None:
    assert not lifecycle.FINISHED & set(lifecycle.ATTEMPT_OF)
