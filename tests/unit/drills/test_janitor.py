"""What a killed drill leaves behind goes away by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from healtharchive.drills.janitor import MARK_VARIABLE, marked
from healtharchive.drills.stage import _environment, stage

DRILL = """
import subprocess, sys
from healtharchive.drills.stage import _environment, stage
with stage() as on:
    subprocess.Popen(["sleep", "60"], env=_environment(on.mark), start_new_session=True)
    print(on.directory, on.mark, flush=True)
    sys.stdin.readline()
"""


def eventually(so: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while not so() and time.monotonic() < end:
        time.sleep(0.05)
    return so()


def drill() -> tuple[subprocess.Popen[str], Path, str]:
    """A drill with one child; it ends when it is told a line."""
    process = subprocess.Popen([sys.executable, "-c", DRILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    directory, mark = process.stdout.readline().split()
    assert Path(directory).is_dir()
    assert eventually(lambda: any(marked(mark)))
    return process, Path(directory), mark


def test_a_drill_killed_outright_leaves_neither_process_nor_directory() -> None:
    process, directory, mark = drill()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert eventually(lambda: not any(marked(mark)) and not directory.exists())


def test_a_drill_that_ends_has_cleaned_up_before_it_is_gone() -> None:
    process, directory, mark = drill()
    process.communicate("\n", timeout=30)
    assert process.returncode == 0
    assert not any(marked(mark))
    assert not directory.exists()


def test_settings_of_the_shell_reach_neither_the_drill_nor_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTHARCHIVE_DATABASE_URL", "postgresql://db.example/production")
    with stage() as on:
        assert "HEALTHARCHIVE_DATABASE_URL" not in os.environ
        assert "HEALTHARCHIVE_DATABASE_URL" not in _environment(on.mark)
    assert os.environ["HEALTHARCHIVE_DATABASE_URL"] == "postgresql://db.example/production"


def test_nobody_without_the_mark_is_touched() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env={**os.environ, MARK_VARIABLE: "another"})
    try:
        process, _, _ = drill()
        process.communicate("\n", timeout=30)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
