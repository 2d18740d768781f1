"""After a death at any byte of the open WARC and at any step of its sealing, frontier and files agree again."""

from __future__ import annotations

import hashlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.crawls import captured_urls

from healtharchive.crawl.engine import FRONTIER_FILE, OPEN_DIR, WARC_DIR, UrlState
from healtharchive.crawl.entries import Batch, Claim, Found, Outcome, Position, WarcLength
from healtharchive.crawl.exchange import Body, Exchange
from healtharchive.crawl.frontier import Frontier, urls
from healtharchive.crawl.recorder import Recorder
from healtharchive.crawl.recovery import Recovery, recover
from healtharchive.crawl.sealing import read_manifest
from healtharchive.errors import Locked

NAME = "drill-000001-00001.warc.gz"
PAGES = 6
COMMITTED = 2
FOUND_BY = "http://a.test/found-by-{}"


class Scene:
    """A job directory with six claimed pages in the file, of which two are committed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.frontier = Frontier(directory / FRONTIER_FILE, 1, attempt=1)
        self.frontier.find([Found(f"http://a.test/{number}", UrlState.PENDING, "L") for number in range(PAGES)])
        self.recorder = Recorder(directory, prefix="drill", fence=1, serial=1, warcinfo={"software": "test"})
        claims = self.frontier.claim(PAGES, per_host=PAGES, now=0.0)
        self.ends = [self.finish(claim, commit=number < COMMITTED) for number, claim in enumerate(claims)]
        self.recorder.flush()

    def finish(self, claim: Claim, *, commit: bool) -> int:
        stored = self.recorder.add(exchange(claim.url))
        if commit:
            length = self.recorder.flush()
            place = Position(NAME, stored.offset, stored.length, False, bytes(32), stored.payload_size, "2026")
            done = Outcome(claim, UrlState.CAPTURED, status=200, position=place)
            self.frontier.commit(Batch(outcomes=[done], warcs=[WarcLength(NAME, length, self.recorder.captures)]))
        return stored.offset + stored.length

    def die(self) -> None:
        self.frontier.close()
        self.recorder.close()

    @property
    def open_path(self) -> Path:
        return self.directory / OPEN_DIR / f"{NAME}.open"

    @property
    def sealed_path(self) -> Path:
        return self.directory / WARC_DIR / NAME


def exchange(url: str) -> Exchange:
    body = f"<html>{url} {hashlib.sha256(url.encode()).hexdigest() * 20}".encode()
    return Exchange(
        url=url,
        request=b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        head=b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
        body=Body(data=body),
        status=200,
        reason="OK",
        headers=(("Content-Type", "text/html"),),
        protocol="http/1.1",
        ip="127.0.0.1",
        started_at=datetime(2026, 11, 24, tzinfo=UTC),
        elapsed_ms=1.0,
    )


def settle(claim: Claim, answer: Exchange, position: Position) -> tuple[Outcome, list[Found]]:
    found = Found(FOUND_BY.format(claim.url[-1]), UrlState.PENDING, "L", via=claim.id)
    assert claim.url.encode() in answer.body.read()
    return Outcome(claim, UrlState.CAPTURED, status=answer.status, position=position), [found]


def recovered(directory: Path, fence: int = 2) -> Recovery:
    frontier = Frontier(directory / FRONTIER_FILE, fence, attempt=fence)
    try:
        done = recover(directory, frontier, settle, now=0.0)
        assert frontier.imbalances(thorough=True) == []
        assert all(row.sealed for row in frontier.warcs())
        return done
    finally:
        frontier.close()


def assert_consistent(directory: Path, finished: int) -> None:
    """Exactly the first `finished` pages are captured; each has one record, each that was adopted has its links."""
    rows = {row.url: row for row in urls(directory / FRONTIER_FILE)}
    captured = {url for url, row in rows.items() if row.state is UrlState.CAPTURED}
    assert captured == {f"http://a.test/{number}" for number in range(finished)}
    adopted = {FOUND_BY.format(number) for number in range(COMMITTED, finished)}
    assert {url for url in rows if "found-by" in url} == adopted
    assert not list((directory / OPEN_DIR).glob("*.open"))
    data = b"".join(path.read_bytes() for path in (directory / WARC_DIR).glob("*.warc.gz"))
    assert captured_urls(data) == dict.fromkeys(captured, 1)
    for line in read_manifest(directory / WARC_DIR):
        content = (directory / WARC_DIR / line.name).read_bytes()
        assert (line.size_bytes, line.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def dead(tmp_path: Path) -> Scene:
    scene = Scene(tmp_path / "job")
    scene.die()
    return scene


def test_a_file_cut_at_any_byte_keeps_its_whole_pages(dead: Scene, tmp_path: Path) -> None:
    whole = dead.open_path.read_bytes()
    committed = dead.ends[COMMITTED - 1]
    cuts = sorted({*range(committed, len(whole), 37), *dead.ends[COMMITTED - 1 :], *(end - 1 for end in dead.ends[COMMITTED:])})
    for cut in cuts:
        job = tmp_path / f"cut-{cut}"
        shutil.copytree(dead.directory, job)
        (job / OPEN_DIR / f"{NAME}.open").write_bytes(whole[:cut])
        done = recovered(job)
        finished = sum(end <= cut for end in dead.ends)
        assert done.adopted == finished - COMMITTED
        assert done.cut_bytes == cut - max(end for end in dead.ends if end <= cut)
        assert_consistent(job, finished)
        shutil.rmtree(job)


def test_garbage_behind_the_last_record_is_cut(dead: Scene) -> None:
    with open(dead.open_path, "ab") as file:
        file.write(b"\x1f\x8b\x08garbage" + bytes(500))
    assert recovered(dead.directory).cut_bytes == 510
    assert_consistent(dead.directory, PAGES)


def test_a_file_shorter_than_committed_is_a_finding_and_its_urls_are_fetched_again(dead: Scene) -> None:
    whole = dead.open_path.read_bytes()
    dead.open_path.write_bytes(whole[: dead.ends[COMMITTED - 1] - 5])
    done = recovered(dead.directory)
    assert [kind for kind, _ in done.findings] == ["committed_data_lost"]
    assert done.requeued == 1
    assert_consistent(dead.directory, COMMITTED - 1)


def test_a_file_that_is_gone_is_a_finding_and_its_urls_are_fetched_again(dead: Scene) -> None:
    dead.open_path.unlink()
    done = recovered(dead.directory)
    assert [kind for kind, _ in done.findings] == ["warc_missing"]
    assert_consistent(dead.directory, 0)


@pytest.mark.parametrize("step", ["both names", "published", "published and half a line", "listed"])
def test_a_sealing_that_was_interrupted_is_completed(step: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "job")
    scene.frontier.close()
    recovered_pages = PAGES
    frontier = Frontier(scene.directory / FRONTIER_FILE, 1)
    for number, claim in enumerate(frontier.claim(PAGES, per_host=PAGES, now=0.0), COMMITTED):
        place = Position(NAME, scene.ends[number] - 1, 1, False, bytes(32), 1, "2026")
        found = [Found(FOUND_BY.format(number), UrlState.PENDING, "L")]
        done = Outcome(claim, UrlState.CAPTURED, status=200, position=place)
        frontier.commit(Batch(found=found, outcomes=[done], warcs=[WarcLength(NAME, scene.ends[number], number + 1)]))
    frontier.close()
    scene.sealed_path.parent.mkdir(exist_ok=True)
    if step == "both names":
        scene.sealed_path.hardlink_to(scene.open_path)
        scene.recorder.close()
    else:
        scene.recorder.seal(scene.sealed_path.parent)
        manifest = scene.sealed_path.parent / "manifest.jsonl"
        if step == "published":
            manifest.unlink()
        elif step == "published and half a line":
            manifest.write_bytes(manifest.read_bytes()[:40])
    for fence in (2, 3):  # and again: recovery itself may be interrupted
        recovered(scene.directory, fence)
        assert_consistent(scene.directory, recovered_pages)
        assert [line.name for line in read_manifest(scene.sealed_path.parent)] == [NAME]


def test_a_file_without_any_page_is_removed(tmp_path: Path) -> None:
    directory = tmp_path / "job"
    directory.mkdir()
    Frontier(directory / FRONTIER_FILE, 1).close()
    recorder = Recorder(directory, prefix="drill", fence=1, serial=1, warcinfo={"software": "test"})
    recorder.flush()
    recorder.close()
    done = recovered(directory)
    assert (done.adopted, done.sealed, done.findings) == (0, [], [])
    assert not list((directory / OPEN_DIR).iterdir())


def test_recovery_refuses_while_the_writer_lives(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "job")
    before = scene.open_path.read_bytes()
    frontier = Frontier(scene.directory / FRONTIER_FILE, 2)
    with pytest.raises(Locked, match="still being written"):
        recover(scene.directory, frontier, settle, now=0.0)
    assert scene.open_path.read_bytes() == before
    frontier.close()
    scene.die()
