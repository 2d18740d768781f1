"""Where a drill takes place: an instance in a directory of its own, its processes, and the certainty that both go away."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from healtharchive.drills.janitor import MARK_VARIABLE
from healtharchive.errors import HealthArchiveError

_DRAIN_SECONDS: Final = 15.0
_JANITOR_SECONDS: Final = 20.0
_FOREIGN_PREFIX: Final = "HEALTHARCHIVE_"


class DrillFailed(HealthArchiveError):
    """The drill could not be played to its end, which proves nothing either way."""


@dataclass
class Stage:
    """One drill's directory and processes."""

    directory: Path
    mark: str
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *words: str, log: str) -> subprocess.Popen[bytes]:
        """Start a command of ours on this drill's instance; its standard error goes to `log` in the directory."""
        argv = [sys.executable, "-m", "healtharchive.cli", "--instance", str(self.directory), *words]
        with open(self.directory / log, "ab") as errors:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(self.mark),
                start_new_session=True,  # Ctrl-C is for the drill, which then ends its children in order
            )
        self._children.append(child)
        return child

    def end(self) -> None:
        """Ask every process to end, and wait: a worker brings its crawls to a checkpoint first."""
        for child in self._children:
            child.terminate()
        for child in self._children:
            try:
                child.wait(timeout=_DRAIN_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()


@contextmanager
def stage(directory: Path | None = None) -> Iterator[Stage]:
    """A stage in `directory`, which is then kept, or in a temporary one, which is removed whatever happens."""
    place = directory.absolute() if directory is not None else Path(tempfile.mkdtemp(prefix="healtharchive-demo-"))
    mark = uuid.uuid4().hex
    janitor = subprocess.Popen(
        [sys.executable, "-m", "healtharchive.drills.janitor", mark, *([] if directory is not None else [str(place)])],
        stdin=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    found = Stage(place, mark)
    try:
        with _own_settings():
            yield found
    finally:
        try:
            found.end()
        finally:
            assert janitor.stdin is not None
            janitor.stdin.close()
            janitor.wait(timeout=_JANITOR_SECONDS)


def until(what: str, happened: Callable[[], bool], *, timeout_seconds: float, interval_seconds: float = 0.1) -> None:
    """Wait until something has happened. Raises DrillFailed naming what did not."""
    end = time.monotonic() + timeout_seconds
    while not happened():
        if time.monotonic() > end:
            raise DrillFailed(f"{what}: not within {timeout_seconds:.0f} s.", hint="Keep its files to look: --directory DIR")
        time.sleep(interval_seconds)


@contextmanager
def _own_settings() -> Iterator[None]:
    """Without the shell's settings: HEALTHARCHIVE_DATABASE_URL would lead a drill into the archive that it names."""
    taken = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(_FOREIGN_PREFIX)}
    try:
        yield
    finally:
        os.environ.update(taken)


def _environment(mark: str) -> dict[str, str]:
    return os.environ | {MARK_VARIABLE: mark, "PYTHONUNBUFFERED": "1"}
