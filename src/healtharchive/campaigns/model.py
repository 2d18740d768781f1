"""Nouns of this room, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Source:
    """A site owner: what is to be crawled of them, and how it differs from the instance's `[crawl]` section.

    `name` never changes: it is in directories, WARC names and readers' links. `revision` counts changes of seeds or profile.
    """

    id: int
    name: str
    title: str
    seeds: tuple[str, ...]
    profile: Mapping[str, Any]
    revision: int
    created_at: datetime
    updated_at: datetime
