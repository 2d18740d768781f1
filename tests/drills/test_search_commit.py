"""SIGKILL around a search commit, fifty times; the index lost or damaged: it opens or rebuilds itself, and counts agree."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.rigs.archive import Answer, Archive, page

from healtharchive.access import indexer, search, tantivy
from healtharchive.access.query import parse
from healtharchive.instance import Instance

pytestmark = pytest.mark.drill

KILLS = 50
PAGES = 40

# Forks a child for each line on its standard input: an interpreter's start costs more than the commit that is to be killed. The
# child catches up and announces each commit of the search index, "(" before and ")" after, so that the kill can aim. At its end
# the nursery says "!" if it was killed, "." if not.
NURSERY = """
import os, sys
from pathlib import Path
from healtharchive.access import search, tantivy
from healtharchive.instance import open_instance

search.BATCH_ROWS = 3
commit = tantivy._Writer.commit

def announced(self, position):
    os.write(1, b"(")
    commit(self, position)
    os.write(1, b")")

tantivy._Writer.commit = announced
for line in sys.stdin.buffer:
    pid = os.fork()
    if pid == 0:
        search.open_search(open_instance(Path(sys.argv[1]))).catch_up()
        os._exit(0)
    os.write(1, b"%8d" % pid)
    killed = os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    os.write(1, b"!" if killed else b".")
"""


class Nursery:
    """Children that catch up and are killed."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )

    def kill_one(self, chance: random.Random, *, commits: int) -> bool:
        """Let a child catch up with so many commits and kill it at a random moment around one; whether it was still alive."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        pid, marks = self._pid()
        wanted = chance.randint(1, 2 * commits - 1)
        while len(marks) < wanted and not marks.endswith(b"."):
            marks += self._process.stdout.read(1)
        time.sleep(chance.choice([0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.015]))
        if not marks.endswith(b"."):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        while not marks.endswith((b".", b"!")):
            marks += self._process.stdout.read(1)
        return marks.endswith(b"!")

    def _pid(self) -> tuple[int, bytes]:
        """The child's number, among which its first marks may lie."""
        assert self._process.stdout is not None
        digits, marks = b"", b""
        while len(digits) < 8:
            mark = self._process.stdout.read(1)
            if mark in (b"(", b")"):
                marks += mark
            else:
                digits += mark
        return int(digits), marks

    def close(self) -> None:
        self._process.kill()
        self._process.wait(timeout=30)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def documents(start: int, count: int) -> list[Answer]:
    return [Answer(f"https://example.org/{n}", page(f"Page {n}", f"measles number{n} " * 5)) for n in range(start, start + count)]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_fifty_kills_around_a_commit_lose_and_double_nothing(instance: Instance) -> None:
    seed = int(os.environ.get("DRILL_SEED", "20240301"))
    chance = random.Random(seed)
    archive = Archive(instance)
    archive.add(documents(0, PAGES))
    archive.index()
    search.open_search(instance).catch_up()
    alive = 0
    nursery = Nursery(instance.root)
    for kill in range(KILLS):
        if kill % 2:
            # The same documents again, in place of their older selves: a lost delete would double them.
            archive.index(rebuild=True)
        else:
            archive.add(documents(PAGES + kill * 6, 6), job=f"job{kill}")
            archive.index()
        alive += nursery.kill_one(chance, commits=1 if kill % 2 else 2)
        # What was committed is whole: the index opens as it is, before anything repairs it.
        backend = tantivy.TantivyBackend(instance.search_root, heap_mb=16, clock=instance.host.clock)
        position, count = backend.position(), backend.count()
        assert count >= PAGES, f"kill {kill}, seed {seed}: {count} documents at {position}"
        engine = search.open_search(instance)
        if kill % 5 == 0:
            engine.catch_up()
            assert engine.agrees(), f"kill {kill}, seed {seed}"
    nursery.close()
    engine = search.open_search(instance)
    engine.catch_up()
    assert engine.agrees(), f"seed {seed}"
    expected = PAGES + KILLS // 2 * 6
    assert engine.count() == expected
    found = engine.search(parse("measles", view="captures"), limit=1000)
    assert found.total == len({hit.capture.id for hit in found.hits}) == expected
    assert alive >= KILLS // 2, f"only {alive} of {KILLS} kills met a living process: the drill aims badly"


