"""Nouns of this room, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SealedWarc:
    """A WARC that will never change: a line of the manifest."""

    name: str
    size_bytes: int
    sha256: str
    record_count: int
    fence: int
    sealed_at: datetime


@dataclass(frozen=True)
class StoredWarc:
    """A sealed WARC as the database knows it. `path` is relative to the jobs root."""

    id: int
    job_id: int
    name: str
    path: str
    size_bytes: int
    sha256: str
    record_count: int
    fence: int
    sealed_at: datetime
