"""A small engine for drills about leases: no network, but the real frontier, recorder, recovery, progress file and lease file.

`python steady_engine.py ATTEMPT_DIRECTORY` finishes `max_pages` pages of `attempt.json`, one every `min_delay_ms`; each page is a
record and a frontier transaction under the attempt's fence. It starts in a fraction of the time that the crawler takes, so that
a drill on two cores can afford hundreds.
"""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from healtharchive.crawl.engine import (
    FRONTIER_FILE,
    OPEN_DIR,
    WARC_DIR,
    AttemptSpec,
    CrawlProfile,
    End,
    UrlState,
    read_lease,
)
from healtharchive.crawl.entries import Batch, Found, Outcome
from healtharchive.crawl.frontier import Frontier
from healtharchive.crawl.frontier_file import Fenced
from healtharchive.crawl.progress import Progress
from healtharchive.crawl.recorder import Recorder
from healtharchive.crawl.sealing import OPEN_SUFFIX, repair_manifest, seal_file
from healtharchive.errors import Locked
from healtharchive.host import Host, this_host
from healtharchive.warc.writer import truncate, walk


class SteadyCrawl:
    """One attempt."""

    def __init__(self, directory: Path, host: Host) -> None:
        self.directory = directory
        self.host = host
        self.spec = AttemptSpec.read(directory)
        self.progress = Progress(directory, host.clock)
        self.stopping = False
        self.counts: dict[str, int] = {}

    def run(self) -> End:
        """Raises Fenced, Locked, OSError."""
        if self._unleased():
            return End.UNLEASED
        job = Path(self.spec.job_directory)
        frontier = Frontier(job / FRONTIER_FILE, self.spec.fence, attempt=self.spec.attempt)
        self.progress.write("started", process=str(self.host.processes.me()), fence=self.spec.fence, resumed=frontier.resumed)
        self._seal_leftovers(job)
        pages = [f"http://site.test/{number}" for number in range(self.spec.profile.max_pages or 3)]
        frontier.commit(Batch(found=[Found(url, UrlState.PENDING, "L") for url in pages]))
        recorder = Recorder(job, prefix=self.spec.warc_prefix, fence=self.spec.fence, serial=1, warcinfo={"software": "steady"})
        while claims := frontier.claim(1, per_host=1, now=time.time()):
            if self.stopping:
                recorder.seal(job / WARC_DIR)
                return End.STOPPED
            if self._unleased():
                recorder.seal(job / WARC_DIR)
                return End.UNLEASED
            time.sleep(self.spec.profile.min_delay_ms / 1000)
            recorder.add_resource(claims[0].url, "text/plain", claims[0].url.encode(), at=datetime.now(UTC))
            recorder.flush()
            frontier.commit(Batch(outcomes=[Outcome(claims[0], UrlState.CAPTURED)]))
            self.counts = frontier.counts()
            self.progress.write("progress", counts=self.counts, fetches=self.counts["captured"])
        recorder.seal(job / WARC_DIR)
        self.progress.write("sealed", name=recorder.name)
        frontier.close()
        return End.COMPLETE

    def _seal_leftovers(self, job: Path) -> None:
        """What an attempt that was killed left open: cut behind the last whole record, then sealed. Raises Locked if it lives."""
        for path in sorted((job / OPEN_DIR).glob(f"*{OPEN_SUFFIX}")):
            records = walk(path)
            for _ in records:
                pass
            truncate(path, records.end)
            warc = seal_file(path, job / WARC_DIR, fence=self.spec.fence)
            self.progress.write("sealed", name=warc.name)
        if (job / WARC_DIR).exists():
            repair_manifest(job / WARC_DIR, fence=self.spec.fence)

    def _unleased(self) -> bool:
        return self.host.clock.boottime() > read_lease(self.directory)


def main() -> None:
    crawl = SteadyCrawl(Path(sys.argv[1]), this_host())
    signal.signal(signal.SIGTERM, lambda *_: setattr(crawl, "stopping", True))
    reason, errno = "", None
    try:
        end = crawl.run()
    except Fenced as error:
        end, reason = End.FENCED, str(error)
    except (OSError, sqlite3.Error, Locked) as error:
        end, reason, errno = End.INFRA, str(error), getattr(error, "errno", None)
    crawl.progress.end(end, reason, errno, crawl.counts)


def profile(*, pages: int = 3, page_ms: int = 20) -> CrawlProfile:
    """What the drill's jobs are told."""
    return CrawlProfile(seeds=("http://site.test/0",), user_agent="steady", max_pages=pages, min_delay_ms=page_ms)


if __name__ == "__main__":
    main()
