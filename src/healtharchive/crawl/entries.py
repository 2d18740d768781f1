"""What goes into the frontier and comes out of it, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from healtharchive.crawl.engine import UrlState


class Claim(NamedTuple):
    """A URL to be fetched now. `id` is None for one that is not in the frontier yet (a robots.txt)."""

    id: int | None
    key: bytes
    url: str
    hop: str
    hops: int
    embeds: int
    redirects: int
    tries: int
    via_url: str | None


class Found(NamedTuple):
    """A URL seen for the first time, perhaps. `hops` counts from the seed, `embeds` and `redirects` in a row up to here."""

    url: str
    state: UrlState
    hop: str
    hops: int = 0
    embeds: int = 0
    redirects: int = 0
    via: int | None = None
    rule: str = ""
    reason: str = ""


class Position(NamedTuple):
    """Where a response or revisit record lies. `digest` is the raw SHA-256 of its payload."""

    warc: str
    offset: int
    length: int
    revisit: bool
    digest: bytes
    payload_size: int
    captured_at: str


class Outcome(NamedTuple):
    """How one try of a URL ended. `state` PENDING with a later `next_try` is a retry."""

    claim: Claim
    state: UrlState
    reason: str = ""
    rule: str = ""
    tries: int = 0
    next_try: float = 0.0
    status: int | None = None
    position: Position | None = None


class RobotsSeen(NamedTuple):
    """The robots.txt of an origin: `status` None is "unreachable, and its retries are spent"."""

    origin: str
    status: int | None
    body: bytes
    fetched_at: float


class WarcLength(NamedTuple):
    """A WARC whose first `length` bytes are synced and hold `responses` response and revisit records."""

    name: str
    length: int
    responses: int


@dataclass
class Batch:
    """What one transaction makes durable together."""

    found: list[Found] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    robots: list[RobotsSeen] = field(default_factory=list)
    warcs: list[WarcLength] = field(default_factory=list)
    in_flight: Sequence[int] = ()

    def __bool__(self) -> bool:
        return bool(self.found or self.outcomes or self.robots or self.warcs)


@dataclass(frozen=True)
class WarcRow:
    name: str
    committed_length: int
    responses: int
    sealed: bool
