"""The machine: processes by identity, files by whole versions."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from healtharchive.host import ProcessId, this_host
from healtharchive.host.files import create_exclusively, rename_exclusively, replace_atomically


def wait_until(condition: object, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_process_is_told_from_a_later_one_with_its_number(tmp_path: Path) -> None:
    processes = this_host().processes
    child = processes.spawn([sys.executable, "-c", "import time; time.sleep(60)"], cwd=tmp_path, log=tmp_path / "log")
    assert processes.is_alive(child.id)
    assert not processes.is_alive(dataclasses.replace(child.id, start_ticks=child.id.start_ticks + 1))
    assert not processes.is_alive(dataclasses.replace(child.id, boot_id="another boot"))
    assert not processes.signal(dataclasses.replace(child.id, start_ticks=1), signal.SIGKILL)
    assert child.poll() is None
    assert processes.signal(child.id, signal.SIGKILL)
    wait_until(lambda: not processes.is_alive(child.id))  # a zombie is not alive
    wait_until(lambda: child.poll() is not None)
    assert child.poll() is not None
    assert not processes.signal(child.id, signal.SIGKILL)


def test_an_identity_survives_being_written_down() -> None:
    me = this_host().processes.me()
    assert me.pid == os.getpid()
    assert ProcessId.parse(str(me)) == me


def test_a_child_outlives_no_pipe_and_logs_to_its_file(tmp_path: Path) -> None:
    processes = this_host().processes
    child = processes.spawn([sys.executable, "-c", "print('hello'); raise SystemExit(7)"], cwd=tmp_path, log=tmp_path / "log")
    wait_until(lambda: child.poll() is not None)
    exit_ = child.poll()
    assert exit_ is not None
    assert exit_.code == 7
    assert (tmp_path / "log").read_text() == "hello\n"


def test_files_are_created_replaced_and_published_without_overwriting(tmp_path: Path) -> None:
    path = tmp_path / "a"
    create_exclusively(path, b"1")
    with pytest.raises(FileExistsError):
        create_exclusively(path, b"2")
    replace_atomically(path, b"3")
    assert path.read_bytes() == b"3"
    other = tmp_path / "b"
    create_exclusively(other, b"4")
    with pytest.raises(FileExistsError):
        rename_exclusively(other, path)
    rename_exclusively(other, tmp_path / "c")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "c"]


def test_the_clocks_move_forward() -> None:
    clock = this_host().clock
    before = clock.boottime(), clock.monotonic()
    clock.sleep(0.01)
    assert clock.boottime() > before[0]
    assert clock.monotonic() > before[1]
    assert clock.now().utcoffset() is not None
