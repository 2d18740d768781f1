"""All that moves a job's status, as one table. Whoever writes `job.status` asks `next_status` first.

    queued ──claim──> running ──complete──> completed ──claim──> indexing ──complete──> indexed
      ^  ^              │ │ │                  ^  ^                │  │
      │  └──release─────┘ │ └─give_up─> failed │  └─retry_later────┘  └─give_up─> index_failed
      │                   └─retry_later─> retryable (claimed again)                 │
      └──resume── paused <──pause, park         └────────────retry──────────────────┘

`running` and `indexing` imply exactly one open attempt and no `finished_at`; every other status implies no open attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from healtharchive.errors import Refused
from healtharchive.jobs.model import Kind, Status


class Event(StrEnum):
    """What happens to a job."""

    CLAIM = "claim"  # a worker starts an attempt
    COMPLETE = "complete"  # the attempt did all of its work
    RETRY_LATER = "retry_later"  # the attempt failed, the job may try again
    GIVE_UP = "give_up"  # the attempt failed, the budget is spent
    RELEASE = "release"  # the attempt was ended for our own reasons (drain); nothing failed
    RECOVER = "recover"  # an attempt that nobody runs any more was ended from outside
    PAUSE = "pause"  # a person
    PARK = "park"  # the system, after too many infra failures in a row
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"  # a person gives a failed job another chance


TRANSITIONS: Mapping[Status, Mapping[Event, Status]] = {
    Status.QUEUED: {
        Event.CLAIM: Status.RUNNING,
        Event.GIVE_UP: Status.FAILED,  # what admission finds wrong with the configuration never becomes an attempt
        Event.PAUSE: Status.PAUSED,
        Event.PARK: Status.PAUSED,
        Event.CANCEL: Status.CANCELLED,
    },
    Status.RETRYABLE: {
        Event.CLAIM: Status.RUNNING,
        Event.GIVE_UP: Status.FAILED,
        Event.PAUSE: Status.PAUSED,
        Event.PARK: Status.PAUSED,
        Event.CANCEL: Status.CANCELLED,
    },
    Status.RUNNING: {
        Event.COMPLETE: Status.COMPLETED,
        Event.RETRY_LATER: Status.RETRYABLE,
        Event.GIVE_UP: Status.FAILED,
        Event.RELEASE: Status.QUEUED,
        Event.RECOVER: Status.RETRYABLE,
        Event.PAUSE: Status.PAUSED,
        Event.PARK: Status.PAUSED,
        Event.CANCEL: Status.CANCELLED,
    },
    Status.PAUSED: {Event.RESUME: Status.QUEUED, Event.CANCEL: Status.CANCELLED},
    Status.COMPLETED: {Event.CLAIM: Status.INDEXING, Event.GIVE_UP: Status.INDEX_FAILED},
    Status.INDEXING: {
        Event.COMPLETE: Status.INDEXED,
        Event.RETRY_LATER: Status.COMPLETED,
        Event.GIVE_UP: Status.INDEX_FAILED,
        Event.RELEASE: Status.COMPLETED,
        Event.RECOVER: Status.COMPLETED,
    },
    Status.INDEXED: {},
    Status.INDEX_FAILED: {Event.RETRY: Status.COMPLETED},
    Status.FAILED: {Event.RETRY: Status.RETRYABLE},
    Status.CANCELLED: {},
}

# An attempt of this kind is open exactly while the job has this status.
ATTEMPT_OF: Mapping[Status, Kind] = {Status.RUNNING: Kind.CRAWL, Status.INDEXING: Kind.INDEX}

# What a worker may claim, and the kind of the attempt that it starts.
CLAIMABLE: Mapping[Status, Kind] = {
    status: ATTEMPT_OF[events[Event.CLAIM]] for status, events in TRANSITIONS.items() if Event.CLAIM in events
}

# Statuses that carry `finished_at`: a stage of the job has come to its end.
FINISHED: frozenset[Status] = frozenset({Status.COMPLETED, Status.INDEXED, Status.INDEX_FAILED, Status.FAILED, Status.CANCELLED})


class IllegalTransition(Refused):
    """The event cannot happen to a job of this status. Nothing was changed."""

    def __init__(self, status: Status, event: Event) -> None:
        legal = sorted(event.value for event in TRANSITIONS[status])
        super().__init__(
            f"A job that is {status.value} cannot {event.value.replace('_', ' ')}.",
            hint=f"Possible now: {', '.join(legal)}." if legal else "This status is final.",
        )
        self.status = status
        self.event = event


def next_status(status: Status, event: Event) -> Status:
    """The status after `event`. Raises IllegalTransition naming both and what would be legal."""
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise IllegalTransition(status, event) from None