def remove_directory(root: Path) -> None:
    shutil.rmtree(root)


def remove_index(root: Path) -> None:
    shutil.rmtree(root / (root / "current").read_text().strip())


def remove_pointer(root: Path) -> None:
    (root / "current").unlink()


def empty_pointer(root: Path) -> None:
    (root / "current").write_bytes(b"")


def point_elsewhere(root: Path) -> None:
    (root / "current").write_text("../../etc\n")


def point_to_another_version(root: Path) -> None:
    name = (root / "current").read_text().strip()
    old = f"s0a0t0.1.0-{name.rpartition('-')[2]}"
    (root / name).rename(root / old)
    (root / "current").write_text(f"{old}\n")


def in_index(root: Path) -> Path:
    return root / (root / "current").read_text().strip()


def cut_meta(root: Path) -> None:
    meta = in_index(root) / "meta.json"
    meta.write_bytes(meta.read_bytes()[:40])


def remove_segments(root: Path) -> None:
    for path in in_index(root).glob("*.*"):
        if path.suffix not in (".json", ".lock"):
            path.unlink()


def cut_segments(root: Path) -> None:
    for path in in_index(root).glob("*.*"):
        if path.suffix not in (".json", ".lock"):
            path.write_bytes(path.read_bytes()[:20])


def zero_segments(root: Path) -> None:
    for path in in_index(root).glob("*.*"):
        if path.suffix not in (".json", ".lock"):
            path.write_bytes(bytes(path.stat().st_size))


DAMAGE = [
    remove_directory,
    remove_index,
    remove_pointer,
    empty_pointer,
    point_elsewhere,
    point_to_another_version,
    cut_meta,
    remove_segments,
    cut_segments,
    zero_segments,
]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_lost_or_damaged_index_comes_back_from_the_database(instance: Instance, damage: Callable[[Path], None]) -> None:
    archive = Archive(instance)
    archive.add(documents(0, 30))
    archive.index()
    engine = search.open_search(instance)
    engine.catch_up()
    before = [hit.capture.url for hit in engine.search(parse("measles"), limit=100).hits]
    damage(instance.search_root)
    for searching in (search.open_search(instance), engine):  # a process that starts, and one that had it open
        assert [hit.capture.url for hit in searching.search(parse("measles"), limit=100).hits] == before
        assert searching.agrees()


def test_an_index_ahead_of_its_database_is_rebuilt(instance: Instance) -> None:
    archive = Archive(instance)
    archive.add(documents(0, 5))
    stored = archive.add(documents(5, 5))
    archive.index()
    search.open_search(instance).catch_up()
    with instance.db.write() as conn:  # as if an older backup had been put back
        indexer.forget_warc(conn, stored.id)
        conn.exec_driver_sql("DELETE FROM search_removal")
        conn.exec_driver_sql("UPDATE search_clock SET seq = 1")
    engine = search.open_search(instance)
    engine.catch_up()
    assert engine.count() == 5


def test_two_writers_wait_for_each_other_and_readers_for_nobody(instance: Instance) -> None:
    archive = Archive(instance)
    archive.add(documents(0, 5))
    archive.index()
    engine = search.open_search(instance)
    engine.catch_up()
    archive.add(documents(5, 5))
    archive.index()
    backend = tantivy.TantivyBackend(instance.search_root, heap_mb=16, clock=instance.host.clock)
    with backend.writing(wait_seconds=0):
        other = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from healtharchive.instance import open_instance as opened;"
                "from healtharchive.access.search import open_search; print(open_search(opened(Path(sys.argv[1]))).catch_up())",
                str(instance.root),
            ],
            stdout=subprocess.PIPE,
        )
        answer = search.open_search(instance).search(parse("measles"))
        assert (answer.total, answer.pending) == (5, 1)
        time.sleep(1)
        assert other.poll() is None
    output, _ = other.communicate(timeout=60)
    assert output.strip() == b"5"
    assert search.open_search(instance).search(parse("measles")).total == 10
