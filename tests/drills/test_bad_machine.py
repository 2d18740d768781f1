"""What an operator, a disk and a database can do wrong: one sentence, the right exit code, nothing lost, no traceback."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from tests.rigs.command_line import Ended, process
from tests.rigs.databases import Databases
from tests.rigs.namespaces import SmallDisk, on_a_small_disk
from tests.rigs.rawserver import RawServer, Script, raw_server

from healtharchive.drills.site.server import DemoSite, serve

pytestmark = [pytest.mark.drill, pytest.mark.timeout(120)]

QUICK = ("--allow-private", "--delay-ms", "0", "--connections", "4", "--source", "office")
FILES = 60
FILE_BYTES = 200_000
COMMANDS = (
    ("status",),
    ("list-jobs",),
    ("search", "wind"),
    ("verify",),
    ("index",),
    ("export", "cdxj"),
    ("journal",),
    ("run-db-job", "--id", "1"),
)


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instance that has archived the bundled site. Each test works on a copy."""
    root = tmp_path_factory.mktemp("archived") / "instance"
    assert process("init", root).code == 0
    with serve() as site:
        ended = process("archive", site.url, "--instance", root, *QUICK)
    assert ended.code == 0, ended.err
    return root


@pytest.fixture
def root(archived: Path, tmp_path: Path) -> Path:
    shutil.copytree(archived, tmp_path / "instance")
    return tmp_path / "instance"


