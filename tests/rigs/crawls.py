"""Real attempts of the embedded engine in a directory of their own: start, kill, run out, and look at what is left."""

from __future__ import annotations

import io
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from warcio.archiveiterator import ArchiveIterator

from healtharchive.crawl.child import RunningChild, http_engine
from healtharchive.crawl.engine import FRONTIER_FILE, OPEN_DIR, WARC_DIR, AttemptSpec, CrawlProfile, End, Event
from healtharchive.crawl.frontier import FrontierUrl, urls
from healtharchive.host import Host, this_host

LEASE_SECONDS = 600.0


def impolite(*seeds: str, **changes: object) -> CrawlProfile:
    """A profile for servers of our own: loopback allowed, no pauses."""
    profile = CrawlProfile(
        seeds=seeds,
        user_agent="HealthArchive-drill/1.0",
        allow_private=True,
        connections=16,
        connections_per_host=16,
        delay_factor=0.0,
        min_delay_ms=0,
        max_delay_ms=0,
        timeout_seconds=10.0,
        retry_seconds=0.05,
    )
    return replace(profile, **changes)  # type: ignore[arg-type]


@dataclass
class CrawledJob:
    """One job directory and its attempts, numbered by themselves; the fence is the attempt's number."""

    directory: Path
    profile: CrawlProfile
    prior: Path | None = None
    attempts: int = 0
    host: Host = this_host()  # noqa: RUF009 - facts of this machine

    @property
    def frontier(self) -> Path:
        return self.directory / FRONTIER_FILE

    def attempt_directory(self) -> Path:
        return self.directory / "attempts" / f"{self.attempts:04d}"

    def start(self, *, lease_seconds: float = LEASE_SECONDS) -> RunningChild:
        self.attempts += 1
        self.directory.mkdir(parents=True, exist_ok=True)
        spec = AttemptSpec(
            job_id=1,
            attempt=self.attempts,
            fence=self.attempts,
            source="drill",
            job_directory=str(self.directory),
            warc_prefix="drill-1",
            profile=self.profile,
            operator="drill",
            prior=str(self.prior) if self.prior else None,
        )
        return http_engine(self.host).start(spec, self.attempt_directory(), self.host.clock.boottime() + lease_seconds)

    def run(self, *, timeout: float = 60.0) -> list[Event]:
        """One attempt to its end; its events."""
        return self.wait(self.start(), timeout=timeout)

    def wait(self, engine: RunningChild, *, timeout: float = 60.0) -> list[Event]:
        deadline = time.monotonic() + timeout
        while engine.is_alive():
            if time.monotonic() > deadline:
                engine.stop(hard=True)
                raise TimeoutError(f"the engine did not end within {timeout} s:\n{self.log()}")
            time.sleep(0.01)
        events = list(engine.progress())
        if not events or events[-1].name != "ended":
            raise AssertionError(f"the engine ended without saying so:\n{self.log()}")
        return events

    def kill(self, engine: RunningChild) -> None:
        """SIGKILL, and wait until the kernel has taken everything back."""
        engine.stop(hard=True)
        while engine.is_alive():
            time.sleep(0.001)

    def log(self) -> str:
        path = self.attempt_directory() / "engine.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def urls(self) -> dict[str, FrontierUrl]:
        return {row.url: row for row in urls(self.frontier)}

    def states(self) -> dict[str, str]:
        return {url: str(row.state) for url, row in self.urls().items()}

    def warcs(self) -> list[Path]:
        return sorted((self.directory / WARC_DIR).glob("*.warc.gz"))

    def open_warcs(self) -> list[Path]:
        return sorted((self.directory / OPEN_DIR).glob("*.open"))


def end_of(events: list[Event]) -> End:
    return End(events[-1].data["end"])


def captured_urls(data: bytes) -> Counter[str]:
    """URLs of response and revisit records, read by warcio to the end; it raises on anything that is not a whole record."""
    return Counter(
        record.rec_headers.get_header("WARC-Target-URI")
        for record in ArchiveIterator(io.BytesIO(data))
        if record.rec_type in ("response", "revisit") and record.content_stream().read() is not None
    )


def record_url_at(data: bytes, offset: int, length: int) -> str:
    """The URL of the one record in a member."""
    (record,) = list(ArchiveIterator(io.BytesIO(data[offset : offset + length])))
    return str(record.rec_headers.get_header("WARC-Target-URI"))
