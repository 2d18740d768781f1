"""A website that does everything wrong: one recorded outcome each, the crawl goes on, memory stays bounded.

The site is `tests/rigs/hostile.py`, on loopback; what an operator and a disk can do wrong is in test_bad_machine.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from tests.rigs.command_line import Ended, process
from tests.rigs.fetching import prove
from tests.rigs.hostile import BODY_BYTES_MAX, PROFILE, HostileSite, hostile_site
from tests.rigs.memory import peak_bytes_of
from tests.rigs.namespaces import in_a_network_of_its_own
from tests.rigs.rawserver import Script, raw_server

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

MIB = 1 << 20
# Some 80 of its own, and at worst 400 for the tree of a document, of which one at a time is read up to 16 MiB.
ENGINE_BYTES_MAX = 512 * MIB
STATES = ("pending", "captured", "unchanged", "excluded", "robots", "gone", "blocked", "failed", "trap")
QUICK = ("--allow-private", "--delay-ms", "0", "--connections", "4")


@dataclass(frozen=True)
class Crawled:
    """What `archive` of the hostile site came to."""

    site: HostileSite
    root: Path
    ended: Ended
    engine_bytes: int

    def run(self, *words: str) -> Ended:
        return process("--instance", self.root, *words)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Every row of the ledger, as the command shows it."""
        return [row for state in STATES for row in self.run("job", "ledger", "1", "--state", state, "--json").json["urls"]]

    def warcs(self) -> list[Path]:
        return sorted((self.root / "jobs").rglob("warcs/*.warc.gz"))


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    directory = tmp_path_factory.mktemp("hostile")
    root = directory / "instance"
    assert process("init", root).code == 0
    profile = [word for key, value in PROFILE.items() for word in ("--set", f"{key}={value}")]
    with hostile_site(directory / "site") as site:
        words = ("archive", site.start, "--instance", str(root), *QUICK, *profile, "--json")
        environ = {**os.environ, "SSL_CERT_FILE": str(site.authority), "SSL_CERT_DIR": str(directory)}
        ended, engine_bytes = watched(words, environ)
    return Crawled(site, root, ended, engine_bytes)


