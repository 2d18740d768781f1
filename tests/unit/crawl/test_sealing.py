"""Sealing survives a kill at every step, and never overwrites."""

from __future__ import annotations

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.rigs.exchanges import page
from tests.rigs.fetching import prove

from healtharchive.crawl.recorder import Recorder
from healtharchive.crawl.sealing import read_manifest, repair_manifest, seal_file
from healtharchive.errors import Locked, Refused
from healtharchive.storage.model import SealedWarc
from healtharchive.warc.writer import truncate, walk

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def recorder_in(directory: Path, serial: int = 1) -> Recorder:
    recorder = Recorder(directory, prefix="hc-7", fence=3, serial=serial, warcinfo={"software": "tests"}, now=lambda: NOW)
    recorder.add(page())
    return recorder


def test_sealed_file_is_listed_with_its_digest(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    sealed = recorder.seal(tmp_path / "warcs")
    path = tmp_path / "warcs" / sealed.name
    data = path.read_bytes()
    assert sealed == SealedWarc("hc-7-000003-00001.warc.gz", len(data), hashlib.sha256(data).hexdigest(), 3, 3, NOW)
    assert read_manifest(tmp_path / "warcs") == [sealed]
    assert list((tmp_path / "open").iterdir()) == []
    prove(path)
    recorder.close()


def test_sealing_twice_is_sealing_once(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    first = recorder.seal(tmp_path / "warcs")
    assert recorder.seal(tmp_path / "warcs") == first
    assert seal_file(recorder.path, tmp_path / "warcs", fence=9) == first
    assert read_manifest(tmp_path / "warcs") == [first]


def test_name_that_another_file_has_is_refused_and_neither_is_changed(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    target = tmp_path / "warcs" / recorder.name
    target.parent.mkdir()
    target.write_bytes(b"another")
    with pytest.raises(Refused, match="nothing was overwritten"):
        recorder.seal(tmp_path / "warcs")
    assert target.read_bytes() == b"another"
    assert recorder.path.exists()
    recorder.close()


def test_file_whose_writer_lives_is_not_sealed(tmp_path: Path) -> None:
    recorder = recorder_in(tmp_path)
    recorder.flush()
    with pytest.raises(Locked):
        seal_file(recorder.path, tmp_path / "warcs", fence=4)
    recorder.close()
    assert seal_file(recorder.path, tmp_path / "warcs", fence=4).fence == 4


def test_sealed_file_without_a_line_gets_one(tmp_path: Path) -> None:
    sealed = recorder_in(tmp_path).seal(tmp_path / "warcs")
    manifest = tmp_path / "warcs" / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    assert read_manifest(tmp_path / "warcs") == [], "half a line is no line"
    assert repair_manifest(tmp_path / "warcs", fence=3, now=lambda: NOW) == [sealed]
    assert read_manifest(tmp_path / "warcs") == [sealed]
    assert repair_manifest(tmp_path / "warcs", fence=3) == []


def test_kill_at_every_step_of_sealing_loses_nothing(tmp_path: Path) -> None:
    """A child is killed at the first, second, third ... file operation; then the file is recovered as a newer attempt does."""
    for step in range(100):
        directory = tmp_path / str(step)
        if not _seal_in_child(directory, die_at=step):
            break
        target = directory / "warcs"
        for left in (directory / "open").glob("*.open"):
            truncate(left, _end(left))
            seal_file(left, target, fence=4)
        repair_manifest(target, fence=4)
        (sealed,) = read_manifest(target)
        assert sealed.sha256 == hashlib.sha256((target / sealed.name).read_bytes()).hexdigest()
        assert sealed.record_count == 3
        assert [path.name for path in target.glob("*.warc.gz")] == [sealed.name]
        assert list((directory / "open").iterdir()) == []
        prove(target / sealed.name)
    assert 5 < step < 100, "the kill hit several steps, and then none"


def _end(path: Path) -> int:
    found = walk(path)
    for _ in found:
        pass
    return found.end


def _seal_in_child(directory: Path, *, die_at: int) -> bool:
    """Whether the child died on its way."""
    child = os.fork()
    if child == 0:
        recorder = recorder_in(directory)
        recorder.flush()
        left = die_at

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in ("open", "os.link", "os.remove", "os.truncate", "os.mkdir", "os.listdir"):
                left -= 1
                if left < 0:
                    os._exit(9)

        sys.addaudithook(count)
        recorder.seal(directory / "warcs")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 9
