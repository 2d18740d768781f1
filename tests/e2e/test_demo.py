"""The demo proves its claims, cleans up after itself, and does so within a minute."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.rigs.command_line import process


@pytest.mark.slow
def test_the_demo_holds_within_a_minute_and_leaves_nothing_behind(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = process("demo", "--json", timeout=120, TMPDIR=str(tmp_path))
    assert ended.code == 0, ended.out + ended.err
    answer = ended.json
    assert answer["ok"] is True
    assert all(assertion["holds"] for assertion in answer["assertions"])
    assert len(answer["assertions"]) >= 20
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_killed_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "healtharchive.cli", "demo"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert demo.stderr is not None
    while "archived and indexed" not in demo.stderr.readline():
        assert demo.poll() is None
    demo.send_signal(signal.SIGKILL)
    demo.wait()
    until = time.monotonic() + 20
    while list(tmp_path.iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []
