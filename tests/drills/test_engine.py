"""The embedded engine as a process, against real servers: how it ends, what it stores, and what becomes of each URL."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from tests.rigs.crawls import CrawledJob, captured_urls, end_of, impolite
from tests.rigs.nginx import Nginx, Site, nginx
from warcio.archiveiterator import ArchiveIterator

from healtharchive.crawl.engine import End, UrlState, read_events
from healtharchive.crawl.frontier import Frontier, ledger
from healtharchive.warc.urls import url_key

pytestmark = pytest.mark.drill

CHALLENGE = '<!doctype html><title>Just a moment...</title><script src="/cdn-cgi/challenge-platform/h/b/x.js"></script>'
ODDITIES = f"""
    location = /robots.txt {{ default_type text/plain; return 200 "User-agent: *\\nDisallow: /private/\\n"; }}
    location ~ ^/endless/(.*)$ {{ return 302 /endless/$1a; }}
    location = /moved {{ return 301 /page.html; }}
    location = /refused {{ return 403; }}
    location = /broken {{ return 500; }}
    location = /gone {{ return 410; }}
    location = /challenge {{ default_type text/html; return 200 '{CHALLENGE}'; }}
"""
FAILING_ROBOTS = "location = /robots.txt { return 503; }"
SLOW = "location / { limit_rate 10k; }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    base = tmp_path_factory.mktemp("sites")
    odd = base / "odd"
    odd.mkdir()
    links = ["page.html", "copy.html", "moved", "refused", "broken", "gone", "challenge", "endless/", "private/x.html", "missing",
             "http://nowhere.invalid/", "mailto:a@b.c", "http://127.0.0.1:1/refuses.html"]  # fmt: skip
    requisites = '<img src="http://nowhere.invalid/logo.png"><img src="http://127.0.0.1:1/logo.png">'
    (odd / "index.html").write_text("<title>Odd</title>" + requisites + "".join(f'<a href="{link}">{link}</a>' for link in links))
    (odd / "page.html").write_text("<title>Page</title>" + " ".join(str(number**3) for number in range(1000)))
    (odd / "copy.html").write_text((odd / "page.html").read_text())
    many, few = base / "many", base / "few"
    for root, pages in ((many, 300), (few, 80)):
        root.mkdir()
        for number in range(pages):
            (root / f"{number}.html").write_text(f"<title>{number}</title>" + f"<p>text {number} " * 1500)
        (root / "index.html").write_text("".join(f'<a href="{number}.html">' for number in range(pages)))
    sites = [
        Site("odd", odd, extra=ODDITIES),
        Site("unsure", many, extra=FAILING_ROBOTS),
        Site("many", many),
        Site("slow", few, gzip=False, extra=SLOW),
    ]
    with nginx(base / "nginx", *sites) as running:
        yield running


def test_every_url_ends_in_one_state_with_a_reason_and_the_crawl_goes_on(server: Nginx, tmp_path: Path) -> None:
    seed = server.url("odd")
    job = CrawledJob(tmp_path / "job", impolite(seed, redirects_max=5))
    events = job.run()
    assert end_of(events) is End.COMPLETE, events[-1]
    rows = job.urls()
    states = {url.removeprefix(seed): row.state for url, row in rows.items()}
    assert states["page.html"] == states["copy.html"] == states["moved"] == UrlState.CAPTURED
    assert states["refused"] == states["challenge"] == UrlState.BLOCKED
    assert states["gone"] == states["missing"] == UrlState.GONE
    assert states["broken"] == UrlState.FAILED
    assert rows[seed + "broken"].tries == job.profile.url_retries
    assert states["private/x.html"] == UrlState.ROBOTS
    assert states["http://nowhere.invalid/"] == UrlState.EXCLUDED
    assert rows["http://nowhere.invalid/logo.png"].state == UrlState.FAILED
    assert rows["http://nowhere.invalid/logo.png"].reason.startswith("dns")
    assert rows["http://127.0.0.1:1/logo.png"].state == UrlState.FAILED
    assert "refused" in rows["http://127.0.0.1:1/logo.png"].reason
    endless = [row for url, row in rows.items() if "/endless/" in url]
    assert sum(row.state == UrlState.CAPTURED for row in endless) == 5 + 1
    assert [row.rule for row in endless if row.state == UrlState.FAILED] == ["redirects_max"]
    assert all(row.attempt == 1 for row in rows.values())
    assert all(row.reason for row in rows.values() if row.state in (UrlState.FAILED, UrlState.BLOCKED, UrlState.GONE))
    assert sum(events[-1].data["counts"].values()) == len(rows)


def test_the_same_payload_at_another_url_is_stored_once(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("odd"), connections=1))
    job.run()
    (warc,) = job.warcs()
    kinds = {}
    with open(warc, "rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type in ("response", "revisit"):
                kinds[record.rec_headers.get_header("WARC-Target-URI").rpartition("/")[2]] = record.rec_type
    assert {kinds["page.html"], kinds["copy.html"]} == {"response", "revisit"}


def test_a_page_that_did_not_change_is_asked_for_conditionally_and_recorded_as_revisit(server: Nginx, tmp_path: Path) -> None:
    seed = server.url("many")
    written = server.directory.parent / "many" / "7.html"
    first = CrawledJob(tmp_path / "first", impolite(seed))
    assert end_of(first.run()) is End.COMPLETE
    prior = tmp_path / "prior.sqlite3"
    with sqlite3.connect(prior) as db:
        db.execute(
            "CREATE TABLE prior (url_key BLOB PRIMARY KEY, url, captured_at TEXT, payload_digest, etag, last_modified, "
            "record_id, mime)"
        )
        db.execute("CREATE TABLE known (url TEXT PRIMARY KEY)")
        db.executemany("INSERT INTO known VALUES (?)", [(row.url,) for row in first.urls().values()])
        for row in first.urls().values():
            if row.state == UrlState.CAPTURED:
                last_modified = formatdate(written.stat().st_mtime, usegmt=True)
                # 7.html passes for an image: only what bears no links is asked for with a condition.
                mime = "image/png" if row.url.endswith("/7.html") else "text/html"
                db.execute(
                    "INSERT INTO prior VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (url_key(row.url), row.url, row.captured_at, row.digest, None, last_modified, None, mime),
                )
    db.close()
    second = CrawledJob(tmp_path / "second", impolite(seed), prior=prior)
    assert end_of(second.run()) is End.COMPLETE
    rows = second.urls()
    assert ledger(second.frontier)[UrlState.UNCHANGED] == ledger(first.frontier)[UrlState.CAPTURED]
    assert rows[seed + "7.html"].status == 304
    assert rows[seed + "8.html"].status == 200
    size = sum(path.stat().st_size for path in second.warcs())
    assert size < sum(path.stat().st_size for path in first.warcs()) * 1.2


def test_a_stopped_crawl_is_resumed_where_it_was(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), connections=4))
    engine = job.start()
    _wait_for(job, r'"fetches": [1-9]')
    engine.stop()
    events = job.wait(engine)
    assert end_of(events) is End.STOPPED
    assert events[-2].name == "checkpoint"
    assert 0 < events[-1].data["counts"]["captured"] < 80
    assert job.open_warcs() == []
    done = {url for url, row in job.urls().items() if row.state == UrlState.CAPTURED}
    before = len(server.accesses())
    job.profile = impolite(server.url("slow"), connections=16)
    assert end_of(job.run()) is End.COMPLETE
    asked = {server.url("slow").rstrip("/") + access.uri for access in server.accesses()[before:]}
    assert asked & done == set()


def test_a_checkpoint_is_answered_while_the_crawl_goes_on(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), connections=4))
    engine = job.start()
    _wait_for(job, '"event": "progress"')
    engine.checkpoint()
    _wait_for(job, '"event": "checkpoint"')
    assert engine.is_alive()
    engine.stop(hard=True)


def test_an_engine_whose_lease_nobody_renews_ends_by_itself(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), connections=2))
    started = time.monotonic()
    events = job.wait(job.start(lease_seconds=2.0))
    assert end_of(events) is End.UNLEASED
    assert time.monotonic() - started < 10
    assert job.open_warcs() == []


def test_a_crawl_pauses_when_the_disk_reserve_is_reached(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), reserve_bytes=1 << 60))
    assert end_of(job.run()) is End.RESERVE


def test_an_engine_that_was_taken_over_writes_nothing_more(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), connections=2))
    engine = job.start()
    _wait_for(job, r'"fetches": [1-9]')
    os.kill(engine.process.pid, signal.SIGSTOP)
    Frontier(job.frontier, 7).close()
    before = ledger(job.frontier)
    os.kill(engine.process.pid, signal.SIGCONT)
    assert end_of(job.wait(engine)) is End.FENCED
    assert ledger(job.frontier) == before


def test_a_second_engine_refuses_while_the_first_one_lives(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("slow"), connections=2))
    first = job.start()
    _wait_for(job, r'"fetches": [1-9]')
    events = job.run()
    assert end_of(events) is End.INFRA
    assert "still" in events[-1].data["reason"]
    first.stop(hard=True)


def test_a_robots_txt_that_fails_forbids_everything_and_says_so(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("unsure")))
    events = job.run()
    assert end_of(events) is End.CRAWL
    rows = job.urls()
    assert rows[server.url("unsure")].state == UrlState.ROBOTS
    assert "503" in rows[server.url("unsure")].reason
    assert rows[server.url("unsure", "/robots.txt")].tries == job.profile.url_retries


def test_a_site_that_does_not_answer_is_the_crawls_failure_and_its_seed_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    job = CrawledJob(tmp_path / "job", impolite(f"http://127.0.0.1:{port}/"))
    events = job.run()
    assert end_of(events) is End.CRAWL
    assert "refused" in events[-1].data["reason"]
    assert end_of(job.run()) is End.CRAWL
    assert job.urls()[f"http://127.0.0.1:{port}/"].attempt == 2


@pytest.mark.parametrize(
    ("seed", "allow_private"), [("ftp://example.org/", True), ("nonsense", True), ("http://127.0.0.1:9/", False)]
)
def test_a_seed_that_may_not_be_fetched_is_a_matter_of_configuration(seed: str, allow_private: bool, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(seed, allow_private=allow_private))
    assert end_of(job.run()) is End.CONFIG


def test_a_limit_of_pages_excludes_the_rest_by_name(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("many"), max_pages=10))
    events = job.run()
    assert end_of(events) is End.COMPLETE
    rows = list(job.urls().values())
    assert sum(row.state == UrlState.CAPTURED for row in rows) == 10
    assert {row.rule for row in rows if row.state == UrlState.EXCLUDED} == {"max_pages"}


def test_warcs_are_rolled_over_by_size_and_hold_each_page_once(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("many"), warc_bytes=50_000))
    events = job.run()
    assert end_of(events) is End.COMPLETE
    assert len(job.warcs()) > 2
    assert [event.data["name"] for event in events if event.name == "sealed"] == [path.name for path in job.warcs()]
    counted = captured_urls(b"".join(path.read_bytes() for path in job.warcs()))
    assert set(counted.values()) == {1}


def test_a_full_disk_is_our_failure_and_loses_nothing(server: Nginx, tmp_path: Path) -> None:
    """The limit on file sizes stands in for the disk: the write fails in the middle, with an errno of its own."""
    job = CrawledJob(tmp_path / "job", impolite(server.url("many")))
    engine = job.start()
    engine.stop(hard=True)
    while engine.is_alive():
        time.sleep(0.01)
    job.attempts += 1
    directory = job.attempt_directory()
    directory.mkdir()
    previous = job.directory / "attempts" / "0001"
    text = (previous / "attempt.json").read_text().replace('"attempt": 1', '"attempt": 2').replace('"fence": 1', '"fence": 2')
    (directory / "attempt.json").write_text(text)
    (directory / "lease").write_text("1e12\n")
    subprocess.run(
        [sys.executable, "-m", "healtharchive.crawl.http", str(directory)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)),
        check=False,
        capture_output=True,
    )
    last = list(read_events(directory))[-1][0]
    assert last.data["end"] == End.INFRA, last
    assert last.data["errno"] is not None
    assert end_of(job.run()) is End.COMPLETE
    assert ledger(job.frontier)[UrlState.CAPTURED] == 301
    assert set(captured_urls(b"".join(path.read_bytes() for path in job.warcs())).values()) == {1}


def test_the_process_that_reads_links_may_die_and_the_crawl_goes_on(server: Nginx, tmp_path: Path) -> None:
    job = CrawledJob(tmp_path / "job", impolite(server.url("many"), min_delay_ms=10, max_delay_ms=10))
    engine = job.start()
    _wait_for(job, '"captured": [1-9]')
    (reader,) = Path(f"/proc/{engine.process.pid}/task/{engine.process.pid}/children").read_text().split()
    os.kill(int(reader), signal.SIGKILL)
    assert end_of(job.wait(engine)) is End.COMPLETE
    states = [row.rule if row.state == UrlState.FAILED else row.state for row in job.urls().values() if row.hop != "P"]
    # All but the page that it was reading just then, if there was one.
    assert states.count(UrlState.CAPTURED) >= 300
    assert states.count(UrlState.CAPTURED) + states.count("links_unread") == 301
    assert not Path(f"/proc/{engine.process.pid}").exists()


def _wait_for(job: CrawledJob, text: str, seconds: float = 10.0) -> None:
    path = job.attempt_directory() / "progress.jsonl"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and re.search(text, path.read_text()):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{text} never came:\n{job.log()}")
