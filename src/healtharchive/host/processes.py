"""The only place that starts, watches and signals processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from healtharchive.host.model import Exit, ProcessId

_STAT_START = 19  # field 22 of /proc/PID/stat, counted after the command name's closing parenthesis


def host_name() -> str:
    return socket.gethostname()


class SystemChild:
    """A child started by `SystemProcesses.spawn`."""

    def __init__(self, popen: subprocess.Popen[bytes], identity: ProcessId) -> None:
        self._popen = popen
        self._id = identity

    @property
    def id(self) -> ProcessId:
        return self._id

    def poll(self) -> Exit | None:
        code = self._popen.poll()
        return None if code is None else Exit(code)


class SystemProcesses:
    """The real `Processes`, by /proc and pidfd."""

    def __init__(self) -> None:
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()

    def me(self) -> ProcessId:
        return self._identify(os.getpid())

    def spawn(self, argv: Sequence[str], *, cwd: Path, log: Path, env: Mapping[str, str] | None = None) -> SystemChild:
        with open(log, "ab") as output:
            popen = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return SystemChild(popen, self._identify(popen.pid))

    def is_alive(self, process: ProcessId) -> bool:
        if process.boot_id != self._boot_id:
            return False
        stat = _read_stat(process.pid)
        return stat is not None and stat[0] not in "ZX" and stat[1] == process.start_ticks

    def signal(self, process: ProcessId, number: int) -> bool:
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            return False
        try:
            # Looked at after the pidfd is held: the number can no longer come to mean another process.
            if not self.is_alive(process):
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True

    def _identify(self, pid: int) -> ProcessId:
        stat = _read_stat(pid)
        # An unreaped child keeps its entry in /proc, so that only a foreign process can be missing here.
        return ProcessId(pid, stat[1] if stat else 0, self._boot_id)


def _read_stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a process, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[_STAT_START])
