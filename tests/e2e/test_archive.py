"""From a URL to a searchable, replayable archive, in two commands, each a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.rigs.command_line import Ended, process

from healtharchive.drills.site.content import pages
from healtharchive.drills.site.server import DemoSite, serve

QUICK = ("--allow-private", "--delay-ms", "0", "--connections", "4")


@dataclass(frozen=True)
class Archived:
    """An instance that has archived the bundled site."""

    root: Path
    site: DemoSite
    ended: Ended

    def run(self, *words: str) -> Ended:
        return process("--instance", self.root, *words)


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archived]:
    root = tmp_path_factory.mktemp("archive") / "instance"
    with serve() as site:
        assert process("init", root).code == 0
        ended = process("archive", site.url, "--instance", root, "--source", "office", *QUICK, timeout=120)
        yield Archived(root, site, ended)


def test_archive_ends_well_and_says_how_to_read(archived: Archived) -> None:
    assert archived.ended.code == 0, archived.ended.err
    assert "complete and indexed" in archived.ended.out
    assert f"healtharchive --instance {archived.root} web" in archived.ended.out
    assert f"healtharchive --instance {archived.root} search WORDS" in archived.ended.out
    assert "URLs found" in archived.ended.out


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(archived: Archived) -> None:
    assert "crawling:" in archived.ended.err
    assert "\x1b" not in archived.ended.err + archived.ended.out


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("dehydration",), "/en/extreme-heat"),
        (("déshydratation",), "/fr/chaleur-extreme"),
        (("deshydratation",), "/fr/chaleur-extreme"),
        (("kiosque", "--type", "pdf"), "/files/booklet-fr.pdf"),
        (("tick", "--lang", "en"), "/en/ticks"),
    ],
)
def test_search_finds_in_both_languages(archived: Archived, words: tuple[str, ...], path: str) -> None:
    ended = archived.run("search", *words, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["hits"][0]["url"] == archived.site.url.rstrip("/") + path
    text = archived.run("search", *words)
    assert path in text.out


def test_search_for_what_is_not_there_finds_nothing_and_is_no_error(archived: Archived) -> None:
    ended = archived.run("search", "zzyzx", "--json")
    assert (ended.code, ended.json["hits"]) == (0, [])


def test_a_date_that_is_none_is_a_usage_error(archived: Archived) -> None:
    assert archived.run("search", "x", "--date", "yesterday").code == 2


def test_export_gives_every_page_in_order_and_stops_quietly_with_its_reader(archived: Archived) -> None:
    ended = archived.run("export", "cdxj")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines == sorted(lines)
    urls = {json.loads(line.split(" ", 2)[2])["url"] for line in lines if not line.startswith("!")}
    assert {archived.site.url.rstrip("/") + path for path in pages(1)} <= urls
    pipe = f"'{sys.executable}' -m healtharchive.cli export cdxj --instance '{archived.root}' | head -n 1"
    piped = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert (piped.stdout.count("\n"), piped.stderr) == (1, "")


def test_export_never_overwrites(archived: Archived, tmp_path: Path) -> None:
    target = tmp_path / "index.cdxj"
    first = archived.run("export", "cdxj", "--source", "office", "--output", str(target), "--json")
    assert first.code == 0, first.err
    assert first.json["lines"] == len(target.read_text().splitlines())
    before = target.read_bytes()
    assert archived.run("export", "cdxj", "--output", str(target)).code == 14
    assert target.read_bytes() == before
    assert archived.run("export", "cdxj", "--output", str(tmp_path / "none" / "x")).code == 12
    assert [path.name for path in tmp_path.iterdir()] == ["index.cdxj"]


def test_export_wacz_makes_one_file(archived: Archived, tmp_path: Path) -> None:
    target = tmp_path / "office.wacz"
    ended = archived.run("export", "wacz", "--job", "1", "--output", str(target))
    assert ended.code == 0, ended.err
    assert target.stat().st_size > 10_000
    assert archived.run("export", "wacz").code == 2
    assert archived.run("export", "wacz", "--source", "ofice", "--output", str(tmp_path / "x")).code == 1


def test_verify_finds_good_warcs_good_and_a_damaged_one_damaged(archived: Archived, tmp_path: Path) -> None:
    good = archived.run("verify", "--json")
    assert good.code == 0, good.out
    assert good.json["ok"] is True
    assert archived.run("verify", "--level", "gzip", "--job", "1").code == 0
    (warc,) = (archived.root / "jobs").glob("office/*/warcs/*.warc.gz")
    whole = warc.read_bytes()
    try:
        warc.write_bytes(whole[:-7])
        damaged = archived.run("verify", "--json")
        assert damaged.code == 4
        assert damaged.json["warcs"][0]["findings"]
        warc.unlink()
        assert archived.run("verify").code == 12
    finally:
        warc.write_bytes(whole)


def test_index_has_nothing_left_to_do_and_can_be_rebuilt(archived: Archived) -> None:
    assert archived.run("index", "--json").json["counts"]["captures"] == 0
    rebuilt = archived.run("index", "--rebuild", "--json")
    assert rebuilt.code == 0, rebuilt.err
    assert rebuilt.json["counts"]["captures"] > 40
    assert archived.run("search", "dehydration", "--json").json["total"] >= 1


def test_status_logs_and_ledger_tell_the_story(archived: Archived) -> None:
    assert archived.run("status").out.startswith("GOOD")
    logs = archived.run("job", "logs", "1", "--attempt", "1", "--json").out.splitlines()
    events = [json.loads(line)["event"] for line in logs]
    assert (events[0], events[-1]) == ("started", "ended")
    ledger = archived.run("job", "ledger", "1", "--state", "trap", "--json").json
    assert ledger["found"] == sum(ledger["ledger"].values())
    assert "pending" not in ledger["ledger"]
    assert ledger["urls"]
    shown = archived.run("show-job", "--id", "1", "--json").json
    assert shown["job"]["status"] == "indexed"
    assert Path(shown["combined_log_path"]).name == "engine.log"


def test_a_second_archive_of_the_same_site_is_another_job_of_the_same_source(archived: Archived) -> None:
    ended = process(
        "archive", archived.site.url + "en/ticks", "--instance", archived.root, "--source", "office", "--scope", "path",
        "--max-pages", "3", *QUICK, "--json", timeout=120,
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert ended.json["job"]["id"] == 2
    assert [source["name"] for source in archived.run("source", "list", "--json").json["sources"]] == ["office"]


def test_a_private_address_is_not_reached_unless_allowed(archived: Archived) -> None:
    visits = len(archived.site.visits())
    refused = process("archive", archived.site.url, "--instance", archived.root, "--source", "other")
    assert (refused.code, refused.out) == (14, "")
    assert "--allow-private" in refused.err
    # The engine refuses by itself too: the permission was given to one job, not to the archive.
    assert archived.run("source", "add", "other", archived.site.url).code == 0
    job_id = archived.run("job", "create", "other", "--json").json["job"]["id"]
    ended = archived.run("run-db-job", "--id", str(job_id))
    assert ended.code == 13, ended.out + ended.err
    assert "loopback" in ended.out
    assert len(archived.site.visits()) == visits


def test_ctrl_c_brings_the_crawl_to_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    with serve(pace_seconds=0.2) as site:
        assert process("init", tmp_path / "i").code == 0
        words = ["archive", site.url, "--instance", str(tmp_path / "i"), "--allow-private", "--delay-ms", "0"]
        crawl = subprocess.Popen(
            [sys.executable, "-m", "healtharchive.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert site.wait_for(1, 12, timeout_seconds=40)
        crawl.send_signal(signal.SIGINT)
        out, _ = crawl.communicate(timeout=60)
        assert crawl.returncode == 130, out
        assert "healtharchive run-db-job --id 1" in out
        site.pace_seconds = 0.0
        finished = process("run-db-job", "--id", "1", "--instance", tmp_path / "i", timeout=120)
    assert finished.code == 0, finished.out + finished.err
    assert [path for path, count in site.counts(1).items() if count > 1 and path != "/robots.txt"] == []


def test_of_two_that_run_the_same_job_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    with serve(pace_seconds=0.1) as site:
        root = tmp_path / "i"
        assert process("init", root).code == 0
        allowed = ("--set", "allow_private=yes", "--set", "min_delay_ms=0")
        assert process("source", "add", "office", site.url, *allowed, "--instance", root).code == 0
        assert process("job", "create", "office", "--instance", root).code == 0
        words = [sys.executable, "-m", "healtharchive.cli", "run-db-job", "--id", "1", "--instance", str(root)]
        first = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert site.wait_for(1, 3, timeout_seconds=40)
            second = process("run-db-job", "--id", "1", "--instance", root)
        finally:
            first.terminate()
            first.wait(timeout=60)
    assert second.code == 11
    assert "already running" in second.err
