"""A worker process for drills: `python lease_worker.py INSTANCE`. Its database's clock is off by what `clock-offset` says."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.rigs import steady_engine
from tests.rigs.jobs import SteadyLauncher

from healtharchive.crawl.engine import CrawlProfile
from healtharchive.db import Database
from healtharchive.instance import Instance, open_instance
from healtharchive.jobs.worker import Worker

OFFSET_FILE = "clock-offset"
PROFILE: CrawlProfile = steady_engine.profile(pages=3, page_ms=30)


def jumping(offset_file: Path) -> Callable[[], datetime]:
    """A clock that everybody who reads the same file shares, and that jumps when the file is replaced."""
    return lambda: datetime.now(UTC) + timedelta(seconds=float(offset_file.read_text(encoding="ascii")))


def opened(root: Path) -> Instance:
    """The instance, with the jumping clock if there is one."""
    instance = open_instance(root)
    offset_file = root / OFFSET_FILE
    if not offset_file.exists():
        return instance
    return replace(instance, db=Database(instance.settings.database.url, root=root, clock=jumping(offset_file)))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(levelname)s %(message)s")
    instance = opened(Path(sys.argv[1]))
    Worker(instance, launcher=SteadyLauncher(instance, PROFILE)).run()


if __name__ == "__main__":
    main()
