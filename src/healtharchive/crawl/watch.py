"""Once a second: may the crawl go on, and what has it done so far?"""

from __future__ import annotations

import os
from pathlib import Path

from healtharchive.crawl.engine import End, read_lease
from healtharchive.crawl.trouble import errno_of
from healtharchive.host import Clock

Stop = tuple[End, str, int | None]


class Watch:
    """The two limits that a crawl ends at by itself: a lease that nobody renews, and the local disk's reserve."""

    def __init__(self, clock: Clock, *, lease_dir: Path, disk: Path, reserve_bytes: int) -> None:
        self._clock = clock
        self._lease_dir = lease_dir
        self._disk = disk
        self._reserve_bytes = reserve_bytes

    def look(self) -> Stop | None:
        """Why the crawl must end now, None if it may go on."""
        try:
            if read_lease(self._lease_dir) <= self._clock.boottime():
                return End.UNLEASED, "Nobody renewed the lease", None
            if self._reserve_bytes and _free_bytes(self._disk) < self._reserve_bytes:
                return End.RESERVE, f"Less than {self._reserve_bytes} bytes are free in {self._disk}", None
        except (OSError, ValueError) as error:
            return End.INFRA, f"Our own disk failed: {error}", errno_of(error)
        return None


def _free_bytes(path: Path) -> int:
    facts = os.statvfs(path)
    return facts.f_bavail * facts.f_frsize
