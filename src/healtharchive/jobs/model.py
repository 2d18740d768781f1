"""Nouns of this room, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Of a job. `lifecycle.TRANSITIONS` says which may follow which."""

    QUEUED = "queued"
    RUNNING = "running"
    RETRYABLE = "retryable"
    PAUSED = "paused"
    COMPLETED = "completed"
    INDEXING = "indexing"
    INDEXED = "indexed"
    INDEX_FAILED = "index_failed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Kind(StrEnum):
    """Of an attempt."""

    CRAWL = "crawl"
    INDEX = "index"


class FailureClass(StrEnum):
    """Of an attempt that did not succeed; each class has its own budget."""

    INFRA = "infra"
    CRAWL = "crawl"
    CONFIG = "config"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Job:
    """A row of `job`. Field meanings are in `tables.job`."""

    id: int
    source_id: int
    source: str
    name: str
    status: Status
    config: Mapping[str, Any]
    output_dir: str
    host: str | None
    fence: int
    lease_token: str | None
    lease_until: datetime | None
    worker_id: str | None
    retry_count: int
    infra_failures: int
    next_attempt_at: datetime
    queued_at: datetime | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    pause_requested_at: datetime | None
    crawler_status: str | None
    crawler_stage: str | None
    crawler_exit_code: int | None
    reason: str | None
    indexed_page_count: int


@dataclass(frozen=True)
class Attempt:
    """A row of `attempt`."""

    id: int
    job_id: int
    n: int
    kind: Kind
    engine: str
    fence: int
    worker_id: str
    host: str
    process: str | None
    directory: str
    log_path: str
    started_at: datetime
    heartbeat_at: datetime
    progress_at: datetime
    ended_at: datetime | None
    failure_class: FailureClass | None
    exit_code: int | None
    errno: int | None
    reason: str | None
    counts: Mapping[str, Any] | None


@dataclass(frozen=True)
class Lease:
    """The right to run one attempt of one job. Every write of its holder names all four."""

    job_id: int
    attempt_id: int
    fence: int
    token: str
