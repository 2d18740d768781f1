"""The most memory that processes below another one ever held, by the kernel's own high-water mark."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.02


@dataclass
class Peak:
    bytes: int = 0


@contextmanager
def peak_bytes_of(ancestor: int, word: str) -> Iterator[Peak]:
    """Watch descendants of a process whose command line holds `word` while the block runs.

    VmHWM and not ru_maxrss, which counts what the parent held before the child's exec.
    """
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            for process in _descendants(ancestor):
                with suppress(OSError, StopIteration):  # it may end at any moment
                    if word.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
                        peak.bytes = max(peak.bytes, _high_water(process))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def _high_water(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def _descendants(process: int) -> Iterator[int]:
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, listed.read_text().split()):
                yield child
                yield from _descendants(child)
