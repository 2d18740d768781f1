"""Facts of a machine, as values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessId:
    """A process, told from any later one with the same number by its start time.

    `start_ticks` is field 22 of /proc/PID/stat (clock ticks since boot); `boot_id` tells one boot from the next.
    """

    pid: int
    start_ticks: int
    boot_id: str

    def __str__(self) -> str:
        return f"{self.boot_id}:{self.pid}:{self.start_ticks}"

    @classmethod
    def parse(cls, text: str) -> ProcessId:
        """The inverse of `str()`. Raises ValueError."""
        boot_id, pid, start_ticks = text.rsplit(":", 2)
        return cls(int(pid), int(start_ticks), boot_id)


@dataclass(frozen=True)
class Exit:
    """How a child ended: its exit code, or the negative signal number."""

    code: int
