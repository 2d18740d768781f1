"""A recorder that is killed at any instant: what it called committed is there, and its file is made whole again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.rigs.fetching import prove, records_of

from healtharchive.crawl.sealing import read_manifest, seal_file
from healtharchive.warc.writer import is_held, truncate, walk

pytestmark = pytest.mark.drill

TRIALS = 12

# Records pages of all sizes without end, also one too big for memory, and says after each flush how far the file is committed.
CHILD = """
import sys
from pathlib import Path
from healtharchive.crawl.recorder import Recorder
from tests.rigs.exchanges import page

directory = Path(sys.argv[1])
recorder = Recorder(directory, prefix="kill", fence=1, serial=1, warcinfo={"software": "tests"})
number = 0
while True:
    for _ in range(5):
        number += 1
        size = 1_500_000 if number % 40 == 0 else number * 37 % 20_000
        body = (b"%d " % number) * (size // 4)
        recorder.add(page(body, url=f"http://a.test/{number}", spill=directory), metadata={"via": "http://a.test/"})
    print(recorder.flush(), recorder.captures, flush=True)
"""


def test_killed_recorder_loses_nothing_that_it_called_committed(tmp_path: Path) -> None:
    draw = random.Random(20260131)
    for trial in range(TRIALS):
        directory = tmp_path / str(trial)
        directory.mkdir()
        committed, captures = _record_and_kill(directory, after_seconds=draw.uniform(0.0, 0.25))
        (left,) = (directory / "open").glob("*.open")
        assert not is_held(left)
        found = walk(left)
        responses = sum(record.kind == "response" for record in found)
        assert found.end >= committed
        assert responses >= captures
        truncate(left, found.end)
        sealed = seal_file(left, directory / "warcs", fence=2)
        assert read_manifest(directory / "warcs") == [sealed]
        path = directory / "warcs" / sealed.name
        prove(path)
        urls = [record.headers["WARC-Target-URI"] for record in records_of(path) if record.kind == "response"]
        assert urls == [f"http://a.test/{number}" for number in range(1, responses + 1)], "each once, in order, without a hole"
        assert [file.name for file in directory.iterdir() if file.is_file()] == [], "bodies too big for memory left no file"


def _record_and_kill(directory: Path, *, after_seconds: float) -> tuple[int, int]:
    """The last committed length and number of captures that the child told."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(directory)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(after_seconds)
    child.send_signal(signal.SIGKILL)
    last = [line for line in (first + child.stdout.read()).splitlines() if len(line.split()) == 2][-1]
    child.wait()
    child.stdout.close()
    length, captures = last.split()
    return int(length), int(captures)
