"""The capture-engine protocol: what an attempt is told, what it reports, and how its supervisor steers it.

An engine is a child process that owns one job directory on local disk. It reads `attempt.json` (the resolved profile and the
fence), appends one JSON object a line to `progress.jsonl`, and leaves sealed WARCs. Supervisor, exporter and watchdog read the
same file, and no pipe ties the child to its parent: a restarted worker adopts the crawl by reading on.

    <job directory>/
        frontier.sqlite3            every URL ever found, with its state; carries the fence
        open/NAME.warc.gz.open      being written
        warcs/NAME.warc.gz          sealed, never changed again
        warcs/manifest.jsonl        one line a sealed WARC: name, size_bytes, sha256, record_count, fence, sealed_at
        attempts/0001/
            attempt.json            what this attempt is told
            progress.jsonl          what it reports
            lease                   until when it may run, in seconds of the boot clock; renewed by the supervisor
            engine.log              whatever it prints
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import ConfigDict, TypeAdapter

from healtharchive.host import ProcessId
from healtharchive.host.files import create_exclusively, replace_atomically

ATTEMPT_FILE = "attempt.json"
PROGRESS_FILE = "progress.jsonl"
LEASE_FILE = "lease"
LOG_FILE = "engine.log"
FRONTIER_FILE = "frontier.sqlite3"
OPEN_DIR = "open"
WARC_DIR = "warcs"
MANIFEST_FILE = "manifest.jsonl"
PRIOR_FILE = "prior.sqlite3"


class UrlState(StrEnum):
    """The ledger: every URL ever found is in exactly one of these, with a reason and an attempt."""

    PENDING = "pending"
    CAPTURED = "captured"
    UNCHANGED = "unchanged"
    EXCLUDED = "excluded"
    ROBOTS = "robots"
    GONE = "gone"
    BLOCKED = "blocked"
    FAILED = "failed"
    TRAP = "trap"


class End(StrEnum):
    """How an engine says its attempt ended; the supervisor turns it into an outcome of the job."""

    COMPLETE = "complete"  # nothing pending, the ledger balances
    STOPPED = "stopped"  # asked to stop; checkpointed, to be resumed
    UNLEASED = "unleased"  # nobody renewed the lease; checkpointed
    RESERVE = "reserve"  # local disk reserve reached; checkpointed
    INFRA = "infra"  # our own disk, directory or machine failed
    FENCED = "fenced"  # a newer attempt owns the directory; nothing was written
    CONFIG = "config"  # the profile cannot be run
    CRAWL = "crawl"  # the site could not be crawled (no seed answered)


@dataclass(frozen=True)
class CrawlProfile:
    """What to crawl and how: the source's profile resolved against the settings. Units as in `settings.CrawlSettings`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    seeds: tuple[str, ...]
    user_agent: str
    robots_agent: str = "HealthArchive"
    robots: Literal["obey", "ignore"] = "obey"
    allow_private: bool = False
    scope: Literal["host", "path", "domain"] = "host"  # same host, below the seed's directory, or the host and its subdomains
    include: tuple[str, ...] = ()  # regular expressions that accept a URL
    exclude: tuple[str, ...] = ()  # regular expressions that reject a URL; they win
    requisites: bool = True  # images, style sheets and scripts of pages in scope, wherever they lie
    max_pages: int | None = None  # none by default: completeness first
    max_hops: int | None = None
    connections: int = 16
    connections_per_host: int = 2
    delay_factor: float = 5.0
    min_delay_ms: int = 500
    max_delay_ms: int = 30_000
    respect_crawl_delay_up_to_seconds: int = 300
    timeout_seconds: float = 60.0
    fetch_seconds_max: float = 1200.0
    body_bytes_max: int = 1_000_000_000
    header_bytes_max: int = 262_144
    redirects_max: int = 20
    url_retries: int = 3
    retry_seconds: float = 2.0  # before the second try of a URL; six times longer before each further one
    warc_bytes: int = 1_000_000_000
    http2: bool = True
    reserve_bytes: int = 0
    fsync: bool = True  # off only in benchmarks, to show what it costs

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CrawlProfile:
        """Raises pydantic.ValidationError on an unknown key or a value of another type."""
        return _PROFILE.validate_python(dict(data))