@pytest.fixture(scope="module")
def files() -> Iterator[RawServer]:
    """A site of incompressible files: twelve megabytes."""
    missing = Script(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
    pages = {"/robots.txt": missing, "/sitemap.xml": missing}
    links = "".join(f'<a href="/{n}">{n}</a>' for n in range(FILES)).encode()
    pages["/"] = Script(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + links)
    for n in range(FILES):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % FILE_BYTES
        pages[f"/{n}"] = Script(head, os.urandom(FILE_BYTES))
    with raw_server(pages) as server:
        yield server


def one_sentence(ended: Ended, code: int, *words: str) -> None:
    """Exactly one line on standard error, for a person; nothing that looks like an answer."""
    assert ended.code == code, ended
    assert ended.err.count("\n") == 1, ended.err
    assert "Traceback" not in ended.err
    assert "fault of ours" not in ended.err
    for word in words:
        assert word in ended.err
    assert ended.out == ""


def program(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "healtharchive.cli", *map(str, words)]


def without_privilege(*words: str | Path, **environ: str) -> Ended:
    """Run a command as one who may not write where the mode bits say no, which root may."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*drop, *program(*words)], capture_output=True, text=True, timeout=60, env={**os.environ, **environ}, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def damage(path: Path, kind: str) -> None:
    for beside in path.parent.glob(path.name + "-*"):
        beside.unlink()
    match kind:
        case "garbage":
            path.write_bytes(os.urandom(50_000))
        case "cut":
            os.truncate(path, 5_000)
        case "empty":
            os.truncate(path, 0)


# -- configuration and schema ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", COMMANDS)
def test_an_unknown_setting_is_refused_by_every_command(root: Path, words: tuple[str, ...]) -> None:
    with open(root / "healtharchive.toml", "a", encoding="utf-8") as file:
        file.write("\n[crawl]\nmin_delay = 3\n")
    one_sentence(process("--instance", root, *words), 13, "crawl.min_delay (healtharchive.toml, line", "crawl.min_delay_ms?")


@pytest.mark.parametrize("words", COMMANDS)
def test_another_schema_revision_is_refused_by_every_command(root: Path, words: tuple[str, ...]) -> None:
    with sqlite3.connect(root / "archive.sqlite3") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    one_sentence(process("--instance", root, *words), 13, "9999", "Nothing was changed")


# -- damaged files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["garbage", "cut"])
def test_a_damaged_database_is_said_to_be_damaged_and_kept(root: Path, kind: str) -> None:
    path = root / "archive.sqlite3"
    damage(path, kind)
    before = path.read_bytes()
    for words in COMMANDS[::3]:
        one_sentence(process("--instance", root, *words), 12, str(path), "is damaged", "backup")
    assert path.read_bytes() == before


@pytest.mark.parametrize("kind", ["garbage", "cut", "empty"])
def test_a_damaged_frontier_hides_the_ledger_and_nothing_else(root: Path, kind: str) -> None:
    path = next((root / "jobs").rglob("frontier.sqlite3"))
    damage(path, kind)
    one_sentence(process("--instance", root, "job", "ledger", "1"), 12, str(path), "cannot be read")
    shown = process("--instance", root, "show-job", "--id", "1")
    assert (shown.code, "indexed" in shown.out, shown.err.count("\n")) == (0, True, 1)
    assert process("--instance", root, "search", "wind").code == 0


@pytest.mark.parametrize("kind", ["garbage", "empty", "gone"])
def test_a_damaged_search_index_is_built_again_from_the_database(root: Path, kind: str) -> None:
    before = process("--instance", root, "search", "wind", "--json").json["total"]
    for path in [path for path in (root / "search").rglob("*") if path.is_file()]:
        if kind == "gone":
            path.unlink()
        else:
            damage(path, kind)
    ended = process("--instance", root, "search", "wind", "--json")
    assert (ended.code, ended.err, ended.json["total"]) == (0, "", before)


def test_a_warc_that_lost_its_bytes_is_found_and_takes_no_capture_with_it(root: Path) -> None:
    path = next((root / "jobs").rglob("warcs/*.warc.gz"))
    whole = path.read_bytes()
    captures = process("--instance", root, "export", "cdxj").out
    path.chmod(0o600)
    os.truncate(path, 0)
    assert process("--instance", root, "verify").code == 4
    rebuilt = process("--instance", root, "index", "--rebuild")
    assert (rebuilt.code, "its index was left as it was" in rebuilt.out) == (4, True)
    assert process("--instance", root, "export", "cdxj").out == captures
    assert process("--instance", root, "search", "wind", "--json").json["total"] == 1
    path.write_bytes(whole)
    assert process("--instance", root, "verify").code == 0
    assert process("--instance", root, "index", "--rebuild").code == 0
    path.unlink()
    one_sentence(process("--instance", root, "export", "wacz", "--output", root / "x.wacz"), 12, str(path), "cannot be read")
    assert not (root / "x.wacz").exists()


# -- full disks and closed directories -------------------------------------------------------------------------------------------


def test_a_jobs_directory_that_fills_up_stops_the_crawl_and_loses_nothing(files: RawServer, tmp_path: Path) -> None:
    root = tmp_path / "instance"
    assert process("init", root).code == 0

    def drill(disk: SmallDisk) -> None:
        reserved = process("archive", files.url("/"), "--instance", root, *QUICK)
        assert (reserved.code, "less than the reserve" in reserved.err) == (12, True)
        assert_goes_on_when_there_is_room(files, root, lambda: disk.resize("100m"))

    on_a_small_disk(root / "jobs", "6m", drill)


def test_a_limit_on_the_size_of_files_is_a_full_disk(files: RawServer, tmp_path: Path) -> None:
    """The same for everybody: what an ordinary user can do to a disk."""
    assert process("init", tmp_path).code == 0
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, limit[1]))
    try:
        assert_goes_on_when_there_is_room(files, tmp_path, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def assert_goes_on_when_there_is_room(files: RawServer, root: Path, make_room: Callable[[], None]) -> None:
    files.requests.clear()
    ended = process("archive", files.url("/"), "--instance", root, *QUICK, "--json", HEALTHARCHIVE_STORAGE_RESERVE_BYTES="0")
    assert ended.code == 12, ended
    assert "Our own disk failed" in ended.json["what"]
    assert "Traceback" not in ended.err
    job_id = str(ended.json["job"]["id"])
    captured = process("job", "ledger", job_id, "--state", "captured", "--json", "--instance", root).json["urls"]
    assert 0 < len(captured) < FILES
    make_room()
    again = process("run-db-job", "--id", job_id, "--instance", root, HEALTHARCHIVE_STORAGE_RESERVE_BYTES="0")
    assert again.code == 0, again
    assert process("verify", "--instance", root).code == 0
    counts = process("job", "ledger", job_id, "--json", "--instance", root).json["ledger"]
    assert counts == {"captured": FILES + 1, "gone": 2}
    asked = [request.split(b" ", 2)[1].decode() for request in files.requests]
    assert [row["url"] for row in captured if asked.count(row["url"].removeprefix(files.url(""))) > 1] == []


def test_an_instance_that_does_not_fit_is_no_instance_and_can_be_made_later(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()

    def drill(disk: SmallDisk) -> None:
        one_sentence(process("init", tmp_path / "disk" / "i"), 12, "full")
        assert process("status", "--instance", tmp_path / "disk" / "i").code == 10
        disk.resize("20m")
        assert process("init", tmp_path / "disk" / "i").code == 0
        assert process("status", "--instance", tmp_path / "disk" / "i").code == 0

    on_a_small_disk(tmp_path / "disk", "64k", drill)


def test_directories_that_cannot_be_written_are_named(root: Path, files: RawServer) -> None:
    def closed(directory: Path, *words: str | Path) -> Ended:
        directory.chmod(0o555)
        try:
            return without_privilege(*words)
        finally:
            directory.chmod(0o755)

    one_sentence(closed(root, "init", root / "new"), 12, str(root / "new"), "Permission denied", "Nothing was created")
    crawl = closed(root / "jobs", "archive", files.url("/"), "--instance", root, *QUICK, "--source", "files")
    assert crawl.code == 12
    assert f"{root / 'jobs'} cannot be written: Permission denied" in crawl.err.splitlines()[-1]
    assert process("run-db-job", "--id", "2", "--instance", root).code == 0, "mended, it runs at once"
    shutil.rmtree(root / "search")
    (root / "search").mkdir()
    one_sentence(closed(root / "search", "search", "wind", "--instance", root), 12, str(root / "search"), "Permission denied")
    one_sentence(closed(root, "export", "cdxj", "--output", root / "x", "--instance", root), 12, str(root))
    one_sentence(closed(root, "job", "create", "office", "--instance", root), 12, "readonly")


# -- two at once, and interruptions ----------------------------------------------------------------------------------------------


def test_of_two_that_start_the_same_job_at_once_one_wins(tmp_path: Path) -> None:
    with serve(pace_seconds=0.05) as site:
        assert process("init", tmp_path).code == 0
        allowed = ("--set", "allow_private=yes", "--set", "min_delay_ms=0", "--set", "delay_factor=0")
        assert process("source", "add", "office", site.url, *allowed, "--instance", tmp_path).code == 0
        assert process("job", "create", "office", "--instance", tmp_path).code == 0
        words = program("run-db-job", "--id", "1", "--instance", tmp_path)
        both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        ended = [Ended(child.wait(), *said) for child in both for said in [child.communicate(timeout=60)]]
        assert sorted(each.code for each in ended) == [0, 11], ended
        loser = next(each for each in ended if each.code == 11)
        one_sentence(loser, 11, "Job 1 is already running")
        assert max(count for path, count in site.counts(1).items() if path != "/robots.txt") == 1


def test_ctrl_c_in_the_middle_is_130_and_the_same_job_goes_on(tmp_path: Path) -> None:
    with serve(pace_seconds=0.1) as site:
        assert process("init", tmp_path).code == 0
        child = start_archive(site, tmp_path)
        assert site.wait_for(1, 10, timeout_seconds=40)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, "Traceback" in err) == (130, False), out + err
        site.pace_seconds = 0.0
        assert process("run-db-job", "--id", "1", "--instance", tmp_path).code == 0
        assert [path for path, count in site.counts(1).items() if count > 1 and path != "/robots.txt"] == []
    assert process("verify", "--instance", tmp_path).code == 0


def start_archive(site: DemoSite, root: Path) -> subprocess.Popen[str]:
    words = program("archive", site.url, "--instance", root, *QUICK)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_postgresql_that_goes_away_during_a_crawl_costs_no_page(databases: Databases, tmp_path: Path) -> None:
    url = databases.empty("postgresql")
    name = url.partition("@/")[2].partition("?")[0]

    def allow(connections: bool) -> None:
        with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as server:
            server.execute("UPDATE pg_database SET datallowconn = %s WHERE datname = %s", (connections, name))
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

    assert process("init", tmp_path, "--database", url).code == 0
    with serve(pace_seconds=0.05) as site:
        child = start_archive(site, tmp_path)
        assert site.wait_for(1, 10, timeout_seconds=40)
        allow(connections=False)
        out, err = child.communicate(timeout=60)
        assert (child.returncode, "Traceback" in err) == (12, False), out + err
        assert f"{name}" in err.splitlines()[-1]
        one_sentence(process("status", "--instance", tmp_path), 12, "cannot be used")
        allow(connections=True)
        again = process("run-db-job", "--id", "1", "--instance", tmp_path)
        assert again.code == 0, again
        assert [path for path, count in site.counts(1).items() if count > 1 and path != "/robots.txt"] == []


# -- terminals and words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("status",), ("export", "cdxj"), ("config", "show"), ("search", "wind", "--json"), ("--help",)]
)
def test_standard_output_that_is_closed_full_or_left_early(root: Path, words: tuple[str, ...]) -> None:
    command = " ".join(f"'{word}'" for word in program("--instance", root, *words))
    for redirection, code, lines in ((">&-", 0, 0), ("> /dev/full", 12, 1), ("| true", 0, 0)):
        ended = subprocess.run(["bash", "-c", f"{command} {redirection}"], capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr.count("\n")) == (code, lines), (redirection, ended)
        assert "fault of ours" not in ended.stderr


def test_an_error_that_nobody_can_read_still_has_its_exit_code(root: Path) -> None:
    command = " ".join(f"'{word}'" for word in program("--instance", root, "show-job", "--id", "77"))
    for redirection in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        assert subprocess.run(["bash", "-c", f"{command} {redirection}"], check=False, timeout=60).returncode == 1


def test_a_terminal_without_utf_8_gets_an_answer(root: Path) -> None:

    def plainly(*words: str) -> Ended:
        return process("--instance", root, *words, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")

    found = plainly("search", "sante", "--lang", "fr")
    assert (found.code, found.err) == (0, "")
    one_sentence(plainly("search", "santé"), 2, "UTF-8 locale")
    one_sentence(process("--instance", root, "search", os.fsdecode(b"\xff")), 2, "UTF-8 locale")
    one_sentence(process("init", root / os.fsdecode(b"\xff")), 2, "UTF-8 locale")


def test_words_and_numbers_of_any_size_are_answered(root: Path) -> None:
    for text in ("wind " * 20_000, "a" * 100_000, "(" * 60_000, '"' * 60_001, "*" * 60_001, "x AND OR NOT " * 5_000):
        ended = process("--instance", root, "search", text)
        assert (ended.code, ended.err) == (0, "")
        assert len(ended.out) < 20_000
    one_sentence(process("--instance", root, "show-job", "--id", str(10**30)), 2, "--id")
    one_sentence(process("--instance", root, "list-jobs", "--limit", str(10**30)), 2, "--limit")
    ended = process("--instance", root, "archive", "http://127.0.0.1/?" + "a" * 100_000, "--allow-private")
    one_sentence(ended, 2, "is not a URL that can be crawled")
    assert len(ended.err) < 1_000
