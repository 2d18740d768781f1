"""An engine that is a child process of this program: start it, read its progress file, steer it by signals and its lease."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from healtharchive.crawl.engine import LOG_FILE, AttemptSpec, Event, read_events, write_lease
from healtharchive.host import Child, Host, ProcessId

HTTP_MODULE = "healtharchive.crawl.http"


class RunningChild:
    """A `RunningEngine` that was started here, or found in its directory after the death of the worker that started it."""

    def __init__(self, host: Host, directory: Path, *, child: Child | None = None, process: ProcessId | None = None) -> None:
        self._host = host
        self._directory = directory
        self._child = child
        self._process = child.id if child is not None else process
        self._offset = 0

    @property
    def process(self) -> ProcessId:
        """Raises LookupError for an adopted engine that never came so far as to say who it is."""
        if self._process is None:
            self._process = self._announced()
        if self._process is None:
            raise LookupError(f"the engine in {self._directory} has not started yet")
        return self._process

    def is_alive(self) -> bool:
        if self._child is not None and self._child.poll() is not None:
            return False
        try:
            return self._host.processes.is_alive(self.process)
        except LookupError:
            return False

    def exit_code(self) -> int | None:
        ended = self._child.poll() if self._child is not None else None
        return None if ended is None else ended.code

    def progress(self) -> Sequence[Event]:
        events = []
        for event, offset in read_events(self._directory, self._offset):
            events.append(event)
            self._offset = offset
        return events

    def renew(self, until_boottime: float) -> None:
        write_lease(self._directory, until_boottime)

    def checkpoint(self) -> None:
        self._signal(signal.SIGUSR1)

    def stop(self, *, hard: bool = False) -> None:
        self._signal(signal.SIGKILL if hard else signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        try:
            self._host.processes.signal(self.process, number)
        except LookupError:
            return  # nothing to steer; without a renewed lease it ends by itself

    def _announced(self) -> ProcessId | None:
        for event, _ in read_events(self._directory):
            if event.name == "started":
                return ProcessId.parse(event.data["process"])
        return None


class ChildEngine:
    """A `CaptureEngine` whose child is `python -m MODULE DIRECTORY`."""

    def __init__(self, name: str, module: str, host: Host) -> None:
        self._name = name
        self._module = module
        self._host = host

    @property
    def name(self) -> str:
        return self._name

    def start(self, spec: AttemptSpec, directory: Path, until_boottime: float) -> RunningChild:
        directory.mkdir(parents=True, exist_ok=True)
        spec.write(directory)
        write_lease(directory, until_boottime)
        argv = [sys.executable, "-m", self._module, str(directory)]
        child = self._host.processes.spawn(argv, cwd=directory, log=directory / LOG_FILE)
        return RunningChild(self._host, directory, child=child)

    def adopt(self, directory: Path, process: ProcessId | None) -> RunningChild:
        return RunningChild(self._host, directory, process=process)


def http_engine(host: Host) -> ChildEngine:
    """The embedded engine, `crawl.http`."""
    return ChildEngine("http", HTTP_MODULE, host)
