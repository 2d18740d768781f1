"""The demo proves its claims, its judge can say no, and it cleans up after itself whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.rigs.command_line import process

from healtharchive.drills.demo import Played, played
from healtharchive.drills.judge import judge

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with played(lambda _: None, directory=tmp_path_factory.mktemp("demo") / "instance") as finished:
        yield finished


def failing(done: Played) -> list[str]:
    return [assertion.claim for assertion in judge(done) if not assertion.holds]


def test_every_claim_holds(done: Played) -> None:
    assert failing(done) == []
    assert len(judge(done)) >= 20


def test_one_visit_too_many_is_noticed(done: Played) -> None:
    """The judge that never says no proves nothing: a finished page with one visit fewer before the kill was fetched again."""
    path = next(path for path in done.killed.visits if path.startswith("/en/"))
    finished = tuple(url for url in done.killed.finished if url.url.endswith(path)) or done.killed.finished
    tampered = replace(done.killed, finished=finished, visits=Counter())
    assert "No finished page was fetched again" in failing(replace(done, killed=tampered))


def test_an_edition_with_pages_missing_is_noticed(done: Played) -> None:
    wrong = failing(replace(done, second=done.first))
    assert "Edition 2: no page was lost" in wrong
    assert "The crawler was killed in mid-crawl" in wrong


def test_a_damaged_warc_is_noticed(done: Played) -> None:
    warc = next((done.directory / "jobs").rglob("*.warc.gz"))
    whole = warc.read_bytes()
    try:
        warc.write_bytes(whole[:-20])
        assert "Every WARC is whole, every digest holds" in failing(done)
    finally:
        warc.write_bytes(whole)


def test_the_demo_ends_well_within_a_minute_and_leaves_nothing_behind(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = process("demo", "--json", timeout=120, TMPDIR=str(tmp_path))
    assert ended.code == 0, ended.out + ended.err
    assert ended.json["ok"] is True
    assert all(assertion["holds"] for assertion in ended.json["assertions"])
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_that_is_ended_in_the_middle_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "healtharchive.cli", "demo"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert demo.stderr is not None
    while "archived and indexed" not in demo.stderr.readline():
        assert demo.poll() is None
    demo.send_signal(number)
    demo.communicate(timeout=40)
    assert demo.returncode == (130 if number is signal.SIGINT else -signal.SIGKILL)
    until = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []
