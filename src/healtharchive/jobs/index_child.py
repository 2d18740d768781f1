"""The child process of an index attempt: `python -m healtharchive.jobs.index_child ATTEMPT_DIRECTORY`.

Reports like a crawl engine, through `progress.jsonl`, so that the same supervisor watches it. Each of its transactions checks the
attempt's fence: one whose job was taken over writes nothing, however late it wakes up. Killed at any instant, the next attempt
goes on where the last committed transaction ended.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from healtharchive.access import indexer
from healtharchive.access.model import IndexCounts, IndexProgress
from healtharchive.access.search import open_search
from healtharchive.crawl.engine import ATTEMPT_FILE, End, read_lease
from healtharchive.crawl.progress import Progress
from healtharchive.errors import Locked, StaleFence
from healtharchive.instance import Instance, open_instance
from healtharchive.jobs import classify, lease
from healtharchive.jobs.model import FailureClass
from healtharchive.storage import spool

_END_OF = {FailureClass.INFRA: End.INFRA, FailureClass.CONFIG: End.CONFIG, FailureClass.CRAWL: End.CRAWL}


class Unleased(Exception):
    """Nobody renews this attempt's lease any more."""


class IndexAttempt:
    """Indexes every WARC of one job."""

    def __init__(self, directory: Path, told: dict[str, Any], instance: Instance, progress: Progress) -> None:
        self._directory = directory
        self._instance = instance
        self._progress = progress
        self._job_id: int = told["job_id"]
        self._attempt_id: int = told["attempt_id"]
        self._fence: int = told["fence"]
        self._source: str = told["source"]
        self._done: dict[str, int] = {}
        self.counts: dict[str, int] = {}

    def run(self) -> None:
        """Raises StaleFence, Unleased, and whatever the indexer raises."""
        with self._instance.db.read() as conn:
            warcs = spool.warcs_of(conn, job_id=self._job_id)
        for number, warc in enumerate(warcs):
            self._require_lease()
            counts = indexer.index_warc(
                self._instance.db,
                self._instance.jobs_root,
                warc,
                source=self._source,
                guard=self._guard,
                on_progress=self._on_progress,
                languages=self._instance.settings.search.languages,
                host=self._instance.host,
            )
            self._report(counts, pending=len(warcs) - number - 1)
            self._done = self.counts
        with self._instance.db.read() as conn:
            self.counts = {**self.counts, "pages": indexer.count_pages(conn, self._job_id), "pending": 0}
        with suppress(Locked):  # whoever writes the search index now, or searches next, takes the rest
            open_search(self._instance).catch_up()

    def _guard(self, conn: Connection) -> None:
        lease.assert_attempt(conn, job_id=self._job_id, attempt_id=self._attempt_id, fence=self._fence)

    def _on_progress(self, progress: IndexProgress) -> None:
        self._require_lease()
        self._report(progress.counts, pending=self._done.get("pending", 1))

    def _report(self, counts: IndexCounts, *, pending: int) -> None:
        found = {"captures": counts.captures, "pages": counts.pages, "texts": counts.texts, "findings": len(counts.findings)}
        self.counts = {key: self._done.get(key, 0) + value for key, value in found.items()} | {"pending": pending}
        self._progress.write("progress", counts=self.counts)

    def _require_lease(self) -> None:
        if self._instance.host.clock.boottime() > read_lease(self._directory):
            raise Unleased


def main(directory: Path) -> int:
    """Run the attempt that `attempt.json` in `directory` describes. Returns the exit code: 0 if there is a last word."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    told = json.loads((directory / ATTEMPT_FILE).read_bytes())
    instance = open_instance(Path(told["instance"]))
    progress = Progress(directory, instance.host.clock)
    me = instance.host.processes.me()
    progress.write("started", process=str(me), fence=told["fence"], resumed=False)
    attempt = IndexAttempt(directory, told, instance, progress)
    try:
        attempt.run()
        end, reason, errno = End.COMPLETE, "", None
    except Unleased:
        end, reason, errno = End.UNLEASED, "nobody renewed the lease", None
    except StaleFence as error:
        end, reason, errno = End.FENCED, str(error), None
    except Exception as error:
        logging.getLogger("healtharchive.index").exception("index.failed job=%s", told["job_id"])
        failure = classify.of_exception(error, own_paths=[instance.jobs_root.absolute()])
        end, reason, errno = _END_OF[failure.failure_class], failure.reason, failure.errno
    progress.end(end, reason, errno, attempt.counts)
    progress.close()
    instance.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