def watched(words: tuple[str, ...], environ: dict[str, str]) -> tuple[Ended, int]:
    """Run a command; with the most memory that an engine below it ever held."""
    child = subprocess.Popen(
        [sys.executable, "-m", "healtharchive.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )
    with peak_bytes_of(child.pid, "healtharchive.crawl.http") as peak:
        out, err = child.communicate(timeout=100)
    return Ended(child.returncode, out, err), peak.bytes


def test_the_crawl_goes_on_to_its_end_and_everything_is_indexed(crawled: Crawled) -> None:
    assert crawled.ended.code == 0, crawled.ended.out + crawled.ended.err
    answer = crawled.ended.json
    assert answer["job"]["status"] == "indexed"
    assert "pending" not in answer["ledger"]
    assert "Traceback" not in crawled.ended.err
    assert crawled.run("search", "wickedness", "--json").json["total"] == 1


def test_each_bad_thing_has_exactly_one_recorded_outcome_that_a_person_understands(crawled: Crawled) -> None:
    rows = crawled.rows
    by_url = {row["url"]: row for row in rows}
    assert len(by_url) == len(rows) == sum(crawled.ended.json["ledger"].values())
    wrong = []
    for bad in crawled.site.bad:
        row = by_url.get(bad.url)
        if row is None or row["state"] != bad.state or bad.words not in f"{row['reason']} {row['rule']}":
            wrong.append((bad, row))
    assert wrong == []
    # Whatever is neither stored nor out of scope says why in words.
    assert [row for row in rows if row["state"] in ("failed", "blocked", "gone") and not row["reason"]] == []


def test_links_of_damaged_pages_are_found_and_fetched(crawled: Crawled) -> None:
    by_url = {row["url"]: row["state"] for row in crawled.rows}
    assert {by_url.get(url) for url in crawled.site.found} == {"captured"}


def test_the_ledger_shows_each_reason_to_a_person(crawled: Crawled) -> None:
    shown = crawled.run("job", "ledger", "1", "--state", "failed").out
    assert "nowhere.invalid cannot be resolved" in shown
    assert "its certificate was not accepted" in shown


def test_every_warc_is_whole(crawled: Crawled) -> None:
    assert crawled.warcs()
    for path in crawled.warcs():
        prove(path)
    assert crawled.run("verify").code == 0


def test_memory_and_disk_stay_bounded(crawled: Crawled) -> None:
    assert 0 < crawled.engine_bytes < ENGINE_BYTES_MAX, f"{crawled.engine_bytes / MIB:.0f} MiB"
    # Two bodies were cut at the limit, and a gzip bomb is as small as it came.
    assert sum(path.stat().st_size for path in crawled.warcs()) < 3 * BODY_BYTES_MAX
    spilled = [path for path in (crawled.root / "jobs").rglob("open/*") if path.is_file()]
    assert spilled == []


def test_nothing_that_a_site_sends_makes_the_engine_stumble(crawled: Crawled) -> None:
    logs = list((crawled.root / "jobs").rglob("engine.log"))
    assert logs
    assert [log for log in logs if "Traceback" in log.read_text(errors="replace")] == []
    events = crawled.run("job", "logs", "1", "--attempt", "1", "--json").out
    assert [line for line in events.splitlines() if json.loads(line).get("event") == "finding"] == []


PRIVATE = (
    "http://127.0.0.1:{port}/secret.png",
    "http://[::1]:{port}/secret.png",
    "http://[::ffff:127.0.0.1]:{port}/secret.png",
    "http://2130706433:{port}/secret.png",
    "http://0x7f.1:{port}/secret.png",
    "http://localhost:{port}/secret.png",
    "http://10.0.0.1/secret.png",
    "http://169.254.169.254/latest/meta-data/secret.png",
)


def test_private_addresses_are_excluded_from_a_public_crawl_by_name(tmp_path: Path) -> None:
    """In a network of its own, where a public address is ours: its page refers to private ones in every spelling."""
    public = "11.0.0.1"

    def drill() -> tuple[Ended, list[dict[str, Any]], int]:
        ok = Script(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1\r\n\r\n.")
        robots = Script(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
        with raw_server({"/robots.txt": robots, "/secret.png": ok}) as secret:
            refers = "".join(f'<img src="{url.format(port=secret.port)}">' for url in PRIVATE)
            refers += '<a href="/away">away</a><a href="/ok.png">ok</a>'
            page = Script(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + refers.encode())
            lead = f"HTTP/1.1 302 Away\r\nLocation: {secret.url('/secret.png?away')}\r\nContent-Length: 0\r\n\r\n"
            pages = {"/": page, "/robots.txt": robots, "/sitemap.xml": robots, "/away": Script(lead.encode()), "/ok.png": ok}
            with raw_server(pages, address=public) as site:
                assert process("init", tmp_path).code == 0
                ended = process("archive", site.url("/"), "--instance", tmp_path, "--delay-ms", "0", "--json", timeout=60)
                rows = process("job", "ledger", "1", "--state", "excluded", "--json", "--instance", tmp_path).json["urls"]
                return ended, rows, secret.connections

    ended, rows, connections = in_a_network_of_its_own(public, drill)
    assert ended.code == 0, ended.err
    assert connections == 0, "a private address was reached"
    # The first, fourth and fifth are one URL. The redirect leads out of scope before it leads anywhere private.
    private = [row for row in rows if row["rule"] == "private-address"]
    pages = {row["url"] for row in private if not row["url"].endswith("/robots.txt")}
    assert len(pages) == len(PRIVATE) - 2
    assert all("no public address" in row["reason"] for row in private)
