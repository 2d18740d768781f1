"""One machine: its clock and its processes, each behind a protocol with one real implementation.

Everything above asks these protocols, never the operating system, so that the simulated world can stand in for the machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from healtharchive.host.model import Exit, ProcessId


class Clock(Protocol):
    """Time. `now` may jump; `boottime` and `monotonic` never go back."""

    def now(self) -> datetime:
        """Aware UTC wall clock."""

    def monotonic(self) -> float:
        """Seconds; only differences mean anything, within one process."""

    def boottime(self) -> float:
        """Seconds since boot, suspend included; comparable between processes of one boot."""

    def sleep(self, seconds: float) -> None: ...


class Child(Protocol):
    """A child of this process."""

    @property
    def id(self) -> ProcessId: ...

    def poll(self) -> Exit | None:
        """How it ended, or None while it lives. Reaps it."""


class Processes(Protocol):
    """Starting, watching and ending processes, by identity and not by number alone."""

    def me(self) -> ProcessId: ...

    def spawn(self, argv: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None) -> Child:
        """Start a child in a session of its own, its output appended to `log`, no pipe tying it to us."""

    def is_alive(self, process: ProcessId) -> bool:
        """Whether exactly this process runs. A zombie does not count, nor a process of another boot."""

    def signal(self, process: ProcessId, number: int) -> bool:
        """Send a signal to exactly this process; False if it is gone."""


@dataclass(frozen=True)
class Host:
    """This machine."""

    name: str
    clock: Clock
    processes: Processes


def this_host() -> Host:
    """The real machine that this process runs on."""
    # The implementations import this module's protocols.
    from healtharchive.host.clock import SystemClock
    from healtharchive.host.processes import SystemProcesses, host_name

    return Host(host_name(), SystemClock(), SystemProcesses())


__all__ = ["Child", "Clock", "Exit", "Host", "ProcessId", "Processes", "this_host"]