_PROFILE = TypeAdapter(CrawlProfile)


@dataclass(frozen=True)
class AttemptSpec:
    """`attempt.json`."""

    job_id: int
    attempt: int
    fence: int
    source: str
    job_directory: str  # absolute
    warc_prefix: str  # WARC names are PREFIX-FENCE-SERIAL.warc.gz, unique in the archive
    profile: CrawlProfile
    operator: str = ""
    prior: str | None = None  # absolute path of prior.sqlite3: digests of the last captures, for revisits

    def write(self, directory: Path) -> None:
        """Create `attempt.json`; an attempt directory is never reused."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)
        create_exclusively(directory / ATTEMPT_FILE, text.encode())

    @classmethod
    def read(cls, directory: Path) -> AttemptSpec:
        data = json.loads((directory / ATTEMPT_FILE).read_bytes())
        data["profile"] = CrawlProfile.from_json(data["profile"])
        return cls(**data)


@dataclass(frozen=True)
class Event:
    """One line of `progress.jsonl`: `{"event": name, "at": ISO instant, ...}`.

    started     process (str of ProcessId), fence, resumed, recovery {adopted, requeued, cut_bytes}
    progress    counts {UrlState: n}, fetches, bytes, active [up to ten URLs]; once a second while anything moved, and every 15 s
    sealed      name, size_bytes, sha256, record_count, fence, sealed_at: the manifest's line
    finding     kind, message, url: something a person may want to know (a page finished without a record, a damaged tail)
    checkpoint  counts
    ended       end (End), reason, errno, counts: the last line
    """

    name: str
    at: str
    data: Mapping[str, Any] = field(default_factory=dict)


def read_events(directory: Path, offset: int = 0) -> Iterator[tuple[Event, int]]:
    """Complete lines of `progress.jsonl` from a byte offset on, each with the offset after it. A half-written line waits."""
    try:
        with open(directory / PROGRESS_FILE, "rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                data = json.loads(line)
                yield Event(data.pop("event"), data.pop("at"), data), offset
    except FileNotFoundError:
        return


def write_lease(directory: Path, until_boottime: float) -> None:
    """Let the engine of this attempt run until `until_boottime` (seconds of `Clock.boottime`)."""
    replace_atomically(directory / LEASE_FILE, f"{until_boottime:.3f}\n".encode())


def read_lease(directory: Path) -> float:
    """The boot time until which the engine may run; 0.0 if no lease was ever written."""
    try:
        return float((directory / LEASE_FILE).read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0.0


class RunningEngine(Protocol):
    """A started or adopted engine."""

    @property
    def process(self) -> ProcessId: ...

    def is_alive(self) -> bool: ...

    def exit_code(self) -> int | None:
        """How it ended: its code, or the negative signal number; None while it lives, or if it was not our child."""

    def progress(self) -> Sequence[Event]:
        """Events since the last call."""

    def renew(self, until_boottime: float) -> None:
        """Extend the engine's own lease."""

    def checkpoint(self) -> None:
        """Ask for a checkpoint; the answer is a `checkpoint` event. The crawl goes on."""

    def stop(self, *, hard: bool = False) -> None:
        """Ask for a checkpoint and an end; `hard` kills at once. Returns without waiting."""


class CaptureEngine(Protocol):
    """A way to capture a source."""

    @property
    def name(self) -> str: ...

    def start(self, spec: AttemptSpec, directory: Path, until_boottime: float) -> RunningEngine:
        """Write `attempt.json` and the lease, start the child. Raises OSError if the directory or the machine fails."""

    def adopt(self, directory: Path, process: ProcessId | None) -> RunningEngine:
        """Take over what runs, or ran, in `directory`. Events are read from the beginning."""
