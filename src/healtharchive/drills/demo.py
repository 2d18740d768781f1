"""The demo: archive a bundled site, change it, kill the crawler amid the second edition, and prove that nothing was lost.

Everything is real: an instance, a worker, an engine killed with SIGKILL, the web servers. What is claimed at the end is judged by
the site's own log and by reading the archive back, never by what the crawler says of itself alone.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from healtharchive import journal
from healtharchive.campaigns import sources
from healtharchive.campaigns.model import Source
from healtharchive.crawl import ledger
from healtharchive.crawl.engine import FRONTIER_FILE, UrlState
from healtharchive.crawl.ledger import FrontierUrl
from healtharchive.drills.site.content import pages
from healtharchive.drills.site.server import DemoSite, serve
from healtharchive.drills.stage import DrillFailed, Stage, stage, until
from healtharchive.host import ProcessId
from healtharchive.instance import Instance, create_instance, open_instance
from healtharchive.jobs import queries, queue
from healtharchive.jobs.model import Job, Status
from healtharchive.settings import CONFIG_NAME

SOURCE: Final = "port-laurier"
EDITION_SECONDS_MAX: Final = 45.0
WEB_SECONDS_MAX: Final = 20.0
# So many visits into the second edition the crawler is killed: some pages are finished, some in flight, most still to come.
VISITS_BEFORE_KILL: Final = 20
# The second edition is served slowly, so that its middle can be met.
SECOND_PACE_SECONDS: Final = 0.06

# Repairs wait seconds here, where an archive of real sites waits minutes.
_CONFIG: Final = """
[worker]
heartbeat_seconds = 2.0
poll_seconds = 0.2
drain_seconds = 10

[retry]
infra_backoff_min_seconds = 1

[storage]
reserve_bytes = 0

[web]
port = 0
replay_port = 0
archive_name = "HealthArchive demo"
"""
_PROFILE: Final = {"allow_private": True, "delay_factor": 0.0, "min_delay_ms": 0, "connections_per_host": 4}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Web:
    """The running web servers."""

    search: str
    replay: str


@dataclass(frozen=True)
class Killed:
    """What was so when the engine had been killed: which URLs were finished, which still to come, and every visit until then."""

    process: ProcessId
    finished: tuple[FrontierUrl, ...]
    pending: int
    visits: Counter[str]


@dataclass(frozen=True)
class Played:
    """The demo up to its judgement. Site and web servers run; `directory` holds the instance."""

    directory: Path
    instance: Instance
    site: DemoSite
    web: Web
    first: Job
    second: Job
    killed: Killed


@contextmanager
def played(say: Say, *, directory: Path | None = None) -> Iterator[Played]:
    """Play the demo; `judge.judge` says what it proved while the block runs. Raises DrillFailed if it cannot be played."""
    began = time.monotonic()

    def tell(line: str) -> None:
        say(f"{time.monotonic() - began:5.1f} s  {line}")

    with stage(directory) as on, serve() as site:
        instance = _make_instance(on)
        try:
            on.start("worker", log="worker.log")
            yield _play(on, instance, site, tell)
        finally:
            instance.close()


def _make_instance(on: Stage) -> Instance:
    create_instance(on.directory).close()
    with open(on.directory / CONFIG_NAME, "a", encoding="utf-8") as file:
        file.write(_CONFIG)
    return open_instance(on.directory)


def _play(on: Stage, instance: Instance, site: DemoSite, say: Say) -> Played:
    say(f"A health office that does not exist is at {site.url}: {len(pages(1))} pages, English and French.")
    with instance.db.write() as conn:
        source = sources.add(
            conn, name=SOURCE, seeds=[site.url], title="Port Laurier (demo)", profile=_PROFILE, actor=journal.person()
        )
    first = _wait_indexed(instance, _create_job(instance, source, "edition-1"), say)
    site.edition, site.pace_seconds = 2, SECOND_PACE_SECONDS
    say("The site changes: three pages are rewritten, one topic is new, one is gone.")
    second = _create_job(instance, source, "edition-2")
    killed = _kill_in_the_middle(instance, site, second)
    say(f"SIGKILL for the crawler after {len(killed.finished)} URLs, {killed.pending} still to come. The worker sees to it.")
    second = _wait_indexed(instance, second, say)
    web = _start_web(on)
    say("Search and replay are served. The archive is read back, the site's own log is counted.")
    return Played(on.directory, instance, site, web, first, second, killed)


def _create_job(instance: Instance, source: Source, name: str) -> Job:
    with instance.db.write() as conn:
        return queue.create_job(conn, source_id=source.id, source=source.name, name=name, actor=journal.person(), reason="demo")


def _wait_indexed(instance: Instance, job: Job, say: Say) -> Job:
    def over() -> bool:
        now = _read(instance, job)
        if now.status in (Status.FAILED, Status.INDEX_FAILED, Status.PAUSED, Status.CANCELLED):
            raise DrillFailed(f"Job {job.id} ({job.name}) is {now.status}: {now.reason}.")
        return now.status is Status.INDEXED

    until(f"job {job.id} ({job.name}) crawled and indexed", over, timeout_seconds=EDITION_SECONDS_MAX)
    done = _read(instance, job)
    say(f"Job {job.id} ({job.name}) is archived and indexed: {done.indexed_page_count} pages.")
    return done


def _kill_in_the_middle(instance: Instance, site: DemoSite, job: Job) -> Killed:
    if not site.wait_for(2, VISITS_BEFORE_KILL, timeout_seconds=EDITION_SECONDS_MAX):
        raise DrillFailed("The second edition was not crawled far enough to be interrupted.")
    with instance.db.read() as conn:
        attempt = queries.open_attempt(conn, job.id)
    if attempt is None or attempt.process is None:
        raise DrillFailed(f"Job {job.id} has no running crawler to kill.")
    process = ProcessId.parse(attempt.process)
    if not instance.host.processes.signal(process, signal.SIGKILL):
        raise DrillFailed("The crawler had ended before it could be killed.")
    until("the crawler dead", lambda: not instance.host.processes.is_alive(process), timeout_seconds=5, interval_seconds=0.005)
    found = tuple(ledger.urls(frontier_of(instance, job)))
    finished = tuple(url for url in found if url.state is not UrlState.PENDING)
    return Killed(process, finished, len(found) - len(finished), site.counts(2))


def _start_web(on: Stage) -> Web:
    child = on.start("web", "--json", "--port", "0", "--replay-port", "0", log="web.log")
    assert child.stdout is not None
    line = child.stdout.readline()  # a web server that cannot start closes it
    if not line:
        raise DrillFailed("The web servers did not start.", hint=f"See {on.directory / 'web.log'}")
    addresses = json.loads(line)
    return Web(addresses["search"].rstrip("/"), addresses["replay"].rstrip("/"))


def frontier_of(instance: Instance, job: Job) -> Path:
    return instance.jobs_root / job.output_dir / FRONTIER_FILE


def _read(instance: Instance, job: Job) -> Job:
    with instance.db.read() as conn:
        return queries.get(conn, job.id)
