"""Cleans up after a drill, also after one that was killed: `python -m healtharchive.drills.janitor MARK [DIRECTORY]`.

It waits on its standard input, which the drill holds open for as long as it lives: the kernel closes it whatever the drill dies
of. Then every process that carries the drill's mark in its environment is ended (crawler and web server have sessions of their
own, so no signal to a terminal's group reaches them), and the directory, if one is named, is removed. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARK_VARIABLE = "HA_DRILL"
_GRACE_SECONDS = 3.0


def main(mark: str, directory: str | None = None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_all(mark, number)
        _wait_until_gone(mark)
    if directory is not None:
        shutil.rmtree(directory, ignore_errors=True)


def marked(mark: str) -> Iterator[int]:
    """Processes of this user that were started, by whatever way, by the drill with this mark."""
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone, or somebody else's
            continue
        if wanted in environment.split(b"\0"):
            yield int(entry.name)


def _signal_all(mark: str, number: signal.Signals) -> None:
    for pid in marked(mark):
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            continue
        try:
            # Looked at again while the pidfd is held: the number can no longer come to mean another process.
            if pid in marked(mark):
                signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(descriptor)


def _wait_until_gone(mark: str) -> None:
    until = time.monotonic() + _GRACE_SECONDS
    while any(marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)


if __name__ == "__main__":
    main(*sys.argv[1:])
